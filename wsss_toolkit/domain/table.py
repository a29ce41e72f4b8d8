"""Tables that people write: CSV in the separators and encodings in use, and Excel's workbooks.

It lies in `domain`, because the core (`labels.tag_file`) and the adapters (tags, splits, groups) must read them alike.
What is wrong with a table is a `DataError` that names the file, its line where there is one, and what to do.
"""

import csv
import io
import re
import unicodedata
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Final

from wsss_toolkit.errors import DataError, did_you_mean

SUFFIXES: Final = (".csv", ".tsv", ".xlsx")
"""What files of tables are called."""
DELIMITERS: Final = ",;\t"
"""What may separate columns; a line `sep=|` before the header may name another."""
IMAGE_COLUMNS: Final = (
    "image", "images", "img", "file", "filename", "imagename", "imagefile", "imagefilename", "imgname", "imagepath",
    "imgpath", "filepath", "name", "path", "picture", "imageid", "imgid", "imageindex", "patchid", "id",
)  # fmt: skip
"""What the column that names the image may be called, as `plain` writes names; the surest come first."""
CLASS_COLUMNS: Final = (
    "classname", "classnames", "labelname", "labelnames", "categoryname", "classes", "class", "labels", "label", "tags",
    "tag", "choice", "choices", "category", "categories", "findinglabels",
)  # fmt: skip
"""What the column that names the classes may be called, as `plain` writes names: names come before numbers."""
MOST_BYTES: Final = 2**28
"""Size of a table, unpacked: that of some million rows."""

_WORKBOOK = b"PK\x03\x04"
_SAVE = "save it as CSV in UTF-8"


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its cells, without blanks around them; and file and line."""

    cells: tuple[str, ...]
    where: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table with a header; text is in Unicode's normal form C, rows without content are left out."""

    path: Path
    columns: tuple[str, ...]
    where: str
    """File and line of the header."""
    rows: tuple[Row, ...]
    """The rows below it; those that are longer or shorter than the header are the caller's to judge."""

    def find(self, names: Sequence[str]) -> int | None:
        """Return the place of the first of some usual names of a column, as `plain` writes them; None without one."""
        written = [plain(name) for name in self.columns]
        return next((written.index(name) for name in names if name in written), None)

    def column(self, name: str) -> int:
        """Return the place of a column; it is a `DataError` if there is none of that name, or two."""
        wanted = normal_form(name)
        if self.columns.count(wanted) == 1:
            return self.columns.index(wanted)
        if wanted in self.columns:
            raise DataError(f"two columns are called {name!r}", where=self.where, fix="rename one of them")
        fix = did_you_mean(wanted, self.columns, f"it has {', '.join(filter(None, self.columns)) or 'none'}")
        raise DataError(f"has no column {name!r}", where=self.where, fix=fix)


def normal_form(text: str) -> str:
    """Return a text in Unicode's normal form C: macOS stores names decomposed, people type them composed."""
    return unicodedata.normalize("NFC", text)


def plain(text: str) -> str:
    """Return a column's name, or another word, in lower case and without blanks and marks.

    >>> plain("File-Name "), plain("image_id")
    ('filename', 'imageid')
    """
    return re.sub(r"[\W_]+", "", text.casefold())


def read_table(path: Path, *, key: str) -> Table:
    """Read a CSV file or an Excel workbook with a header; `key` is the recipe's key that names it, for messages.

    CSV is UTF-8, or UTF-16 with a byte order mark, separated by commas, semicolons or tabs, whichever its header holds
    most of, or as a first line `sep=;` says, which Excel writes and reads.

    Raises:
        DataError: If it is missing, too large, no such text or workbook, or rows are separated in another way than
            the header.
    """
    content = read_content(path, key)
    if path.suffix.lower() in (".xlsx", ".xlsm") or content.startswith(_WORKBOOK):
        delimiter, numbered = "", _workbook_rows(content, path)
    else:
        delimiter, numbered = _text_rows(decode(content, path, _SAVE), path)
    filled = ((number, tuple(cells)) for number, cells in numbered if any(cells))
    number, columns = next(filled, (1, ()))
    rows = tuple(Row(cells, f"{path}:{line}") for line, cells in filled)
    _refuse_other_delimiter(rows, delimiter, len(columns))
    return Table(path, columns, f"{path}:{number}", rows)


def read_content(path: Path, key: str) -> bytes:
    """Read a file that the key of a recipe names; one of more than `MOST_BYTES` is refused."""
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        place = "" if path.is_absolute() else f", which is looked for from {Path.cwd()}"
        raise DataError("no such file", where=str(path), fix=f"correct {key}{place}") from None
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", where=str(path), fix="check its rights") from error
    _refuse_size(len(content), path)
    return content


