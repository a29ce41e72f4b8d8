"""Tables and lists with an image a row: groups, official folds, names by split."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from wsss_adapters.pictures.names import SUFFIXES
from wsss_toolkit.domain.cells import is_missing
from wsss_toolkit.domain.split_words import first_split_column, split_of
from wsss_toolkit.domain.table import Table, decode, read_content, read_table
from wsss_toolkit.errors import DataError

FILE_COLUMNS = ("image", "images", "file", "filename", "imagename", "imagefile", "imagepath")
"""Names of a column that surely names the image: in a table of patients, `name` may be another's."""


@dataclass(frozen=True, slots=True)
class ImageTable:
    """Rows by the image that they describe."""

    path: Path
    columns: tuple[str, ...]
    rows: Mapping[str, Mapping[str, str]]
    """By image name without suffix, or by key, the values by column."""

    def column(self, name: str) -> dict[str, str]:
        """Return a column by image name.

        Raises:
            DataError: If there is no such column, or two.
        """
        place = Table(self.path, self.columns, str(self.path), ()).column(name)
        return {image: row[self.columns[place]] for image, row in self.rows.items()}


@dataclass(frozen=True, slots=True)
class Entry:
    """What a split file or a list says of an image: its name, its split, its class or "", and file and line."""

    image: str
    split: str
    kind: str
    where: str


def bare(name: str) -> str:
    """Return a file's name or relative path without the suffix of a picture."""
    path = PurePosixPath(name.strip().replace("\\", "/"))
    return str(path.with_suffix("") if path.suffix.lower() in SUFFIXES else path)


def read_image_table(path: Path, image: str | None = None) -> ImageTable:
    """Read a table with a row per image; see `wsss_toolkit.domain.table`.

    Without the name of a column, a usual name is looked for, and the first column taken otherwise.

    Raises:
        DataError: If it cannot be read, is empty, lacks the column, or names an image twice with other values.
    """
    table, place = _read(path, image, "data.table")
    rows: dict[str, Mapping[str, str]] = {}
    for row in table.rows:
        name, values = bare(row.cells[place]), dict(zip(table.columns, row.cells, strict=False))
        if rows.setdefault(name, values) != values:
            raise DataError(f"the row names {name!r} again, with other values", where=row.where)
    return ImageTable(path, table.columns, rows)


def read_folds(
    path: Path, folds: Mapping[str, Sequence[str]] | None, image: str | None, split: str | None
) -> list[Entry]:
    """Read which split each image is in: `image,split` or HyperKvasir's `file-name;class-name;split-index`.

    Args:
        path: The table.
        folds: Which values of its split column make a split; None takes usual words for `train`, `val` and `test`, and
            others for the splits' names.
        image: The column that names the image; None looks for a usual name and takes the first column otherwise.
        split: The column that names the split; None looks for a usual name.

    Returns:
        What the rows say; those of other folds are left out.

    Raises:
        DataError: If the table cannot be read, lacks a column, a row names no split, or no row is of one of the folds.
    """
    table, place = _read(path, image, "data.splits.file")
    usual = first_split_column(table.columns) if split is None else None
    column = table.column(split or "split") if usual is None else usual
    found = sorted({row.cells[column] for row in table.rows})
    absent = sorted({fold for wanted in (folds or {}).values() for fold in wanted} - set(found))
    if absent:
        raise DataError(f"has no fold {absent[0]!r}", where=str(path), fix=f"it has {', '.join(found)}")
    named = {fold: split for split, wanted in (folds or {}).items() for fold in wanted}
    kind = table.find(("classname", "class"))
    entries = []
    for row in table.rows:
        word = row.cells[column]
        owner = (split_of(word) or word) if folds is None else named.get(word)
        if folds is None and is_missing(word):
            raise DataError("the row names no split", where=row.where, fix="complete it or remove it")
        if owner is not None:
            entries.append(Entry(row.cells[place], owner, "" if kind is None else row.cells[kind], row.where))
    return entries


def read_list(path: Path, split: str) -> list[Entry]:
    """Read a text file with one image name a line.

    Raises:
        DataError: If it is missing or no text.
    """
    text = decode(read_content(path, "data.splits.lists"), path, "save it as text in UTF-8")
    lines = ((number, line.strip()) for number, line in enumerate(text.splitlines(), start=1))
    return [Entry(line, split, "", f"{path}:{number}") for number, line in lines if line]


def _read(path: Path, image: str | None, key: str) -> tuple[Table, int]:
    """Return a table whose rows all fit its header, and the place of the column that names the image."""
    table = read_table(path, key=key)
    width = len(table.columns)
    if not table.rows:
        raise DataError("holds no row", where=str(path), fix="the first line names the columns")
    place = table.column(image) if image is not None else table.find(FILE_COLUMNS) or 0
    for row in table.rows:
        if len(row.cells) < width or any(row.cells[width:]):
            raise DataError(f"the row has {len(row.cells)} values, the header names {width}", where=row.where)
        if not row.cells[place]:
            raise DataError("the row names no image", where=row.where, fix="complete it or remove it")
    return table, place
