"""Tables of tags: which classes each image shows, as people write them in spreadsheets or JSON."""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from wsss_toolkit.domain.table import CLASS_COLUMNS, IMAGE_COLUMNS, Table, decode, normal_form, read_content, read_table
from wsss_toolkit.errors import DataError
from wsss_toolkit.files import cell_text

SEPARATOR = ";"
"""What separates classes within a cell; commas and `|` do too, where they are part of no class's name."""


@dataclass(frozen=True, slots=True)
class Tags:
    """What a table says of an image."""

    image: str
    """Its name as the table has it, in Unicode's normal form, with `/`."""
    classes: tuple[str, ...]
    """Names of the classes that it shows, in normal form, each once."""
    where: str
    """File and line, for messages."""
    cells: Mapping[str, str]
    """The cells by their columns' names; empty for JSON."""


Columns = tuple[str | None, str | None]
"""The columns that a recipe chooses for image and classes; None looks for a usual name."""


def read_tag_rows(path: Path, key: str, known: Collection[str] = (), columns: Columns = (None, None)) -> list[Tags]:
    """Read a table with a column of images and one of classes, or JSON `{image: [class, ...]}`.

    Classes may have cells of their own, as in `a.jpg,cat,dog`, up to the next column that is another by its name. The
    names of classes, where they are known, may hold a comma or `|`. `key` is the recipe's key that names the file.

    Raises:
        DataError: If the file cannot be read, lacks a column, or a row does not fit its header.
    """
    if path.suffix.lower() == ".json":
        return list(_from_json(path, key))
    table = read_table(path, key=key)
    return list(_from_table(table, *_places(table, columns), {normal_form(name) for name in known}))


def _places(table: Table, columns: Columns) -> tuple[int, int]:
    """Return the places of the columns that name the image and its classes."""
    usual = zip(columns, (IMAGE_COLUMNS, CLASS_COLUMNS), strict=True)
    image, classes = (table.find(names) if name is None else table.column(name) for name, names in usual)
    if image is None or classes is None:
        what = f"expected the columns image and classes, got {', '.join(table.columns) or 'none'}"
        fix = "the first line names the columns: image,classes; or choose them: image_column, classes_column"
        raise DataError(what, where=table.where, fix=fix)
    if image == classes:
        raise DataError(f"the column {table.columns[image]!r} cannot name both image and classes", where=table.where)
    return image, classes


def _from_table(table: Table, image: int, classes: int, known: Collection[str]) -> Iterator[Tags]:
    header = table.columns
    named = header[classes].casefold()
    end = next((i for i in range(classes + 1, len(header)) if header[i] and header[i].casefold() != named), None)
    for row in table.rows:
        cells = row.cells
        if len(cells) <= image or not cells[image]:
            raise DataError("the row names no image", where=row.where, fix="complete it or remove it")
        if end is not None and any(cells[len(header) :]):
            what = f"the row has {len(cells)} cells, the header names {len(header)}"
            fix = "write the classes of a picture into one cell, separated by | or in quotes"
            raise DataError(what, where=row.where, fix=fix)
        shown = (cell_text(name) for cell in cells[classes:end] for name in _split(cell, known))
        yield _tags(
            cell_text(cells[image]), shown, row.where, dict(zip_longest(header, cells[: len(header)], fillvalue=""))
        )


def _split(cell: str, known: Collection[str]) -> Iterator[str]:
    """Yield the names in a cell."""
    for name in map(str.strip, cell.split(SEPARATOR)):
        yield from (name,) if name in known else map(str.strip, re.split("[|,]", name))


def _from_json(path: Path, key: str) -> Iterator[Tags]:
    try:
        text = decode(read_content(path, key), path, "save it as UTF-8")
        content = json.loads(text, object_pairs_hook=list)  # pairs, so that an image listed twice is seen
    except json.JSONDecodeError as error:
        raise DataError(f"malformed JSON: {error.msg}", where=f"{path}:{error.lineno}:{error.colno}") from None
    except RecursionError:
        raise DataError("malformed JSON: nested too deep", where=str(path)) from None
    if not isinstance(content, list) or not all(isinstance(pair, tuple) for pair in content):
        raise DataError("expected an object {image: [class, ...]}", where=str(path))
    for image, names in content:
        where = f"{path}: image {image!r}"
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise DataError("expected a list of class names", where=where)
        yield _tags(image, map(str.strip, names), where, {})


def _tags(image: str, names: Iterator[str], where: str, cells: Mapping[str, str]) -> Tags:
    return Tags(image.replace("\\", "/").removeprefix("./"), tuple(dict.fromkeys(filter(None, names))), where, cells)
