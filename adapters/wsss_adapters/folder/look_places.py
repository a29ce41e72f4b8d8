"""Where pictures, masks and splits lie in a folder, by the names of its folders, and what in it is not read."""

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from wsss_adapters.pictures.decoding import open_picture
from wsss_adapters.pictures.names import SUFFIXES, class_folders, find_pictures
from wsss_toolkit.domain.split_words import split_of
from wsss_toolkit.domain.unread import by_kind
from wsss_toolkit.errors import DataError

IMAGES = frozenset({"images", "image", "imgs", "img", "pictures", "photos", "jpegimages"})
MASKS = frozenset({
    "masks", "mask", "masks_index", "annotations", "segmentation", "segmentationclass", "gt", "ground_truth",
    "groundtruth",
})  # fmt: skip

COLORS = 256
"""Colours beyond which a file is a photograph: masks have fewer, grey ones too."""

SHOWN = 8
"""Links that are listed."""


def common_root(folder: Path, masks: Path | None) -> tuple[Path, str, str | None]:
    """Return the folder that pictures and masks share, absolute if one of them is; and their paths below it.

    Raises:
        DataError: If they share none, as on two drives.
    """
    if masks is None:
        return folder, ".", None
    # Links stay, but where `..` may lead out of one.
    follow = ".." in (*folder.parts, *masks.parts)
    full = [path.resolve() if follow else path.absolute() for path in (folder, masks)]
    try:
        root = Path(os.path.commonpath(full))
    except ValueError:
        fix = "put both on one drive"
        raise DataError(f"shares no folder with the masks in {masks}", where=str(folder), fix=fix) from None
    below = [path.relative_to(root).as_posix() for path in full]
    absolute = folder.is_absolute() or masks.is_absolute()
    return (root if absolute else Path(os.path.relpath(root))), below[0], below[1]


def find_places(folder: Path) -> tuple[dict[str, str], str, str | None]:
    """Return the folders of splits, and the places of pictures and masks below the folder."""
    splits = _split_folders(folder)
    inside = folder / splits["train"] if splits else folder
    images = _named(inside, IMAGES)
    if not splits and images is not None and (splits := _split_folders(folder / images)):
        masks = _named(folder, MASKS)
        if masks is not None and all((folder / masks / name).is_dir() for name in splits.values()):
            masks = f"{masks}/{{split}}"
        return splits, f"{images}/{{split}}", masks
    masks = _named(inside, MASKS)
    if masks is not None and images is None and _is_class(inside / masks):
        masks = None
    prefix = "{split}" if splits else "."
    return splits, join(prefix, images or "."), join(prefix, masks) if masks else None


def _is_class(folder: Path) -> bool:
    """Return whether a folder called as those of masks holds a class, as `mask` beside `no_mask` does.

    All pictures beside it lie in folders too, and its first file is a photograph.
    """
    beside = find_pictures(folder.parent, without=folder)
    drawn = find_pictures(folder)
    if not beside or not drawn or any(path.parent == folder.parent for path in beside):
        return False
    try:
        with open_picture(drawn[0]) as picture:
            return picture.convert("RGB").getcolors(COLORS) is None
    except DataError:  # what is damaged is named when masks are read
        return False


def _split_folders(folder: Path) -> dict[str, str]:
    """Return the folder of each split, if there is one for training and another."""
    found = {split: path.name for path in class_folders(folder) if (split := split_of(path.name))}
    ordered: dict[str, str] = {split: found[split] for split in ("train", "val", "test") if split in found}
    return ordered if "train" in ordered and len(ordered) > 1 else {}


def _named(folder: Path, names: Iterable[str]) -> str | None:
    """Return the first folder in a folder that has one of the names, whatever its case, and holds a picture."""
    there = (path for path in class_folders(folder) if path.name.casefold() in names)
    return next((path.name for path in there if find_pictures(path)), None)


def empty_of_masks(folder: Path) -> list[Path]:
    """Return the folders that are called as those of masks and hold no picture, as CVAT's and VOC's `annotations`."""
    return [path for path in class_folders(folder) if path.name.casefold() in MASKS and not find_pictures(path)]


def join(first: str, second: str) -> str:
    """Return a path below another, with `/`; `.` is no part of it."""
    parts = [part for part in (first, second) if part != "."]
    return "/".join(parts) or "."


def unread(folder: Path, images: Sequence[Path], masks: Sequence[Path], used: Collection[Path]) -> tuple[str, ...]:
    """Return sentences on files of other kinds, pictures elsewhere, linked folders and links that lead nowhere.

    So nothing is left out without a word. All below the folders of images is read, and `used` tables and lists.
    """
    kinds: list[Path] = []
    elsewhere: list[str] = []
    linked: list[str] = []
    broken: list[str] = []
    apart = {*images, *masks}
    for top in dict.fromkeys((*images, folder)):
        for path in _walk(top, apart - {top}):
            name = os.path.relpath(path, folder)
            if path.is_dir():
                linked.append(name)
            elif not path.exists():
                broken.append(name)
            elif path.suffix.lower() not in SUFFIXES:
                kinds += [path] if path not in used else []
            elif top not in images and not any(place in path.parents for place in masks):
                elsewhere.append(name)
    found = [f"not read, other kinds of files: {by_kind(kinds)}"] if kinds else []
    if elsewhere:
        places = " and ".join(dict.fromkeys(os.path.relpath(place, folder) for place in images))
        found.append(f"not read, outside {places}: {len(elsewhere)} pictures, {elsewhere[0]} first")
    if linked:
        found.append(f"not followed, folders that are links: {', '.join(linked[:SHOWN])}; copy or move them here")
    if broken:
        found.append(f"links that lead nowhere: {len(broken)}, {broken[0]} first")
    return tuple(found)


def _walk(top: Path, without: Collection[Path]) -> Iterator[Path]:
    """Yield files and linked folders below a folder, sorted in each; hidden ones are left out."""
    for place, folders, names in os.walk(top):
        shown = sorted(name for name in folders if not name.startswith(".") and Path(place, name) not in without)
        folders[:] = shown
        yield from (Path(place, name) for name in shown if Path(place, name).is_symlink())
        yield from (Path(place, name) for name in sorted(names) if not name.startswith("."))
