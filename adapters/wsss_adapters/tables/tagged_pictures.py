"""Which picture each row of a table of tags means."""

import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path, PureWindowsPath
from urllib.parse import unquote

from wsss_adapters.pictures.names import SUFFIXES, bare, name_below
from wsss_toolkit.domain.table import DELIMITERS, normal_form
from wsss_toolkit.domain.tags import Tags, join_rows
from wsss_toolkit.errors import DataError, did_you_mean

UPLOADED = re.compile(r"[0-9a-f]{8}-")
"""What Label Studio puts before the name of a file that was uploaded."""

Meant = dict[str, tuple[str, ...]]
"""The pictures that each spelling of a name may stand for."""


def rows_by_picture(
    rows: Sequence[Tags], pictures: Mapping[str, Path], path: Path, root: Path, same: Collection[str] = ()
) -> tuple[dict[str, Tags], int]:
    """Find what the rows of each picture say; pictures without one are left out.

    Rows name pictures as messages do (by their path below their folder, in normal form), or by a path from the table's
    folder or from the root that all pictures lie in, or an absolute one; or by the address of an annotation program.

    Returns:
        The tags by picture, and the number of pictures whose rows named different classes, see `join_rows`.

    Raises:
        DataError: If a row names no picture, or one of several, or rows of one picture contradict each other, also in
            a column that must be the `same`.
    """
    meant = _meanings(rows, pictures, path, root)
    unknown = [row for row in rows if not meant[row.image]]
    if unknown:
        named = {name for names in meant.values() for name in names}
        raise _no_picture(unknown, pictures, named, path, root)
    for row in rows:
        if len(meant[row.image]) > 1:
            first, second, *_ = meant[row.image]
            fix = "write folder and suffix too"
            raise DataError(f"{row.image!r} could be {first} or {second}", where=row.where, fix=fix)
    if not rows:
        raise DataError("holds no row", where=f"{path}:1", fix="add one for each picture: image,classes")
    return join_rows(((meant[row.image][0], row) for row in rows), same)


def refuse_unknown(rows: Iterable[Tags], classes: Collection[str]) -> None:
    """Raise a DataError for a class that the recipe does not have."""
    for row in rows:
        for label in row.classes:
            if label not in classes:
                near = did_you_mean(label, classes, "", cutoff=0.75)
                hint = near or f"data.classes has {', '.join(sorted(classes)[:10])}"
                raise DataError(f"unknown class {label!r}", where=row.where, fix=hint)


def untagged(pictures: Collection[str], tags: Collection[str], path: Path) -> DataError | None:
    """Return the error for pictures without a row, or None."""
    left = sorted(set(pictures) - set(tags))
    if not left:
        return None
    shown = ", ".join(left[:3]) + (", ..." if len(left) > 3 else "")
    fix = "add one for each, its classes empty where it shows none, or set data.untagged: leave_out"
    return DataError(f"{len(left)} of {len(pictures)} pictures have no row: {shown}", where=str(path), fix=fix)


def _meanings(rows: Iterable[Tags], pictures: Mapping[str, Path], path: Path, root: Path) -> Meant:
    """Return the pictures that each name in the table may stand for; none where there is no such picture."""
    known = _spellings(pictures, (_whole, bare, _file, _stem))
    below = {name_below(file, root): name for name, file in pictures.items()}
    placed = _spellings(below, (_whole, bare))
    found: Meant = {}
    for row in rows:
        by_path = (below[there] for spelled in _below(row.image, path, root) for there in placed.get(spelled, ()))
        found[row.image] = known.get(row.image) or tuple(dict.fromkeys(by_path))  # one picture may be meant in two ways
        if not found[row.image]:
            found[row.image] = next((known[name] for name in exported_names(row.image) if name in known), ())
    return found


def exported_names(image: str) -> list[str]:
    """Return what an annotation program's address may stand for, such as `/data/upload/1/0a1b2c3d-cat.jpg`."""
    if not image.startswith("/data/") and "://" not in image:
        return []
    path = unquote(image.partition("?d=")[2] or image.partition("?")[0])
    parts = [part for part in path.split("/") if part]
    names = ["/".join(parts[start:]) for start in range(len(parts))]
    return names + [UPLOADED.sub("", name, count=1) for name in names[-1:]]


def _below(image: str, path: Path, root: Path) -> list[str]:
    """Return the paths below the root that a name in a table may mean; none if it leads out of it."""
    found: list[str] = []
    for place in (path.parent, root):
        full = Path(os.path.normpath(place.absolute() / image))
        # With links followed too: absolute paths are often written in another way than the root.
        for there, top in (
            (full, Path(os.path.normpath(root.absolute()))),
            (full.parent.resolve() / full.name, root.resolve()),
        ):
            if there.is_relative_to(top):
                found.append(normal_form(there.relative_to(top).as_posix()))
    return list(dict.fromkeys(found))


def _no_picture(
    unknown: Sequence[Tags], pictures: Mapping[str, Path], named: Collection[str], path: Path, root: Path
) -> DataError:
    """Return the error for rows that name no picture, with the remedy for the first.

    Pictures that are `named` have a row: the first is no slip of them.
    """
    row, others = unknown[0], f", and {len(unknown) - 1} more like it" if len(unknown) > 1 else ""
    within = _below(row.image, path, root)
    if not within or PureWindowsPath(row.image).is_absolute():
        fix = "write its path below that folder, or remove the row"
        return DataError(f"{row.image!r} lies outside {root}{others}", where=row.where, fix=fix)
    suffix = Path(row.image).suffix.lower()
    if suffix not in SUFFIXES and any((root / there).is_file() for there in within):
        what = f"{row.image!r} is a file, but {suffix or 'such'} files are not read{others}"
        return DataError(what, where=row.where, fix="convert it to PNG or JPEG, or remove the row")
    known = _spellings(pictures, (_whole, bare, _file, _stem))
    mark = next((mark for mark in DELIMITERS if known.get(row.image.partition(mark)[0].strip())), None)
    if mark is not None:
        fix = f"separate columns as the header does, not by {mark!r}"
        return DataError(f"there is no picture {row.image!r}{others}", where=row.where, fix=fix)
    free = [name for name in pictures if name not in named]
    near = did_you_mean(row.image, free, "", cutoff=0.75) or did_you_mean(_file(row.image), free, "", cutoff=0.75)
    fix = near or f"copy it to the other {len(pictures)}, or remove the row"
    return DataError(f"there is no picture {row.image!r}{others}", where=row.where, fix=fix)


def _spellings(names: Iterable[str], ways: Sequence[Callable[[str], str]]) -> Meant:
    """Return the pictures that a name may stand for: the whole path, or without folder, suffix, or both.

    The longer spelling wins: `a.jpg` is the picture of that very path, if there is one.
    """
    found: Meant = {}
    listed = sorted(names)
    for spell in ways:
        level: Meant = {}
        for name in listed:
            level[spell(name)] = (*level.get(spell(name), ()), name)
        found = {**level, **found}
    return found


def _whole(name: str) -> str:
    return name


def _file(name: str) -> str:
    return name.rpartition("/")[2]


def _stem(name: str) -> str:
    return bare(_file(name))
