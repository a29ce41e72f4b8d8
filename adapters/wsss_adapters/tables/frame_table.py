"""Tables and lists of frames: annotations, official folds, names by split."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from wsss_adapters.pictures.picture_names import SUFFIXES
from wsss_toolkit.errors import DataError

IMAGE_COLUMNS = ("image", "file-name", "file_name", "filename", "file")
SPLIT_COLUMNS = ("split", "split-index", "fold")
CLASS_COLUMNS = ("class-name", "class")


@dataclass(frozen=True, slots=True)
class Table:
    """Rows by the image that they describe.

    Attributes:
        path: The file.
        columns: Names of the columns.
        rows: By image name without suffix, the values by column.
    """

    path: Path
    columns: tuple[str, ...]
    rows: Mapping[str, Mapping[str, str]]

    def column(self, name: str) -> dict[str, str]:
        """Return a column by image name.

        Raises:
            DataError: If there is no such column; it names those that there are.
        """
        if name not in self.columns:
            raise DataError(
                f"has no column {name!r}",
                where=str(self.path),
                fix=f"it has {', '.join(self.columns)}",
            )
        return {image: row[name] for image, row in self.rows.items()}


def bare(name: str) -> str:
    """Return a file's name or relative path without the suffix of a picture."""
    path = PurePosixPath(name.strip().replace("\\", "/"))
    return str(path.with_suffix("") if path.suffix.lower() in SUFFIXES else path)


def read_table(path: Path, *, image: str | None = None) -> Table:
    """Read a CSV file with a header, separated by commas, semicolons or tabs.

    Args:
        path: The file.
        image: The column that names the image; None looks for a usual name and takes the first column otherwise.

    Raises:
        DataError: If it is missing, no text, empty, lacks the column, or names an image twice.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError("no such file", where=str(path), fix="correct data.table or data.splits.file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read ({error})", where=str(path), fix="tables are CSV files in UTF-8") from error
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) < 2:
        raise DataError("holds no row", where=str(path), fix="the first line names the columns")
    delimiter = max(",;\t", key=lines[0].count)
    reader = csv.DictReader(lines, delimiter=delimiter)
    columns = tuple(str(name).strip() for name in reader.fieldnames or ())
    reader.fieldnames = list(columns)
    key = image or next((name for name in IMAGE_COLUMNS if name in columns), columns[0])
    if key not in columns:
        raise DataError(f"has no column {key!r}", where=str(path), fix=f"it has {', '.join(columns)}")
    rows: dict[str, dict[str, str]] = {}
    for number, row in enumerate(reader, start=2):
        if None in row or None in row.values():
            raise DataError(f"row {number} has not {len(columns)} values", where=str(path))
        name = bare(row[key])
        values = {column: value.strip() for column, value in row.items()}
        if rows.setdefault(name, values) != values:
            raise DataError(f"row {number} names {name!r} again, with other values", where=str(path))
    return Table(path, columns, rows)


def read_folds(path: Path, folds: Mapping[str, Sequence[str]] | None) -> tuple[dict[str, str], dict[str, str]]:
    """Read which split each image is in: ``image,split`` or HyperKvasir's ``file-name;class-name;split-index``.

    Args:
        path: The CSV file.
        folds: Which values of its split column make a split; None takes the values for the splits' names.

    Returns:
        Split by image name, images of other folds left out; and class name by image name, where there is a column.

    Raises:
        DataError: If it cannot be read, lacks a column, or has none of the folds.
    """
    table = read_table(path)
    split = next((name for name in SPLIT_COLUMNS if name in table.columns), SPLIT_COLUMNS[0])
    values = table.column(split)
    found = sorted(set(values.values()))
    if folds is not None:
        absent = sorted({fold for wanted in folds.values() for fold in wanted} - set(found))
        if absent:
            raise DataError(f"has no fold {absent[0]!r}", where=str(path), fix=f"it has {', '.join(found)}")
        named = {fold: split for split, wanted in folds.items() for fold in wanted}
        values = {image: named[value] for image, value in values.items() if value in named}
    shown = next((name for name in CLASS_COLUMNS if name in table.columns), None)
    return values, table.column(shown) if shown else {}


def read_lists(root: Path, lists: Mapping[str, Path]) -> dict[str, str]:
    """Read text files with one image name a line.

    Returns:
        Split by image name.

    Raises:
        DataError: If a file is missing or an image is in two of them.
    """
    found: dict[str, str] = {}
    for split, file in lists.items():
        path = root / file
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"cannot read ({error})", where=str(path), fix="correct data.splits.lists") from error
        for name in (bare(line) for line in lines if line.strip()):
            if found.setdefault(name, split) != split:
                raise DataError(f"{name!r} is in the splits {found[name]!r} and {split!r}", where=str(path))
    return found


def missing_names(names: Iterable[str], known: Iterable[str], path: Path) -> DataError | None:
    """Return the error for names that no frame has, or None."""
    alone = sorted(set(names) - set(known))
    if not alone:
        return None
    return DataError(
        f"names {len(alone)} {'frame that is' if len(alone) == 1 else 'frames that are'} not there, {alone[0]} first",
        where=str(path),
        fix="the copy is incomplete, or the file belongs to another data set",
    )
