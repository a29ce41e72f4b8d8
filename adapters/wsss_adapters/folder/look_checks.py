"""What `wsss init` refuses: folders of which no recipe that works can be made."""

import os
import shlex
from collections import Counter
from pathlib import Path

from wsss_adapters.folder.look_layout import Layout
from wsss_adapters.folder.picture_index import PictureIndex
from wsss_toolkit.errors import DataError, close_names

FEWEST = 8
"""Pictures below which training, validation and test have next to nothing each."""


def check_pictures(index: PictureIndex, layout: Layout) -> tuple[str, list[tuple[int, int]]]:
    """Return the sensor's name and the sizes of all pictures.

    Raises:
        DataError: If they are too few, one cannot be read, or they differ in their bands.
    """
    if len(index.pictures) < FEWEST:
        raise DataError(
            f"holds {len(index.pictures)} pictures; the least is {FEWEST}{_and_unread(layout)}",
            where=str(layout.folder),
            fix="add some: with a few dozen of each class it begins to work",
        )
    return index.sensor.name, [(header.height, header.width) for header in index.headers.values()]


def check_labels(index: PictureIndex, layout: Layout) -> float:
    """Return the mean number of classes that a picture shows.

    Raises:
        DataError: If all pictures show the same classes, or tags do not fit.
    """
    shown = list(index.labels.values())
    if len(set(map(frozenset, shown))) < 2:
        raise DataError(
            f"every picture shows the same: {', '.join(shown[0]) or 'nothing'}{_and_unread(layout)}",
            where=str(layout.folder),
            fix="add pictures of another class, or of none (a folder `negative`, or empty classes in the tags)"
            + _further_down(index),
        )
    return sum(map(len, shown)) / len(shown)


def check_spelling(index: PictureIndex, where: Path) -> None:
    """Refuse names that are probably slips.

    Raises:
        DataError: If a class of one or two pictures is nearly called as one with ten times as many.
    """
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
