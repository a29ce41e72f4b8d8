"""Looks at a folder of pictures without a recipe and proposes one's `data` section."""

import difflib
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

from wsss_adapters.folder.folder_options import FolderOptions, distinct_color
from wsss_adapters.folder.look_layout import Layout, find_layout
from wsss_adapters.folder.look_masks import Meaning, mask_values, read_names, with_names, without_names
from wsss_adapters.folder.picture_index import PictureIndex
from wsss_adapters.pictures.picture_header import RGB
from wsss_toolkit.domain.starter import Starter
from wsss_toolkit.errors import DataError

FEWEST = 8
"""Pictures below which training, validation and test have next to nothing each."""

NEGATIVE = frozenset({"background", "empty", "negative", "negatives", "none", "nothing", "normal"})
"""Names of folders that are probably no class: their pictures show none."""

LARGEST_CROP = 224
"""Side of the crops of larger pictures in pixels."""

UNUSED = (
    "not read: their values are not those of classes; say in codes what they stand for, then name splits in evaluation"
)

COMMENTS: Mapping[str, str] = {
    "class_folders": "the first folder of a picture is its class",
    "tags": "image,classes; classes separated by ;",
    "negatives": "folders whose pictures show no class; leave the line out if they are classes",
    "scenes": "wsss pseudolabel resizes pictures as in training; windows slides over them at full size",
    "crop": "pixels; whole pictures of one kind all show the same classes, their parts do not; null takes them whole",
}


def look(folder: Path, masks: Path | None) -> Starter:
    """Look at a folder; see `wsss_toolkit.domain.starter.StarterAdapter`.

    Raises:
        DataError: If no recipe can be made of it: no pictures, no labels, names that do not fit.
    """
    layout = find_layout(folder, masks)
    splits = {"folders": dict(layout.splits)} if layout.splits else _fractions()
    data: dict[str, Any] = {"root": layout.root.as_posix(), "images": layout.images, **_labels(layout)}
    tagged = "tags" in data or "class_folders" in data
    first = _index({**data, **layout.mask_keys(), "splits": splits} | ({} if tagged else {"classes": ["anything"]}))
    sensor, sizes = _check_pictures(first, folder)
    names = read_names(layout.classes_file) if layout.classes_file else ()
    if tagged and names:  # the list is what tags and folders must keep to
        first = _index({**data, **layout.mask_keys(), "splits": splits, "classes": list(names)})
    elif tagged:
        _check_spelling(first, layout.tags or folder)
    per_image = _check_labels(first, folder) if tagged else None
    meaning, used = _meaning(layout, first, names, tagged, per_image)
    data |= layout.mask_keys()
    data |= {
        key: value for key, value in (("codes", meaning.codes), ("ignore", list(meaning.ignore))) if value and used
    }
    labelled = [name for name in meaning.classes if name != meaning.background]
    colors = {name: "#{:02x}{:02x}{:02x}".format(*distinct_color(i)) for i, name in enumerate(labelled)}
    data["classes"] = [{"name": name, "color": colors.get(name, "#000000")} for name in meaning.classes]
    data["background"] = meaning.background
    size = int(median(height for height, _ in sizes)), int(median(width for _, width in sizes))
    if not tagged and (crop := _crop(sizes)):
        data["crop"], size = crop, (crop, crop)
    else:
        data["scenes"] = "whole"
    data["splits"] = splits
    index = _index(data)
    return Starter(
        found=(_describe(first, sizes), *_sources(layout, used), *_class_counts(index), *meaning.found),
        data=data,
        comments={
            **COMMENTS,
            "masks": "for the figures alone" if tagged else "for labels and figures",
            **meaning.comments,
            "splits": _split_comment(first, layout),
        },
        scales={sensor: "imagenet" if sensor == RGB.name else "zscore"},
        labels="dataset" if tagged else "mask_coverage",
        splits={split: len(keys) for split, keys in index.split_keys.items()},
        size=size,
        same_size=len(set(sizes)) == 1 or "crop" in data,
        crops="crop" in data,
        classes=index.classes.label_names,
        background=meaning.background is not None,
        per_image=per_image,
        truth=_splits_with_masks(index) if used else (),
    )


def _index(data: Mapping[str, Any]) -> PictureIndex:
    return PictureIndex(FolderOptions.model_validate({"adapter": "folder", **data}))


def _fractions() -> dict[str, Any]:
    return {"fractions": {"train": 0.7, "val": 0.15, "test": 0.15}, "seed": 0}


def _labels(layout: Layout) -> dict[str, Any]:
    """Return the keys that say where image-level labels come from; none where masks are all there is.

    Raises:
        DataError: If there are not even masks.
    """
    if layout.tags is not None:
        return {"tags": layout.tags.relative_to(layout.root).as_posix()}
    if layout.classes:
        negatives = [name for name in layout.classes if name.casefold() in NEGATIVE]
        return {"class_folders": True} | ({"negatives": negatives} if negatives else {})
    if layout.masks is None:
        raise DataError(
            "there are no labels",
            where=str(layout.folder),
            fix="put the pictures of each class into a folder of its own, write tags.csv with the columns image and "
            "classes, or name masks with --masks FOLDER",
        )
    return {}


def _check_pictures(index: PictureIndex, folder: Path) -> tuple[str, list[tuple[int, int]]]:
    """Return the sensor's name and the sizes of all pictures."""
    if len(index.pictures) < FEWEST:
        raise DataError(
            f"holds {len(index.pictures)} pictures; the least is {FEWEST}",
            where=str(folder),
            fix="add some: with a few dozen of each class it begins to work",
        )
    return index.sensor.name, [(header.height, header.width) for header in index.headers.values()]


