"""Folders of frames: which there are, what they are called, and where their masks lie."""

import re
from dataclasses import dataclass
from pathlib import Path

from wsss_toolkit.errors import DataError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff"})
"""Picture files that frames and masks may be."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One image of a data set.

    Attributes:
        key: Its name, safe as a file name.
        image: The picture.
        mask: Its mask, or None.
        labels: Names of the classes that the data set says it shows; None where it says nothing.
    """

    key: str
    image: Path
    mask: Path | None
    labels: tuple[str, ...] | None


def safe_key(name: str) -> str:
    """Return a name with ``-`` for every character that is not safe in a file name."""
    return re.sub(r"^\.|[^A-Za-z0-9._-]", "-", name)


def list_pictures(folder: Path) -> list[Path]:
    """Return the picture files in a folder, sorted; hidden files are left out."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def by_stem(paths: list[Path]) -> dict[str, Path]:
    """Return files by their name without suffix.

    Raises:
        DataError: If two files differ in suffix or case only.
    """
    found: dict[str, Path] = {}
    seen: dict[str, Path] = {}
    for path in paths:
        other = seen.setdefault(path.stem.casefold(), path)
        if other != path:
            raise DataError(
                f"{other.name} and {path.name} have the same name but for suffix or case",
                where=str(path.parent),
                fix="rename or remove one of them: masks are stored under these names",
            )
        found[path.stem] = path
    return found


def flat_frames(images: Path, masks: Path | None) -> list[Frame]:
    """Find the frames of a folder and the mask of each.

    Raises:
        DataError: If a folder is missing or empty, or a mask has no frame.
    """
    for folder in filter(None, (images, masks)):
        if not folder.is_dir():
            raise DataError("no such folder", where=str(folder), fix="correct data.root, data.images or data.masks")
    pictures = by_stem(list_pictures(images))
    if not pictures:
        raise DataError("holds no picture", where=str(images), fix=f"frames end in {', '.join(sorted(SUFFIXES))}")
    drawn = by_stem(list_pictures(masks)) if masks else {}
    alone = sorted(set(drawn) - set(pictures))
    if alone:
        raise DataError(
            f"{len(alone)} masks have no frame, {drawn[alone[0]].name} first",
            where=str(masks),
            fix=f"masks are named as the frames in {images}",
        )
    return [Frame(safe_key(stem), path, drawn.get(stem), None) for stem, path in pictures.items()]
