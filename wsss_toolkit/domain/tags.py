"""Tables of tags: which classes each image shows, as people and their programs write them."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Final

from wsss_toolkit.domain.cells import FLAGS, SEPARATOR, checked, class_names, refuse_numbers
from wsss_toolkit.domain.table import CLASS_COLUMNS, IMAGE_COLUMNS, Table, normal_form, read_table
from wsss_toolkit.errors import DataError
from wsss_toolkit.files import cell_text

__all__ = ["SEPARATOR", "SPLIT_WORDS", "Columns", "Tags", "join_rows", "read_tag_rows", "split_column"]

SPLIT_WORDS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""The split that a word stands for, in lower case."""

SPLIT_COLUMNS: Final = ("split", "splits", "set", "subset", "partition", "fold", "phase", "usage", "split-index")
"""What a column is called, in lower case, that says in which split an image is."""

COUNTS: Final = ("count", "counts", "number", "present", "presence", "exists", "visible", "value")
"""What a column is called, in lower case, that says how much of its row's class there is."""

EXPORTS: Final = (".json", ".jsonl", ".xml", ".npy")
"""Suffixes of tags that are no table: what annotation programs export; YOLO's are a folder."""


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
    """The cells by their columns' names; empty for JSON and XML."""


Columns = tuple[str | None, str | None]
"""The columns that a recipe chooses for image and classes; None looks for a usual name."""


def read_tag_rows(path: Path, key: str, known: Collection[str] = (), columns: Columns = (None, None)) -> list[Tags]:
    """Read a table of images and their classes, or what an annotation program exports.

    A table has a column of images and one of classes, or a column of 0 and 1 for each class. Classes may have cells of
    their own, as in `a.jpg,cat,dog`, up to the next column that is another by its name. An image may have a row for
    each class: see `join_rows`. Exports are described in `wsss_toolkit.domain.exports`. The names of classes, where
    they are known, may hold a comma or `|`. `key` is the recipe's key that names the file.

    Raises:
        DataError: If the file cannot be read, lacks a column, a row does not fit its header, a cell is no list of
            classes, or names are probably none: missing values, or numbers alone.
    """
    spelled = {normal_form(name) for name in known}
    if path.suffix.lower() in EXPORTS or path.is_dir():
        from wsss_toolkit.domain.exports import read_export

        rows = [_plain(*row, {}) for row in read_export(path, key, spelled)]
    else:
        rows = list(_from_table(read_table(path, key=key), columns, spelled))
    refuse_numbers((name for row in rows for name in row.classes), spelled, str(path))
    return rows


def join_rows(rows: Iterable[tuple[str, Tags]], same: Collection[str] = ()) -> tuple[dict[str, Tags], int]:
    """Join the rows of each image, which come with its name in the data; tables may have a row for each class.

    Returns:
        The tags by that name, and the number of images whose rows named different classes.

    Raises:
        DataError: If rows of one image contradict each other: one names no class, some name several, or they differ
            in one of the columns that must be the `same`.
    """
    listed = list(rows)
    long = all(len(row.classes) <= 1 for _, row in listed)
    found: dict[str, Tags] = {}
    differing: set[str] = set()
    for name, row in listed:
        first = found.setdefault(name, row)
        if first is row:
            continue
        number = first.where.rpartition(":")[2]
        there = f"in line {number}" if number.isdigit() else f"at {first.where}"
        differs = next((column for column in same if first.cells.get(column) != row.cells.get(column)), None)
        if differs is not None:
            what = f"{row.image!r} has another value of {differs!r} {there}"
            raise DataError(what, where=row.where, fix="write the same into all its rows")
        if set(first.classes) == set(row.classes):
            continue
        if not (long and first.classes and row.classes):
            what = f"{row.image!r} has a row already, {there}, with other classes"
            fix = "write all its classes into one row, separated by ; or |, or one class into each row"
            raise DataError(what, where=row.where, fix=fix)
        differing.add(name)
        found[name] = replace(first, classes=tuple(dict.fromkeys((*first.classes, *row.classes))))
    return found, len(differing)


def split_column(rows: Iterable[Tags]) -> tuple[str, dict[str, list[str]]] | None:
    """Return the column of a table that says in which split each image is, and its words by split; None without one.

    No dict of words is a column that is called so and holds other values.

    >>> rows = [Tags("a", ("cat",), "t:2", {"Set": "train"}), Tags("b", (), "t:3", {"Set": "valid"})]
    >>> split_column(rows)
    ('Set', {'train': ['train'], 'val': ['valid']})
    """
    values: dict[str, Counter[str]] = {}
    for row in rows:
        for column, cell in row.cells.items():
            values.setdefault(column, Counter())[cell] += 1
    called: str | None = None
    for column, counts in values.items():
        name = column.casefold()
        named = name in SPLIT_COLUMNS or name.removeprefix("is_") in SPLIT_WORDS
        words = [word for word in counts if word.casefold() in SPLIT_WORDS]
        if words and len(words) + ("" in counts) == len(counts) and (named or len(words) > 1):
            splits: dict[str, list[str]] = {}
            for word in words:
                splits.setdefault(SPLIT_WORDS[word.casefold()], []).append(word)
            return column, {split: sorted(splits[split]) for split in ("train", "val", "test") if split in splits}
        if named and len(counts) > 1:
            called = called or column
    return None if called is None else (called, {})