def _check_labels(index: PictureIndex, folder: Path) -> float:
    """Return the mean number of classes that a picture shows.

    Raises:
        DataError: If all pictures show the same classes, or tags do not fit.
    """
    shown = list(index.labels.values())
    if len(set(map(frozenset, shown))) < 2:
        raise DataError(
            f"every picture shows the same: {', '.join(shown[0]) or 'nothing'}",
            where=str(folder),
            fix="add pictures of another class, or of none (a folder `negative`, or empty classes in the tags)",
        )
    return sum(map(len, shown)) / len(shown)


def _check_spelling(index: PictureIndex, where: Path) -> None:
    """Refuse names that are probably slips.

    Raises:
        DataError: If a class of one or two pictures is nearly called as one with ten times as many.
    """
    counts = Counter(name for shown in index.labels.values() for name in shown)
    for rare in sorted(name for name, number in counts.items() if number <= 2):
        common = [name for name, number in counts.items() if number >= 10 * counts[rare]]
        close = difflib.get_close_matches(rare.casefold(), common, n=1, cutoff=0.8)
        if close:
            raise DataError(
                f"unknown class {rare!r} ({counts[rare]} of {len(index.labels)} pictures), did you mean {close[0]!r}?",
                where=str(where),
                fix="correct it, or write both names into classes.txt, one a line",
            )


def _meaning(
    layout: Layout, index: PictureIndex, names: tuple[str, ...], tagged: bool, per_image: float | None
) -> tuple[Meaning, bool]:
    """Return the classes, what masks' values stand for, and whether the masks are of use."""
    drawn = [picture.mask for picture in index.pictures.values() if picture.mask]
    values = mask_values(drawn) if drawn else ()
    where = layout.root / (layout.masks or ".")
    background = next((name for name in names[:1] if name.casefold().strip("_") == "background"), None)
    if not tagged:
        return (with_names(names, background, values, where) if names else without_names(values, where)), True
    names = names or index.classes.label_names
    # Few classes in a picture are objects before something else; many together cover it, as land cover does.
    if background is None and ((per_image is not None and per_image <= 2) or () in index.labels.values()):
        background = "background" if "background" not in map(str.casefold, names) else "none of the classes"
        names = (background, *names)
    try:
        return with_names(names, background, values, where), bool(drawn)
    except DataError as error:
        if layout.asked:
            raise
        return Meaning(names, background, found=(f"{error.what}: not used",), comments={"masks": UNUSED}), False


def _crop(sizes: list[tuple[int, int]]) -> int | None:
    """Return the side of crops, of which a picture has four or more; None where pictures are too small to cut."""
    side = min(LARGEST_CROP, min(map(min, sizes)) // 2) // 8 * 8
    return side if side >= 48 else None


def _describe(index: PictureIndex, sizes: list[tuple[int, int]]) -> str:
    """Return number, size and bands of the pictures in one sentence."""
    small, large = min(sizes), max(sizes)
    shown = f"{small[0]} x {small[1]}" if small == large else f"{small[0]} x {small[1]} to {large[0]} x {large[1]}"
    suffixes = Counter(picture.path.suffix.lower().lstrip(".") for picture in index.pictures.values())
    kinds = ", ".join(f"{number} {suffix}" for suffix, number in suffixes.most_common())
    header = next(iter(index.headers.values()))
    return f"{len(sizes)} pictures ({kinds}) of {shown} pixels, {header.bands}"


def _sources(layout: Layout, masks: bool) -> list[str]:
    """Return what labels and masks are."""
    if layout.tags is not None:
        labels = f"image-level labels in {layout.tags}"
    else:
        labels = "image-level labels: the folder names" if layout.classes else "no tags, no class folders: masks alone"
    return [labels, f"masks in {layout.root / (layout.masks or '.')}" if masks else "no masks: nothing is scored"]


def _class_counts(index: PictureIndex) -> list[str]:
    """Return how many pictures show each class, and which classes show up so seldom that they may be misspelt."""
    if not index.labels:
        return []
    counts = Counter(name for shown in index.labels.values() for name in shown)
    listed = ", ".join(f"{name} {counts[name]}" for name in index.classes.label_names[:20])
    empty = sum(not shown for shown in index.labels.values())
    found = [
        f"pictures by class: {listed}" + (", ..." if len(counts) > 20 else "") + (f"; none {empty}" if empty else "")
    ]
    rare = [name for name in index.classes.label_names if counts[name] < 3]
    if rare:
        found.append(f"classes with one or two pictures cannot be learned, or are misspelt: {', '.join(rare)}")
    return found


def _split_comment(index: PictureIndex, layout: Layout) -> str:
    """Return a remark on the splits, a warning where names look like numbered frames."""
    if layout.splits:
        return "the folders"
    stems = [re.fullmatch(r"(.*?)[-_ ]?\d{3,}", picture.path.stem) for picture in index.pictures.values()]
    series = {match[1] for match in stems if match}
    if all(stems) and len(series) * 3 <= len(stems):
        return "neighbouring frames of one film? similarity: 0.98 keeps those that look alike in one split"
    return "drawn by seed; also counts, file and lists, and group_pattern to keep what belongs together in one split"


def _splits_with_masks(index: PictureIndex) -> tuple[str, ...]:
    """Return the splits in which every picture has a mask."""
    return tuple(
        split
        for split, keys in index.splits.items()
        if keys and all(index.pictures[key].mask is not None for key in keys)
    )
