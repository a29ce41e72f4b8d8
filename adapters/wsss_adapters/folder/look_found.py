"""What `wsss init` says of a folder, and which folders it refuses: those of which no recipe that works can be made."""

import os
import re
import shlex
from collections import Counter
from pathlib import Path
from typing import Any

from wsss_adapters.folder.class_names import is_negative
from wsss_adapters.folder.look_layout import Layout
from wsss_adapters.folder.look_tags import columns_read
from wsss_adapters.folder.picture_index import PictureIndex
from wsss_adapters.folder.tag_table import unused_column
from wsss_toolkit.errors import DataError, close_names

FEWEST = 8
"""Pictures below which training, validation and test have next to nothing each."""


def describe(index: PictureIndex, sizes: list[tuple[int, int]]) -> str:
    """Return number, size and bands of the pictures in one sentence."""
    small, large = min(sizes), max(sizes)
    shown = f"{small[0]} x {small[1]}" if small == large else f"{small[0]} x {small[1]} to {large[0]} x {large[1]}"
    suffixes = Counter(picture.path.suffix.lower().lstrip(".") for picture in index.pictures.values())
    kinds = ", ".join(f"{number} {suffix}" for suffix, number in suffixes.most_common())
    header = next(iter(index.headers.values()))
    return f"{len(sizes)} pictures ({kinds}) of {shown} pixels, {header.bands}"


def sources(layout: Layout, index: PictureIndex, masks: bool) -> list[str]:
    """Return what labels and masks are, and how many pictures have a mask if not all do."""
    if layout.tags is not None:
        splits = index.options.splits
        labels = f"image-level labels in {layout.tags}"
        labels += columns_read(layout.tags, (splits.group_by, splits.split_column))
    else:
        labels = "image-level labels: the folder names" if layout.classes else "no tags, no class folders: masks alone"
    drawn, number = sum(picture.mask is not None for picture in index.pictures.values()), len(index.pictures)
    count = "" if drawn == number else f" for {drawn} of {number} pictures: a split is scored where all have one"
    return [
        labels, f"masks in {layout.root / (layout.masks or '.')}{count}" if masks else "no masks: nothing is scored"
    ]  # fmt: skip


def class_counts(index: PictureIndex) -> list[str]:
    """Return how many pictures show each class, and which classes show up so seldom that they may be misspelt."""
    if not index.labels:
        return []
    counts = Counter(name for shown in index.labels.values() for name in shown)
    listed = ", ".join(f"{name} {counts[name]}" for name in index.classes.label_names[:20])
    empty = sum(not shown for shown in index.labels.values())
    found = [
        f"pictures by class: {listed}" + (", ..." if len(counts) > 20 else "") + (f"; none {empty}" if empty else "")
    ]
    meant = [name for name in index.classes.label_names if is_negative(name)]
    if meant and index.options.tags is not None:
        found.append(f"tags name a class {', '.join(meant)}: if that means none of the classes, leave the cell empty")
    if index.tags.joined_rows:
        found.append(f"{index.tags.joined_rows} pictures have several rows with different classes: these are joined")
    unseen = [name for name in index.classes.label_names if not counts[name]]
    if unseen:
        found.append(f"classes that no picture shows cannot be learned: {', '.join(unseen)}")
    rare = [name for name in index.classes.label_names if 0 < counts[name] < 3]
    if rare:
        found.append(f"classes with one or two pictures cannot be learned, or are misspelt: {', '.join(rare)}")
    return found


def column_splits(index: PictureIndex, layout: Layout) -> tuple[dict[str, Any] | None, tuple[str, ...]]:
    """Return `data.splits` where a column of the tags says them; else None, and a sentence if one is left alone."""
    said = index.tags.split_column
    if said is None or layout.tags is None:
        return None, ()
    column, words = said
    if layout.splits or "train" not in words or len(words) < 2:
        return None, (unused_column(said, layout.tags),)
    held_back = {} if "val" in words else {"val_fraction": 0.15}
    file = layout.tags.relative_to(layout.root).as_posix()
    return {"file": file, "split_column": column, "folds": words, **held_back}, ()


def split_comment(index: PictureIndex, layout: Layout) -> str:
    """Return a remark on the splits, a warning where names look like numbered frames."""
    if layout.splits:
        return "the folders"
    stems = [re.fullmatch(r"(.*?)[-_ ]?\d{3,}", picture.path.stem) for picture in index.pictures.values()]
    series = {match[1] for match in stems if match}
    if all(stems) and len(series) * 3 <= len(stems):
        return "neighbouring frames of one film? similarity: 0.98 keeps those that look alike in one split"
    return "drawn by seed; also counts, file and lists, and group_pattern to keep what belongs together in one split"


def check_pictures(index: PictureIndex, layout: Layout) -> tuple[str, list[tuple[int, int]]]:
    """Return the sensor's name and the sizes of all pictures.

    Raises:
        DataError: If they are too few, one cannot be read, or they differ in their bands.
    """
    if len(index.pictures) < FEWEST:
        what = f"holds {len(index.pictures)} pictures; the least is {FEWEST}{_and_unread(layout)}"
        fix = "add some: with a few dozen of each class it begins to work"
        raise DataError(what, where=str(layout.folder), fix=fix)
    return index.sensor.name, [(header.height, header.width) for header in index.headers.values()]


def check_labels(index: PictureIndex, layout: Layout) -> float:
    """Return the mean number of classes that a picture shows.

    Raises:
        DataError: If all pictures show the same classes, or tags do not fit.
    """
    shown = list(index.labels.values())
    if len(set(map(frozenset, shown))) < 2:
        what = f"every picture shows the same: {', '.join(shown[0]) or 'nothing'}{_and_unread(layout)}"
        fix = "add pictures of another class, or of none (a folder `negative`, or empty classes in the tags)"
        raise DataError(what, where=str(layout.folder), fix=fix + _further_down(index))
    return sum(map(len, shown)) / len(shown)


def check_spelling(index: PictureIndex, where: Path) -> None:
    """Raise a DataError where a class of one or two pictures is nearly called as one with ten times as many."""
    counts = Counter(name for shown in index.labels.values() for name in shown)
    for rare in sorted(name for name, number in counts.items() if number <= 2):
        common = [name for name, number in counts.items() if number >= 10 * counts[rare]]
        close = close_names(rare, common, cutoff=0.8)
        if close:
            raise DataError(
                f"unknown class {rare!r} ({counts[rare]} of {len(index.labels)} pictures), did you mean {close[0]!r}?",
                where=str(where),
                fix="correct it, or write both names into classes.txt, one a line",
            )


def _and_unread(layout: Layout) -> str:
    """Return what was not read, to follow the statement that something is missing."""
    return "".join(f" ({sentence})" for sentence in layout.unread)


def _further_down(index: PictureIndex) -> str:
    """Return a hint at the only folder that holds pictures, where these lie in several folders of its own."""
    places = [picture.path.parent for picture in index.pictures.values()]
    common = Path(os.path.commonpath(places))
    inner = sorted({place.relative_to(common).parts[0] for place in places if place != common})
    if common in places or not index.options.class_folders or index.options.splits.folders or len(inner) < 2:
        return ""
    shown = ", ".join(inner[:5]) + (", ..." if len(inner) > 5 else "")
    return f"; or, if the classes are {shown}: wsss init {shlex.quote(str(common))}"
