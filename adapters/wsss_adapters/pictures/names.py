"""Which files are pictures, which of them a folder holds, and what they are called."""

import hashlib
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from wsss_toolkit.domain.table import normal_form
from wsss_toolkit.errors import DataError

SUFFIXES = frozenset({
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".avif", ".jp2", ".j2k",
})  # fmt: skip
"""Suffixes of pictures and of their masks, in lower case; of what kind a file is, its contents say."""

SAFE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
"""Names that are file names everywhere as they are."""

LOOKED_FOR = f"pictures end in {', '.join(sorted(SUFFIXES))}"


def bare(name: str) -> str:
    """Return a picture's name without its suffix, if it has a picture's."""
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in SUFFIXES else name


def find_pictures(folder: Path, *, without: Path | None = None) -> list[Path]:
    """Return the picture files in a folder and below it, sorted by path; hidden ones and one folder are left out.

    Raises:
        DataError: If a folder cannot be read.
    """

    def refuse(error: OSError) -> None:
        fix = "check its rights"
        raise DataError(f"cannot be read ({error.strerror})", where=str(error.filename or folder), fix=fix)

    found: list[Path] = []
    for place, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = sorted(n for n in folders if not n.startswith(".") and Path(place, n) != without)
        found += (Path(place, n) for n in names if not n.startswith(".") and Path(n).suffix.lower() in SUFFIXES)
    return sorted(path for path in found if path.is_file())


def list_pictures(folder: Path) -> list[Path]:
    """Return the picture files in a folder, sorted; hidden files are left out."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def by_stem(paths: list[Path]) -> dict[str, Path]:
    """Return files by their name without suffix, in normal form: programs write one letter in two ways.

    Raises:
        DataError: If two files differ in suffix or case only.
    """
    found: dict[str, Path] = {}
    seen: dict[str, Path] = {}
    for path in paths:
        stem = normal_form(path.stem)
        other = seen.setdefault(stem.casefold(), path)
        if other != path:
            what = f"{other.name} and {path.name} have the same name but for suffix or case"
            fix = "rename or remove one of them: masks are stored under these names"
            raise DataError(what, where=str(path.parent), fix=fix)
        found[stem] = path
    return found


def class_folders(folder: Path) -> list[Path]:
    """Return the folders in a folder, sorted; hidden ones are left out."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def name_below(path: Path, base: Path) -> str:
    """Return a file's path below a folder, with `/`, in normal form."""
    return normal_form(path.relative_to(base).as_posix())


def safe_keys(names: Iterable[str]) -> dict[str, str]:
    """Give every picture, named by its path below their folder in normal form, a key: its own name where that is safe.

    Pictures of one name in several folders get their folders' names too. What is unsafe (spaces, letters beyond ASCII)
    or still shared is made ASCII and gets a short digest of the whole name, which is the same on every machine. Keys
    differ by more than case.
    """
    listed = sorted(names)
    times = Counter(bare(name).rpartition("/")[2].casefold() for name in listed)
    wanted = {}
    for name in listed:
        stem = bare(name).rpartition("/")[2]
        wanted[name] = stem if times[stem.casefold()] == 1 else bare(name).replace("/", "_")
    again = Counter(key.casefold() for key in wanted.values())
    return {
        name: key if SAFE.fullmatch(key) and again[key.casefold()] == 1 else f"{_slug(key)}-{_digest(name)}"
        for name, key in wanted.items()
    }


def keys_of_stems(stems: Iterable[str], where: Path) -> dict[str, str]:
    """Return pictures' names without suffix by their keys, see `safe_keys`.

    Raises:
        DataError: If two are one name, written in two ways of Unicode.
    """
    found: dict[str, str] = {}
    for stem in stems:
        other = found.setdefault(f"{normal_form(stem)}.png", stem)
        if other != stem:
            what = f"{other!r} and {stem!r} are one name, written in two ways of Unicode"
            raise DataError(what, where=str(where), fix="rename one of them")
    return {key: found[name] for name, key in safe_keys(found).items()}


def _slug(text: str) -> str:
    """Return what ASCII has of a text, its words joined by `-`."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9_]+", "-", plain)[-60:].strip("-") or "picture"  # the end of a path says most


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:8]
