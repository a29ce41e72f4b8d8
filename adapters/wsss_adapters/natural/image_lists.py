"""Lists of image names in text files, and the checks that keys and splits must pass."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from wsss_toolkit.errors import DataError

SAFE: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
"""What a key may consist of: files are named after it."""


def read_list(path: Path, fix: str = "copy or download it again") -> tuple[str, ...]:
    """Read a text file with one image a line, and return their names sorted, each once.

    The first word of a line counts, its folder and suffix do not: lists such as ``/JPEGImages/a.jpg /Masks/a.png``
    are in use.

    Args:
        path: The file.
        fix: What to do if it is not there.

    Raises:
        DataError: If the file is missing, empty, no text, or names what is no file name.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise DataError("no such list", where=str(path), fix=fix) from None
    except (OSError, ValueError) as error:
        raise DataError(
            f"cannot be read as text ({error})", where=str(path), fix="copy or download it again"
        ) from error
    names = set()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        name = re.sub(r"\.(jpe?g|png|mat)$", "", line.split()[0].rsplit("/", 1)[-1], flags=re.IGNORECASE)
        if not SAFE.fullmatch(name):
            raise DataError(f"{line.split()[0]!r} is no image name", where=f"{path}:{number}", fix="correct the list")
        names.add(name)
    if not names:
        raise DataError("the list is empty", where=str(path), fix=fix)
    return tuple(sorted(names))


def check_keys(keys: Iterable[str], where: Path) -> None:
    """Refuse names that cannot name files, or that differ in case only.

    Raises:
        DataError: If there are such.
    """
    seen: dict[str, str] = {}
    for key in keys:
        if not SAFE.fullmatch(key):
            raise DataError(
                f"{key!r} cannot name a mask",
                where=str(where),
                fix="rename the image with A-Z, a-z, 0-9, '.', '_', '-'",
            )
        other = seen.setdefault(key.casefold(), key)
        if other != key:
            raise DataError(f"{key!r} and {other!r} differ in case only", where=str(where), fix="rename one of them")


def check_disjoint(splits: Mapping[str, tuple[str, ...]], where: Path, fix: str) -> None:
    """Refuse splits that share images: what is trained on must not be scored.

    Raises:
        DataError: If two do.
    """
    owners: dict[str, str] = {}
    for split, keys in splits.items():
        for key in keys:
            other = owners.setdefault(key.casefold(), split)
            if other != split:
                raise DataError(f"image {key!r} is in the splits {other!r} and {split!r}", where=str(where), fix=fix)


def check_present(keys: Iterable[str], folder: Path, suffix: str, what: str, fix: str) -> None:
    """Refuse a folder that lacks the files of some images.

    Args:
        keys: The images.
        folder: Where their files should lie.
        suffix: Of their files.
        what: What the files are, in the plural, for messages.
        fix: What to do.

    Raises:
        DataError: If files, or the folder, are missing.
    """
    there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    missing = [key for key in keys if f"{key}{suffix}" not in there]
    if missing:
        raise DataError(f"{len(missing)} {what} are missing, {missing[0]}{suffix} first", where=str(folder), fix=fix)
