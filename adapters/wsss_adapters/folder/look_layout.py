"""How a folder of pictures is laid out: splits, pictures, masks, tags, class folders."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wsss_adapters.endoscopy.frame_folder import class_folders
from wsss_adapters.folder.picture_tags import CLASS_COLUMNS, IMAGE_COLUMNS, did_you_mean
from wsss_adapters.pictures.picture_names import bare, find_pictures, name_below
from wsss_toolkit.errors import DataError

SPLITS: Mapping[str, str] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""The split that a folder's name stands for."""

IMAGES = frozenset({"images", "image", "imgs", "img", "pictures", "photos", "jpegimages"})
MASKS = frozenset(
    {
        "masks",
        "mask",
        "masks_index",
        "annotations",
        "segmentation",
        "segmentationclass",
        "gt",
        "ground_truth",
        "groundtruth",
    }
)
SUFFIXES = ("", "_mask", "-mask", "_masks", "_gt", "_label", "_labels", "_seg", "_segmentation", "_L", "_labelIds")
"""What may follow a picture's name in its mask's."""

TABLES = (".csv", ".tsv")
CLASSES_FILE = "classes.txt"


@dataclass(frozen=True, slots=True)
class Layout:
    """What lies where.

    Attributes:
        folder: The folder that the user named.
        root: What all else is relative to: the folder, or what it shares with its masks.
        images: Folder of the pictures below the root, with `{split}` where there are folders of splits.
        masks: Folder of the masks below the root; None for none.
        mask_suffix: What follows a picture's name in its mask's.
        splits: Folder of each split; empty where folders don't say.
        tags: The table of tags.
        classes: Names of the class folders.
        classes_file: A list of class names.
        asked: Whether the user named the masks.
    """

    folder: Path
    root: Path
    images: str
    masks: str | None
    mask_suffix: str
    splits: Mapping[str, str]
    tags: Path | None
    classes: tuple[str, ...]
    classes_file: Path | None
    asked: bool

    def mask_keys(self) -> dict[str, Any]:
        """Return the keys of a `data` section that say where masks lie."""
        suffix = {"mask_suffix": self.mask_suffix} if self.mask_suffix else {}
        return {} if self.masks is None else {"masks": self.masks, **suffix}


def find_layout(folder: Path, masks: Path | None) -> Layout:
    """Find out how a folder is laid out.

    Args:
        folder: The folder.
        masks: The folder of the masks, if the user named it.

    Raises:
        DataError: If a folder does not exist or holds no picture, or pictures lie in class folders and beside them.
    """
    for given in filter(None, (folder, masks)):
        if not given.is_dir():
            raise DataError("no such folder", where=str(given), fix="correct the path")
    root = Path(os.path.commonpath([folder, masks])) if masks else folder
    splits, images, found = _places(folder)
    below = folder.relative_to(root).as_posix()
    images = _join(below, images)
    chosen = masks.relative_to(root).as_posix() if masks else None if found is None else _join(below, found)
    if masks and splits and all((masks / name).is_dir() for name in splits.values()):
        chosen = _join(chosen or ".", "{split}")
    pictures, suffix = _pictures(root, images, chosen, splits)
    if not pictures:
        raise DataError("holds no picture", where=str(folder), fix="PNG, JPEG, TIFF and BMP files are looked for")
    if chosen is None and (among := _suffix_among(pictures)):
        chosen, suffix = images, among
    if chosen is None:
        _refuse_pairs(pictures, folder)
    tags = find_tags([folder, root])
    list_of_classes = next((place / CLASSES_FILE for place in (folder, root) if (place / CLASSES_FILE).is_file()), None)
    return Layout(
        folder,
        root,
        images,
        chosen,
        suffix,
        splits,
        tags,
        () if tags else _class_folders(root, images, splits, pictures, masked=chosen is not None),
        list_of_classes,
        masks is not None,
    )


def _places(folder: Path) -> tuple[dict[str, str], str, str | None]:
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
    prefix = "{split}" if splits else "."
    return splits, _join(prefix, images or "."), _join(prefix, masks) if masks else None


def _split_folders(folder: Path) -> dict[str, str]:
    """Return the folder of each split, if there is one for training and another."""
    found = {
        SPLITS[path.name.casefold()]: path.name for path in class_folders(folder) if path.name.casefold() in SPLITS
    }
    ordered: dict[str, str] = {split: found[split] for split in ("train", "val", "test") if split in found}
    return ordered if "train" in ordered and len(ordered) > 1 else {}


