"""How a folder of pictures is laid out: splits, pictures, masks, tags, class folders."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wsss_adapters.folder.color_table import TABLES
from wsss_adapters.folder.look_places import common_root, empty_of_masks, find_places, join, unread
from wsss_adapters.folder.look_tags import find_tags
from wsss_adapters.pictures.names import LOOKED_FOR, bare, find_pictures, name_below
from wsss_toolkit.domain.exports import YOLO_NAMES
from wsss_toolkit.errors import DataError, did_you_mean

MASK_SUFFIXES = ("", "_mask", "-mask", "_masks", "_gt", "_label", "_labels", "_seg", "_segmentation", "_L", "_labelIds")
"""What may follow a picture's name in its mask's."""

CLASSES_FILE = "classes.txt"


@dataclass(frozen=True, slots=True)
class Layout:
    """What lies where."""

    folder: Path
    """The folder that the user named."""
    root: Path
    """What all else is relative to: the folder, or what it shares with its masks."""
    images: str
    """Folder of the pictures below the root, with `{split}` where there are folders of splits."""
    masks: str | None
    """Folder of the masks below the root; None for none."""
    mask_suffix: str
    """What follows a picture's name in its mask's."""
    splits: Mapping[str, str]
    """Folder of each split; empty where folders don't say."""
    tags: Path | None
    """The tags, with a folder `{split}` where each split has its own."""
    classes: tuple[str, ...]
    classes_file: Path | None
    asked: bool
    """Whether the user named the masks."""
    unread: tuple[str, ...]
    """Sentences on files and folders that are not read."""
    no_tags: str
    """Why the first file that could hold tags holds none, or ""."""

    def mask_keys(self) -> dict[str, Any]:
        """Return the keys of a `data` section that say where masks lie."""
        suffix = {"mask_suffix": self.mask_suffix} if self.mask_suffix else {}
        return {} if self.masks is None else {"masks": self.masks, **suffix}


def find_layout(folder: Path, masks: Path | None) -> Layout:
    """Find out how a folder is laid out; the user may have named the folder of the masks.

    Raises:
        DataError: If a folder does not exist or holds no picture, no mask fits, or pictures lie in class folders and
            beside them.
    """
    for given in filter(None, (folder, masks)):
        if not given.is_dir():
            raise DataError("no such folder", where=str(given), fix="correct the path")
    root, below, chosen = common_root(folder, masks)
    splits, images, found = find_places(root / below)
    images = join(below, images)
    if masks is None and found is not None:
        chosen = join(below, found)
    elif masks is not None and splits and all((masks / name).is_dir() for name in splits.values()):
        chosen = join(chosen or ".", "{split}")
    if chosen == images:  # the user named the pictures' own folder
        chosen = None
    pictures, suffix, matched = _pictures(root, images, chosen, splits)
    if not pictures:
        others = "".join(f" ({sentence})" for sentence in unread(folder, [folder], (), ()))
        fix = LOOKED_FOR
        raise DataError(f"holds no picture{others}", where=str(folder), fix=fix)
    if found is not None and masks is None and not matched:
        fix = "name masks as their pictures; if the folder holds the pictures of a class, give it another name"
        raise DataError("holds no mask that is named as a picture", where=str(root / join(below, found)), fix=fix)
    if chosen is None and (among := _suffix_among(pictures)):
        chosen, suffix = images, among
    if chosen is None and masks is not None:
        fix = f"call them NAME{MASK_SUFFIXES[1]}.png beside NAME.jpg, or name their own folder"
        raise DataError("holds no mask beside a picture", where=str(masks), fix=fix)
    if chosen is None:
        _refuse_pairs(pictures, folder)
    places = (root / below, root)
    files = find_tags((*places, *empty_of_masks(root / below)), pictures)
    tags = _tags_of_splits(root / below, splits, pictures)
    if files.tags is not None:
        tags = _for_each_split(files.tags, splits)
    list_of_classes = next((place / CLASSES_FILE for place in places if (place / CLASSES_FILE).is_file()), None)
    classes = () if tags else _class_folders(root, images, splits, pictures, masked=chosen is not None)
    if not (tags or classes or chosen):  # its faults are those to tell of
        tags = files.doubtful
    read, drawn = (_of_splits(root, pattern, splits) if pattern else [] for pattern in (images, chosen))
    used = [list_of_classes] if list_of_classes else []
    for path in _of_splits(root, tags.relative_to(root).as_posix(), splits) if tags else ():
        names = [place / name for place in (path, *path.parents[:2]) for name in YOLO_NAMES]
        used += [*names, *path.rglob("*.txt")] if path.is_dir() else [path]
    used += [place / name for place in (*places, *(top.parent for top in drawn), *drawn) for name in TABLES if drawn]
    left = (*unread(root / below, read, drawn, used), *files.sentences(tags))
    asked = masks is not None
    why = "" if tags else files.why
    return Layout(folder, root, images, chosen, suffix, splits, tags, classes, list_of_classes, asked, left, why)