def names_classes(table: Table) -> bool:
    """Return whether a table has a column of images, and one of classes or such of 0 and 1."""
    image = table.find(IMAGE_COLUMNS)
    if image is None or table.find(CLASS_COLUMNS) is not None:
        return image is not None
    return any(_is_flagged(table, place) for place in range(len(table.columns)) if place != image)


def _from_table(table: Table, columns: Columns, known: Collection[str]) -> Iterator[Tags]:
    usual = zip(columns, (IMAGE_COLUMNS, CLASS_COLUMNS), strict=True)
    image, classes = (table.find(names) if name is None else table.column(name) for name, names in usual)
    hot = _one_hot(table, image, known) if image is not None and classes is None else {}
    if image is None or (classes is None and not hot):
        what = f"expected the columns image and classes, got {', '.join(table.columns) or 'none'}"
        fix = "the first line names the columns: image,classes; or choose them: image_column, classes_column"
        raise DataError(what, where=table.where, fix=fix)
    if image == classes:
        raise DataError(f"the column {table.columns[image]!r} cannot name both image and classes", where=table.where)
    header = table.columns
    named = header[classes].casefold() if classes is not None else ""
    first = len(header) if classes is None else classes
    end = next((i for i in range(first + 1, len(header)) if header[i] and header[i].casefold() != named), None)
    for row in table.rows:
        cells = row.cells
        if len(cells) <= image or not cells[image]:
            raise DataError("the row names no image", where=row.where, fix="complete it or remove it")
        if (end is not None or hot) and any(cells[len(header) :]):
            what = f"the row has {len(cells)} cells, the header names {len(header)}"
            fix = "write the classes of a picture into one cell, separated by | or in quotes"
            raise DataError(what, where=row.where, fix=fix)
        shown = [name for place, name in hot.items() if FLAGS[cells[place].casefold()]]
        shown += [cell_text(name) for cell in cells[first:end] for name in class_names(cell, known, row.where)]
        by_column = dict(zip_longest(header, cells[: len(header)], fillvalue=""))
        _refuse_absence(by_column, shown, row.where)
        yield _plain(cell_text(cells[image]), tuple(shown), row.where, by_column)


def _refuse_absence(by_column: Mapping[str, str], shown: Sequence[str], where: str) -> None:
    """Raise a DataError where a row names a class and another column says that there is nothing of it."""
    for column, cell in by_column.items():
        if shown and column.casefold() in COUNTS and FLAGS.get(cell.casefold()) is False:
            what = f"the column {column!r} holds {cell!r} beside the class {', '.join(shown)}"
            raise DataError(what, where=where, fix="remove such rows, or the column if it means something else")


def _one_hot(table: Table, image: int, known: Collection[str]) -> dict[int, str]:
    """Return the columns that hold 0 and 1 for a class each, by place; DataError for one that holds more than these.

    Columns that hold other values, or say what an index or a split is, are left alone.
    """
    found: dict[int, str] = {}
    for place, name in enumerate(table.columns):
        if place == image or not _is_flagged(table, place):
            continue
        counts = _values(table, place)
        if other := next((value for value in counts if value not in FLAGS), None):
            row = next(row for row in table.rows if row.cells[place].casefold() == other)
            fix = "write 1 where a picture shows the class and 0 where not, or remove the column"
            raise DataError(f"the column {name!r} holds {other!r}, neither 0 nor 1", where=row.where, fix=fix)
        if "" in counts:
            row = next(row for row in table.rows if place >= len(row.cells) or not row.cells[place])
            fix = "write 1 where the picture shows the class and 0 where not"
            raise DataError(f"the column {name!r} is empty, neither 0 nor 1", where=row.where, fix=fix)
        found[place] = checked((name,), known, f"{table.where}: the column {name!r}")[0]
        column = name.casefold()
        if column in SPLIT_WORDS or column.removeprefix("is_") in SPLIT_WORDS:
            fix = "write the split's name into a column called split, or remove the column"
            raise DataError(f"the column {name!r} is called as a split and holds 0 and 1", where=table.where, fix=fix)
    return found


def _is_flagged(table: Table, place: int) -> bool:
    """Return whether more than half of a column's values are 0 and 1, and it is called as no index and no split."""
    counts, column = _values(table, place), table.columns[place].casefold()
    if not column or column.startswith("unnamed:") or column == "id" or column in SPLIT_COLUMNS:
        return False
    return 2 * sum(counts[flag] for flag in FLAGS) > counts.total() - counts[""]


def _values(table: Table, place: int) -> Counter[str]:
    return Counter(row.cells[place].casefold() if place < len(row.cells) else "" for row in table.rows)


def _plain(image: str, names: Iterable[str], where: str, cells: Mapping[str, str]) -> Tags:
    return Tags(image.replace("\\", "/").removeprefix("./"), tuple(dict.fromkeys(filter(None, names))), where, cells)