def _named(folder: Path, names: Iterable[str]) -> str | None:
    """Return the first folder in a folder that has one of the names, whatever its case."""
    return next((path.name for path in class_folders(folder) if path.name.casefold() in names), None)


def _join(first: str, second: str) -> str:
    parts = [part for part in (first, second) if part != "."]
    return "/".join(parts) or "."


def _pictures(root: Path, images: str, masks: str | None, splits: Mapping[str, str]) -> tuple[dict[str, Path], str]:
    """Return all pictures by their names with their split's, and the suffix with which most of them have a mask."""
    pictures: dict[str, Path] = {}
    hits: Counter[str] = Counter()
    for split in splits.values() or ("",):
        base = root / images.replace("{split}", split)
        drawn = None if masks is None else root / masks.replace("{split}", split)
        here = {name_below(path, base): path for path in find_pictures(base, without=drawn)} if base.is_dir() else {}
        pictures |= {_join(split or ".", name): path for name, path in here.items()}
        stems = {path.stem for path in find_pictures(drawn)} if drawn and drawn.is_dir() else set()
        hits.update(suffix for suffix in SUFFIXES for path in here.values() if path.stem + suffix in stems)
    return pictures, max(SUFFIXES, key=lambda suffix: hits[suffix])


def _suffix_among(pictures: Mapping[str, Path]) -> str:
    """Return the suffix of masks that lie among their pictures, or "" where there are none."""
    stems = {bare(name) for name in pictures}
    for suffix in SUFFIXES[1:]:
        masks = sum(stem.endswith(suffix) and stem.removesuffix(suffix) in stems for stem in stems)
        if masks * 4 >= len(stems):
            return suffix
    return ""


def _refuse_pairs(pictures: Mapping[str, Path], folder: Path) -> None:
    """Refuse folders in which each name is there twice, as picture and mask are.

    Raises:
        DataError: If a quarter of the pictures have a double with another suffix.
    """
    times = Counter(bare(name) for name in pictures)
    twice = sorted(name for name, number in times.items() if number > 1)
    if len(twice) * 4 >= len(times):
        raise DataError(
            f"{len(twice)} names are there with two suffixes, {twice[0]} first: picture and mask?",
            where=str(folder),
            fix="move the masks into a folder masks/",
        )


def find_tags(places: Sequence[Path]) -> Path | None:
    """Return the table of tags in one of some folders: tags.csv, or the first with the right columns."""
    for place in dict.fromkeys(places):
        tables = sorted(path for path in place.iterdir() if path.suffix.lower() in TABLES and path.is_file())
        named = [path for path in tables if path.stem.casefold() == "tags"]
        for path in [*named, *tables]:
            if path in named or _has_columns(path):
                return path
    return None


def _has_columns(path: Path) -> bool:
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        line = file.readline(10_000)
    cells = {cell.strip(' "').casefold() for cell in line.replace(";", ",").replace("\t", ",").split(",")}
    return bool(cells & set(IMAGE_COLUMNS)) and bool(cells & set(CLASS_COLUMNS))


def _class_folders(
    root: Path, images: str, splits: Mapping[str, str], pictures: Mapping[str, Path], *, masked: bool
) -> tuple[str, ...]:
    """Return the names of the folders that pictures lie in, if all lie in one.

    Raises:
        DataError: If some do not, and no mask could be their label, or a split has a folder that training lacks.
    """
    folders: dict[str, set[str]] = {}
    outside: list[str] = []
    for split in splits.values() or ("",):
        base = root / images.replace("{split}", split)
        for name, path in pictures.items():
            if base in path.parents:
                first, slash, _ = name_below(path, base).partition("/")
                folders.setdefault(first, set()).add(split) if slash else outside.append(name)
    if outside and folders and not masked:
        raise DataError(
            f"{len(outside)} pictures lie beside the folders {', '.join(sorted(folders)[:5])}, {outside[0]} first",
            where=str(root / images),
            fix="move each into the folder of its class",
        )
    if outside:
        return ()
    train = splits.get("train", "")
    for name, where in sorted(folders.items()):
        if train not in where:
            hint = did_you_mean(name, [other for other, there in folders.items() if train in there])
            raise DataError(
                f"the folder {name!r} is in {', '.join(sorted(where))} and not in {train}",
                where=str(root),
                fix=hint or "move it away, or add pictures of it for training",
            )
    return tuple(sorted(folders))