def _of_splits(root: Path, pattern: str, splits: Mapping[str, str]) -> list[Path]:
    """Return the folder of each split, or of all, that a path with `{split}` stands for."""
    return [root / pattern.replace("{split}", split) for split in splits.values() or ("",)]


def _pictures(
    root: Path, images: str, masks: str | None, splits: Mapping[str, str]
) -> tuple[dict[str, Path], str, bool]:
    """Return all pictures by their names with their split's, the suffix with which most have a mask, and if any has."""
    pictures: dict[str, Path] = {}
    hits: Counter[str] = Counter()
    for split in splits.values() or ("",):
        base = root / images.replace("{split}", split)
        drawn = None if masks is None else root / masks.replace("{split}", split)
        here = {name_below(path, base): path for path in find_pictures(base, without=drawn)} if base.is_dir() else {}
        pictures |= {join(split or ".", name): path for name, path in here.items()}
        # Masks may lie in a folder around that of the pictures.
        stems = (
            {path.stem for path in {*find_pictures(drawn)} - {*here.values()}} if drawn and drawn.is_dir() else set()
        )
        hits.update(suffix for suffix in MASK_SUFFIXES for path in here.values() if path.stem + suffix in stems)
    return pictures, max(MASK_SUFFIXES, key=lambda suffix: hits[suffix]), hits.total() > 0


def _suffix_among(pictures: Mapping[str, Path]) -> str:
    """Return the suffix of masks that lie among their pictures, or "" where there are none."""
    stems = {bare(name) for name in pictures}
    for suffix in MASK_SUFFIXES[1:]:
        masks = sum(stem.endswith(suffix) and stem.removesuffix(suffix) in stems for stem in stems)
        if masks * 4 >= len(stems):
            return suffix
    return ""


def _refuse_pairs(pictures: Mapping[str, Path], folder: Path) -> None:
    """Refuse folders in which a quarter of the names are there twice, as picture and mask are."""
    times = Counter(bare(name) for name in pictures)
    twice = sorted(name for name, number in times.items() if number > 1)
    if len(twice) * 4 >= len(times):
        what = f"{len(twice)} names are there with two suffixes, {twice[0]} first: picture and mask?"
        raise DataError(what, where=str(folder), fix="move the masks into a folder masks/")


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
        what = f"{len(outside)} pictures lie beside the folders {', '.join(sorted(folders)[:5])}, {outside[0]} first"
        raise DataError(what, where=str(root / images), fix="move each into the folder of its class")
    if outside:
        return ()
    train = splits.get("train", "")
    for name, where in sorted(folders.items()):
        if train not in where:
            hint = did_you_mean(name, [other for other, there in folders.items() if train in there], "", cutoff=0.75)
            what = f"the folder {name!r} is in {', '.join(sorted(where))} and not in {train}"
            raise DataError(what, where=str(root), fix=hint or "move it away, or add pictures of it for training")
    return tuple(sorted(folders))


def _for_each_split(tags: Path, splits: Mapping[str, str]) -> Path:
    """Return tags with `{split}` where each split has a file of its own beside them, such as `instances_train.json`."""
    for folder in splits.values():
        pattern = tags.name.replace(folder, "{split}")
        if pattern != tags.name and all(
            (tags.parent / pattern.replace("{split}", other)).exists() for other in splits.values()
        ):
            return tags.with_name(pattern)
    return tags


def _tags_of_splits(folder: Path, splits: Mapping[str, str], pictures: Collection[str]) -> Path | None:
    """Return the tags that each split's folder has of its own, as Roboflow exports them; `{split}` stands for it."""
    for place in ("train", *(() if "train" in splits else splits)):
        if place not in splits or not (folder / splits[place]).is_dir():
            return None
        found = find_tags([folder / splits[place]], pictures).tags
        if found and all((folder / name / found.name).exists() for name in splits.values()):
            return folder / "{split}" / found.name
    return None
