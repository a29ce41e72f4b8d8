"""Tables of tags: which classes each picture shows, as people write them in spreadsheets."""

import csv
import difflib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from wsss_adapters.folder.class_name_checks import distinct_names
from wsss_adapters.pictures.picture_names import normal_form
from wsss_toolkit.errors import DataError

if TYPE_CHECKING:
    from _csv import Reader

IMAGE_COLUMNS = ("image", "images", "file", "filename", "file_name", "file-name", "name", "path", "picture")
CLASS_COLUMNS = ("classes", "class", "labels", "label", "tags", "tag")
DELIMITERS = ",;\t"
"""What may separate columns."""

BETWEEN_CLASSES = re.compile("[;|,]")
"""What separates the classes of a picture within a cell; commas are in one where it is quoted."""


@dataclass(frozen=True, slots=True)
class Row:
    """What a table says of a picture.

    Attributes:
        image: Its name as the table has it, in Unicode's normal form.
        classes: Names of the classes that it shows, in normal form.
        where: File and line, for messages.
        cells: The cells by their columns' names.
    """

    image: str
    classes: tuple[str, ...]
    where: str
    cells: Mapping[str, str]


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
    lines = text.splitlines(keepends=True)
    delimiter, before = find_delimiter(lines)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        for _ in range(before):
            next(reader)
        header = [cell.strip() for cell in next(reader, [])]
        rows = list(_rows(reader, header, _columns(header, f"{path}:{max(1, reader.line_num)}"), path))
    except csv.Error as error:
        raise DataError(f"malformed: {error}", where=f"{path}:{reader.line_num}", fix="check the quotes") from None
    _refuse_other_delimiter(rows, delimiter)
    return rows


def find_delimiter(lines: Sequence[str]) -> tuple[str, int]:
    """Return what separates a table's columns, and the number of lines before its header.

    Excel writes and reads a line `sep=;` before it.
    """
    first = lines[0] if lines else ""
    said = re.fullmatch(r'"?sep=([,;\t|])"?', first.rstrip("\r\n"), re.IGNORECASE)
    return (said[1], 1) if said else (max(DELIMITERS, key=first.count), 0)


def _columns(header: Sequence[str], where: str) -> tuple[int, int]:
    """Return the places of the columns that name the image and its classes."""
    lower = [cell.casefold() for cell in header]
    image = next((lower.index(name) for name in IMAGE_COLUMNS if name in lower), None)
    classes = next((lower.index(name) for name in CLASS_COLUMNS if name in lower), None)
    if image is None or classes is None:
        raise DataError(
            f"expected the columns image and classes, got {', '.join(header) or 'none'}",
            where=where,
            fix="the first line names the columns: image,classes",
        )
    return image, classes


def _rows(reader: "Reader", header: Sequence[str], columns: tuple[int, int], path: Path) -> Iterator[Row]:
    image, classes = columns
    # Classes may have cells of their own, as in `a.jpg,cat,dog`, up to the next column that is another by its name.
    named = header[classes].casefold()
    end = next((i for i in range(classes + 1, len(header)) if header[i] and header[i].casefold() != named), None)
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        where = f"{path}:{reader.line_num}"
        if len(cells) <= image or not cells[image].strip():
            raise DataError("the row names no image", where=where, fix="complete it or remove it")
        if end is not None and any(cell.strip() for cell in cells[len(header) :]):
            raise DataError(
                f"the row has {len(cells)} cells, the header names {len(header)}",
                where=where,
                fix="write the classes of a picture into one cell, separated by | or in quotes",
            )
        shown = [name.strip() for cell in cells[classes:end] for name in BETWEEN_CLASSES.split(cell)]
        yield Row(
            normal_form(cells[image].strip()).replace("\\", "/").removeprefix("./"),
            tuple(dict.fromkeys(normal_form(name) for name in shown if name)),
            where,
            {name: cell.strip() for name, cell in zip_longest(header, cells[: len(header)], fillvalue="")},
        )


def _refuse_other_delimiter(rows: Sequence[Row], delimiter: str) -> None:
    """Refuse a header that is separated in another way than the rows, which then have one cell each.

    Raises:
        DataError: If no row names a class and every image's name holds another separator.
    """
    if not rows or any(row.classes for row in rows):
        return
    other = next((mark for mark in DELIMITERS if mark != delimiter and all(mark in row.image for row in rows)), None)
    if other is not None:
        raise DataError(
            f"the row is separated by {other!r}, the header by {delimiter!r}",
            where=rows[0].where,
            fix="use one of them",
        )


def class_names(rows: Sequence[Row], path: Path) -> tuple[str, ...]:
    """Return the names of the classes in a table, sorted.

    Raises:
        DataError: If there is none, a name cannot be that of a class, or two names differ in case only.
    """
    if not rows:
        raise DataError(
            "names no class: no row follows the header",
            where=f"{path}:1",
            fix="add one for each picture, such as a.jpg,cat",
        )
    names = distinct_names(
        (name, row.where, f"line {row.where.rpartition(':')[2]}") for row in rows for name in row.classes
    )
    if not names:
        raise DataError(
            f"the row names no class, nor do the other {len(rows) - 1}" if len(rows) > 1 else "the row names no class",
            where=rows[0].where,
            fix="write what each picture shows into the column of the classes, separated by ; or |",
        )
    return names


def did_you_mean(name: str, known: Collection[str]) -> str:
    """Return a hint at the name that comes nearest, or "" if none is near."""
    folded = {other.casefold(): other for other in sorted(known, reverse=True)}
    close = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.75)
    return f"did you mean {folded[close[0]]}?" if close else ""