def decode(content: bytes, path: Path, fix: str) -> str:
    """Return text in UTF-8, or in UTF-16 with a byte order mark, in normal form C; refuse any other, with a `fix`."""
    marked = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    if not marked and b"\0" in content[:2]:
        raise DataError("is UTF-16 without a byte order mark, or no text", where=str(path), fix=fix)
    try:
        return normal_form(content.decode("utf-16" if marked else "utf-8-sig"))
    except UnicodeDecodeError as error:
        if marked:
            raise DataError("is damaged UTF-16 text", where=str(path), fix=fix) from None
        line, byte = content.count(b"\n", 0, error.start) + 1, content[error.start]
        letter = bytes([byte]).decode("cp1252", errors="replace")
        what = f"is not UTF-8 text: the byte 0x{byte:02X} would be {letter!r} in Windows-1252"
        raise DataError(what, where=f"{path}:{line}", fix=fix) from None


def _text_rows(text: str, path: Path) -> tuple[str, Iterator[tuple[int, list[str]]]]:
    """Return what separates the columns of CSV, and its rows by line; the header is the first that is not blank."""
    stream = io.StringIO(text, newline="")
    before, first = 0, ""
    for first in stream:
        if first.strip():
            break
        before += 1
    said = re.fullmatch(r'"?sep=([,;\t|])"?', first.rstrip("\r\n"), re.IGNORECASE)
    if said:
        return said[1], _parsed(stream, said[1], before + 1, path)
    delimiter = max(DELIMITERS, key=first.count)
    return delimiter, _parsed(chain([first], stream), delimiter, before, path)


def _parsed(lines: Iterable[str], delimiter: str, before: int, path: Path) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            yield before + reader.line_num, [cell.strip() for cell in cells]
    except csv.Error as error:
        where = f"{path}:{before + reader.line_num}"
        raise DataError(f"malformed: {error}", where=where, fix="check the quotes") from None


def _refuse_other_delimiter(rows: Sequence[Row], delimiter: str, width: int) -> None:
    """Refuse a header of several cells if each row below is one cell that holds another separator."""
    if not rows or not delimiter or width < 2 or any(sum(map(bool, row.cells)) > 1 for row in rows):
        return
    other = next((m for m in DELIMITERS if m != delimiter and all(m in "".join(r.cells) for r in rows)), None)
    if other is not None:
        what = f"the row is separated by {other!r}, the header by {delimiter!r}"
        raise DataError(what, where=rows[0].where, fix="use one of them")


def _refuse_size(size: int, path: Path) -> None:
    if size > MOST_BYTES:
        raise DataError(f"is larger than {MOST_BYTES >> 20} MB", where=str(path), fix="a table has a row per image")


def _workbook_rows(content: bytes, path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of the only sheet of a workbook that holds any; merged cells are refused."""
    try:
        import openpyxl
    except ImportError:
        fix = f"pip install 'wsss-toolkit[excel]', or {_SAVE}"
        raise DataError("Excel workbooks need openpyxl", where=str(path), fix=fix) from None
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            _refuse_size(sum(part.file_size for part in archive.infolist()), path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what a workbook has besides cells
            books: list[Any] = [openpyxl.load_workbook(io.BytesIO(content), data_only=only) for only in (True, False)]
    except DataError:
        raise
    except Exception as error:  # openpyxl raises KeyError, ValueError, ParseError, ... on what is no workbook
        raise DataError("is no readable Excel workbook", where=str(path), fix=f"{_SAVE}, or as .xlsx") from error
    values, written = books
    sheets = [sheet for sheet in values.worksheets if any(value is not None for row in sheet.values for value in row)]
    if len(sheets) > 1:
        names = ", ".join(sheet.title for sheet in sheets[:5])
        raise DataError(f"{len(sheets)} sheets hold rows: {names}", where=str(path), fix="keep one")
    for sheet in sheets:
        for area in sheet.merged_cells.ranges:
            if area.min_row < area.max_row:  # the lower cells are empty, which would mean: shows none
                raise DataError(f"the cells {area} are merged", where=f"{path}:{area.min_row}", fix="fill each")
        for row in sheet.iter_rows():
            source = written[sheet.title]
            number = row[0].row or 0
            yield number, [_cell_text(cell, source.cell(number, at).value, path) for at, cell in enumerate(row, 1)]


def _cell_text(cell: Any, written: object, path: Path) -> str:
    """Return what a cell shows: text, a number, or TRUE and FALSE; `written` is the value or the formula in it."""
    where, value = f"{path}:{cell.row}", cell.value
    if value is None:
        if written is not None:
            raise DataError(f"the formula in {cell.coordinate} has no value", where=where, fix="open and save in Excel")
        return ""
    if cell.data_type == "e":
        raise DataError(f"{cell.coordinate} holds the error {value}", where=where, fix="correct the cell")
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, int | float):
        return f"{value:.15g}"  # as Excel shows numbers
    if isinstance(value, str):
        return normal_form(value).strip()
    raise DataError(f"{cell.coordinate} is a date or a time", where=where, fix="format the column as text")
