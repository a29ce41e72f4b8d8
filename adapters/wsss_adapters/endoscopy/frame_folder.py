"""Folders of frames: which there are, what they are called, and where their masks lie."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from wsss_adapters.endoscopy.hyperkvasir_classes import ClassNames
from wsss_adapters.pictures.names import SUFFIXES, by_stem, class_folders, list_pictures
from wsss_toolkit.errors import DataError
from wsss_toolkit.files import safe_key


@dataclass(frozen=True, slots=True)
class Frame:
    """One image of a data set."""

    key: str
    """Its name, safe as a file name."""
    image: Path
    mask: Path | None
    kind: str | None = None
    """The class, or the kind of negative image, that the data set says it is; None where it says nothing."""
    labels: tuple[str, ...] | None = None
    """Names of the classes that it shows; None where the data set says nothing."""


def find_masks(folder: Path) -> dict[str, Path]:
    """Return the masks in a folder by name without suffix.

    Raises:
        DataError: If there is no such folder.
    """
    if not folder.is_dir():
        raise DataError("no such folder", where=str(folder), fix="correct data.root or data.masks")
    return by_stem(list_pictures(folder))


def check_masks(masks: dict[str, Path], stems: Iterable[str], images: Path) -> None:
    """Raise a DataError where a mask belongs to no frame."""
    alone = sorted(set(masks) - set(stems))
    if alone:
        where = masks[alone[0]]
        what = f"{len(alone)} {'mask has' if len(alone) == 1 else 'masks have'} no frame, {where.name} first"
        raise DataError(what, where=str(where.parent), fix=f"masks are named as the frames in {images}")


def class_of(folder: Path, names: ClassNames) -> tuple[str, tuple[str, ...]] | None:
    """Return what a class folder stands for and the labels of its images; None if they are left out.

    Raises:
        DataError: If its name is neither a class nor anything else that the recipe names.
    """
    try:
        return names.find(folder.name)
    except KeyError as error:
        [close] = error.args
        hint = f"did you mean {close}? " if close else ""
        fix = f"{hint}name it in data.classes, data.aliases or data.negatives, or move the folder away"
        raise DataError(f"{folder.name!r} is no class", where=str(folder), fix=fix) from error


def folder_frames(images: Path, masks: Path | None, names: ClassNames) -> list[Frame]:
    """Find the frames of a folder, of its class folders too, and the mask of each.

    Masks lie in one folder or in class folders of the same names.

    Raises:
        DataError: If a folder is missing, empty or no class, or a mask has no frame.
    """
    if not images.is_dir():
        fix = "correct data.root (--set data.root=DIR) or data.images"
        raise DataError("no such folder", where=str(images), fix=fix)
    frames: list[Frame] = []
    flat = find_masks(masks) if masks else {}
    stems: set[str] = set()
    for folder in [images, *class_folders(images)]:
        named = None if folder == images else class_of(folder, names)
        pictures = by_stem(list_pictures(folder))
        stems |= set(pictures)
        if folder != images and named is None:
            continue
        own = masks / folder.name if masks and folder != images and (masks / folder.name).is_dir() else None
        drawn = find_masks(own) if own else {}
        check_masks(drawn, pictures, folder)
        kind, labels = named or (None, None)
        for stem, path in pictures.items():
            frames.append(Frame(safe_key(stem), path, drawn.get(stem, flat.get(stem)), kind, labels))
    if not frames:
        raise DataError("holds no picture", where=str(images), fix=f"frames end in {', '.join(sorted(SUFFIXES))}")
    check_masks(flat, stems, images)
    return frames


def distinct(frames: Iterable[Frame]) -> dict[str, Frame]:
    """Return frames by key, sorted; where class folders share a name, the folder is put before it.

    Raises:
        DataError: If keys would still differ in case only, or a file is empty.
    """
    listed = list(frames)
    for frame in listed:
        for path in filter(None, (frame.image, frame.mask)):
            if not path.stat().st_size:
                raise DataError("is empty (0 bytes)", where=str(path), fix="copy or download it again, or move it away")
    times = Counter(frame.key.casefold() for frame in listed)
    found: dict[str, Frame] = {}
    seen: dict[str, Frame] = {}
    for frame in listed:
        shared = times[frame.key.casefold()] > 1
        key = safe_key(f"{frame.image.parent.name}_{frame.image.stem}") if shared else frame.key
        other = seen.setdefault(key.casefold(), frame)
        if other is not frame:
            what = f"{other.image} and {frame.image} would both be called {key}"
            fix = "rename one of them: masks are stored under these names"
            raise DataError(what, where=str(frame.image.parent), fix=fix)
        found[key] = replace(frame, key=key)
    return dict(sorted(found.items()))
