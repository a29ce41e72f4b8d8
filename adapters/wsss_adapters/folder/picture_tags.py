"""Tables of tags: which classes each picture shows, as people write them in spreadsheets."""

import csv
import difflib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wsss_adapters.pictures.picture_names import bare, normal_form
from wsss_toolkit.errors import DataError

if TYPE_CHECKING:
    from _csv import Reader

IMAGE_COLUMNS = ("image", "images", "file", "filename", "file_name", "file-name", "name", "path", "picture")
CLASS_COLUMNS = ("classes", "class", "labels", "label", "tags", "tag")
SEPARATORS = ";|"
"""What separates the classes of a picture; commas do too, unless they separate columns."""


@dataclass(frozen=True, slots=True)
class Row:
    """What a table says of a picture.

    Attributes:
        image: Its name as the table has it, in Unicode's normal form.
        classes: Names of the classes that it shows, in normal form.
        where: File and line, for messages.
    """

    image: str
    classes: tuple[str, ...]
    where: str


def read_rows(path: Path) -> list[Row]:
    """Read a table with a header, separated by commas, semicolons or tabs.

    Raises:
        DataError: If it is missing, no text, lacks a column, or a row does not fit its header.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError("no such table of tags", where=str(path), fix="correct data.tags") from None
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", where=str(path), fix="check its rights") from error
    except UnicodeDecodeError:
        raise DataError("is not UTF-8 text", where=str(path), fix="save it as CSV in UTF-8") from None
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    reader = csv.reader(text.splitlines(keepends=True), delimiter=delimiter, strict=True)
    try:
        image, classes = _columns([cell.strip() for cell in next(reader, [])], path)
        return list(_rows(reader, image, classes, delimiter, path))
    except csv.Error as error:
        raise DataError(f"malformed: {error}", where=f"{path}:{reader.line_num}", fix="check the quotes") from None


def _columns(header: Sequence[str], path: Path) -> tuple[int, int]:
    """Return the places of the columns that name the image and its classes."""
    lower = [cell.casefold() for cell in header]
    image = next((lower.index(name) for name in IMAGE_COLUMNS if name in lower), None)
    classes = next((lower.index(name) for name in CLASS_COLUMNS if name in lower), None)
    if image is None or classes is None:
        raise DataError(
            f"expected the columns image and classes, got {', '.join(header) or 'none'}",
            where=f"{path}:1",
            fix="the first line names the columns: image,classes",
        )
    return image, classes


def _rows(reader: "Reader", image: int, classes: int, delimiter: str, path: Path) -> Iterator[Row]:
    separators = SEPARATORS if delimiter == "," else f"{SEPARATORS},"
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        where = f"{path}:{reader.line_num}"
        if len(cells) <= image or not cells[image].strip():
            raise DataError("the row names no image", where=where, fix="complete it or remove it")
        # Classes in cells of their own, as in `a.jpg,cat,dog`, where they are the last column.
        shown = cells[classes:] if classes > image else cells[classes : classes + 1]
        for separator in separators:
            shown = [name for cell in shown for name in cell.split(separator)]
        named = tuple(dict.fromkeys(normal_form(name.strip()) for name in shown if name.strip()))
        yield Row(normal_form(cells[image].strip()).replace("\\", "/").removeprefix("./"), named, where)


def class_names(rows: Sequence[Row]) -> tuple[str, ...]:
    """Return the names of the classes in a table, sorted.

    Raises:
        DataError: If two names differ in case only, which is one class written in two ways.
    """
    seen: dict[str, tuple[str, Row]] = {}
    for row in rows:
        for name in row.classes:
            other, first = seen.setdefault(name.casefold(), (name, row))
            if other != name:
                raise DataError(
                    f"class {name!r} is written {other!r} in line {first.where.rpartition(':')[2]}",
                    where=row.where,
                    fix="write it in one way",
                )
    return tuple(sorted(name for name, _ in seen.values()))


def tags_by_picture(
    rows: Sequence[Row], pictures: Collection[str], classes: Collection[str], path: Path
) -> dict[str, tuple[str, ...]]:
    """Find the picture of each row.

    Args:
        rows: The table.
        pictures: Names of all pictures: paths below their folder, in normal form.
        classes: Names of the classes that have a label.
        path: The table, for errors.

    Returns:
        The classes of each picture that has a row.

    Raises:
        DataError: If a row names no picture, or one of several, or one for the second time, or an unknown class.
    """
    known = _spellings(pictures)
    unknown = [row for row in rows if row.image not in known]
    if unknown:
        others = f", and {len(unknown) - 1} more like it" if len(unknown) > 1 else ""
        named = {name for row in rows for name in known.get(row.image, ())}
        free = [name for name in pictures if name not in named]  # a name that has a row already is no slip of another
        raise DataError(
            f"there is no picture {unknown[0].image!r}{others}",
            where=unknown[0].where,
            fix=did_you_mean(unknown[0].image, free) or f"copy it to the other {len(pictures)}, or remove the row",
        )
    found: dict[str, tuple[str, ...]] = {}
    first: dict[str, Row] = {}
    for row in rows:
        meant = known[row.image]
        if len(meant) > 1:
            raise DataError(
                f"{row.image!r} could be {meant[0]} or {meant[1]}", where=row.where, fix="write folder and suffix too"
            )
        [name] = meant
        if name in first:
            line = first[name].where.rpartition(":")[2]
            raise DataError(
                f"{row.image!r} has a row already, in line {line}", where=row.where, fix="remove one of them"
            )
        for label in row.classes:
            if label not in classes:
                hint = did_you_mean(label, classes) or f"data.classes has {', '.join(sorted(classes)[:10])}"
                raise DataError(f"unknown class {label!r}", where=row.where, fix=hint)
        first[name], found[name] = row, row.classes
    if not found:
        raise DataError("holds no row", where=str(path), fix="add one for each picture: image,classes")
    return found


def untagged(pictures: Collection[str], tags: Mapping[str, object], path: Path) -> DataError | None:
    """Return the error for pictures without a row, or None."""
    left = sorted(set(pictures) - set(tags))
    if not left:
        return None
    shown = ", ".join(left[:3]) + (", ..." if len(left) > 3 else "")
    return DataError(
        f"{len(left)} of {len(pictures)} pictures have no row: {shown}",
        where=str(path),
        fix="add one for each, its classes empty where it shows none, or set data.untagged: leave_out",
    )


def did_you_mean(name: str, known: Collection[str]) -> str:
    """Return a hint at the name that comes nearest, or "" if none is near."""
    folded = {other.casefold(): other for other in sorted(known, reverse=True)}
    close = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.75)
    return f"did you mean {folded[close[0]]}?" if close else ""


def _spellings(pictures: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Return the pictures that a name may stand for: the whole path, or without folder, suffix, or both.

    The longer spelling wins: `a.jpg` is the picture of that very path, if there is one.
    """
    found: dict[str, tuple[str, ...]] = {}
    for spell in (_whole, bare, _file, _stem):
        level: dict[str, tuple[str, ...]] = {}
        for name in sorted(pictures):
            level[spell(name)] = (*level.get(spell(name), ()), name)
        found = {**level, **found}
    return found


def _whole(name: str) -> str:
    return name


def _file(name: str) -> str:
    return name.rpartition("/")[2]


def _stem(name: str) -> str:
    return bare(_file(name))
