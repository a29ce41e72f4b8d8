"""Tables of tags: which classes each image shows, as people and their programs write them."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Final

from wsss_toolkit.domain.cells import FLAGS, NO, NUMBER, SEPARATOR, checked, class_names, is_missing, refuse_numbers
from wsss_toolkit.domain.split_words import names_splits, split_of
from wsss_toolkit.domain.table import CLASS_COLUMNS, IMAGE_COLUMNS, Table, normal_form, plain, read_table
from wsss_toolkit.errors import DataError
from wsss_toolkit.files import cell_text

__all__ = ["SEPARATOR", "Columns", "Tags", "join_rows", "read_tag_rows", "split_column"]

COUNTS: Final = ("count", "counts", "number", "present", "presence", "exists", "visible", "value")
"""What a column is called, as `plain` writes it, that says how much of its row's class there is."""

SCORES: Final = ("confidence", "conf", "score", "probability", "prob")
"""What a column is called, as `plain` writes it, that says how sure the class of its row is, of 1."""

SURE: Final = 0.5
"""A score below which a row rather says that its class is not there."""

PEOPLE: Final = ("annotator", "annotatorid", "annotatedby", "completedby", "labeler", "labeller", "rater", "reader")
"""What a column is called, as `plain` writes it, that says who chose the classes of its row."""

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
    """The cells by their columns' names, or an object's texts and numbers by its keys; else empty."""


Columns = tuple[str | None, str | None]
"""The columns that a recipe chooses for image and classes; None looks for a usual name."""


def read_tag_rows(path: Path, key: str, known: Collection[str] = (), columns: Columns = (None, None)) -> list[Tags]:
    """Read a table of images and their classes, or what an annotation program exports.

    A table has a column of images and one of classes, or a column of 0 and 1 for each class. Classes may have cells of
    their own, as in `a.jpg,cat,dog`, up to the next column that is another by its name; `label2` and `label.1` are
    none. An image may have a row for each class: see `join_rows`. Exports are described in
    `wsss_toolkit.domain.exports`. The names of classes, where they are known, may hold a comma or `|`. `key` is the
    recipe's key that names the file.

    Raises:
        DataError: If the file cannot be read, lacks a column, a row does not fit its header, a cell is no list of
            classes, or names are probably none: missing values, or numbers alone.
    """
    spelled = {normal_form(name) for name in known}
    if path.suffix.lower() in EXPORTS or path.is_dir():
        from wsss_toolkit.domain.exports import read_export

        rows = [_plain(*row) for row in read_export(path, key, spelled, columns)]
    else:
        rows = list(_from_table(read_table(path, key=key), columns, spelled))
    refuse_numbers((name for row in rows for name in row.classes), spelled, str(path))
    return rows


def join_rows(rows: Iterable[tuple[str, Tags]], same: Collection[str] = ()) -> tuple[dict[str, Tags], int]:
    """Join the rows of each image, which come with its name in the data; tables may have a row for each class.

    Returns:
        The tags by that name, and the number of images whose rows named different classes.

    Raises:
        DataError: If rows of one image contradict each other: one names no class, some name several, people chose
            different classes, or they differ in one of the columns that must be the `same`.
    """
    listed = list(rows)
    _refuse_disagreement(listed)
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


def _refuse_disagreement(rows: Sequence[tuple[str, Tags]]) -> None:
    """Raise a DataError where a column says who chose the classes of a row, and people chose others for one image."""
    chosen: dict[str, dict[str, set[str]]] = {}
    for name, row in rows:
        who = next((cell for column, cell in row.cells.items() if cell and plain(column) in PEOPLE), None)
        if who is None:
            continue
        people = chosen.setdefault(name, {})
        people.setdefault(who, set()).update(row.classes)
    # Said only after all rows have been seen: each may have a class of its own.
    for name, row in rows:
        found = list({tuple(sorted(classes)) for classes in chosen.get(name, {}).values()})
        if len(found) > 1:
            shown = " and ".join(", ".join(classes) or "none" for classes in sorted(found)[:2])
            fix = "keep the rows of one of them, or one row with what holds"
            raise DataError(f"people disagree on {row.image!r}: {shown}", where=row.where, fix=fix)


def split_column(rows: Iterable[Tags]) -> tuple[str, dict[str, list[str]]] | None:
    """Return the column of a table that says in which split each image is, and its words by split; None without one.

    No dict of words is a column that is called so and holds other values.

    >>> rows = [Tags("a", ("cat",), "t:2", {"Set": "train"}), Tags("b", (), "t:3", {"Set": "valid"})]
    >>> split_column(rows)
    ('Set', {'train': ['train'], 'val': ['valid']})
    """
    values: dict[str, Counter[str]] = {}
    classes: set[str] = set()
    for row in rows:
        classes.update(row.classes)
        for column, cell in row.cells.items():
            values.setdefault(column, Counter())[cell] += 1
    called: str | None = None
    for column, counts in values.items():
        named = column not in classes and (names_splits(column) or _flags_split(column))
        words = [word for word in counts if split_of(word)]
        if words and len(words) + sum(map(is_missing, counts)) == len(counts) and (named or len(words) > 1):
            splits: dict[str, list[str]] = {"train": [], "val": [], "test": []}
            for word in words:
                splits[split_of(word) or ""].append(word)
            return column, {split: sorted(found) for split, found in splits.items() if found}
        if named and len(counts) > 1:
            called = called or column
    return None if called is None else (called, {})


def _flags_split(column: str) -> bool:
    """Return whether a column is called as one that says yes or no to a split, such as `is_train`."""
    return split_of(column) is not None or split_of(plain(column).removeprefix("is")) is not None


def tag_columns(table: Table) -> tuple[int, list[int]] | None:
    """Return the places of the column of images and of those of classes, or of 0 and 1; None where it lacks one."""
    image = table.find(IMAGE_COLUMNS)
    others = [place for place in range(len(table.columns)) if place != image]
    classes = _class_places(table, None) or [place for place in others if _is_flagged(table, place)]
    return None if image is None or not classes else (image, classes)


def _class_places(table: Table, chosen: str | None) -> list[int]:
    """Return the columns of classes: the chosen one, or those that are called so, also with numbers behind."""
    if chosen is not None:
        return [table.column(chosen)]
    stems = [plain(name).rstrip("0123456789") for name in table.columns]
    usual = next((name for name in CLASS_COLUMNS if name in stems), None)
    return [place for place, stem in enumerate(stems) if stem == usual]


def _from_table(table: Table, columns: Columns, known: Collection[str]) -> Iterator[Tags]:
    header = table.columns
    image = table.find(IMAGE_COLUMNS) if columns[0] is None else table.column(columns[0])
    classes = _class_places(table, columns[1])
    hot = _one_hot(table, image, known) if image is not None and not classes else {}
    if image is None or not (classes or hot):
        what = f"expected the columns image and classes, got {', '.join(header) or 'none'}"
        fix = "the first line names the columns: image,classes, or image and a column of 0 and 1 for each class"
        raise DataError(what, where=table.where, fix=f"{fix}; or choose them: image_column, classes_column")
    if image in classes:
        raise DataError(f"the column {header[image]!r} cannot name both image and classes", where=table.where)
    for place in range(len(header)):  # columns without a name go on with the classes before them
        if not header[place] and place - 1 in classes:
            classes.append(place)
    open_ended = len(header) - 1 in classes
    for row in table.rows:
        cells = row.cells
        if len(cells) <= image or not cells[image]:
            raise DataError("the row names no image", where=row.where, fix="complete it or remove it")
        if not open_ended and any(cells[len(header) :]):
            what = f"the row has {len(cells)} cells, the header names {len(header)}"
            fix = "write the classes of a picture into one cell, separated by | or in quotes"
            raise DataError(what, where=row.where, fix=fix)
        shown = [name for place, name in hot.items() if FLAGS[cells[place].casefold()]]
        written = [cells[place] for place in classes if place < len(cells)]
        written += cells[len(header) :] if open_ended else ()
        shown += [cell_text(name) for cell in written for name in class_names(cell, known, row.where)]
        by_column = dict(zip_longest(header, cells[: len(header)], fillvalue=""))
        _refuse_absence(by_column, shown, row.where)
        yield _plain(cell_text(cells[image]), tuple(shown), row.where, by_column)


def _refuse_absence(by_column: Mapping[str, str], shown: Sequence[str], where: str) -> None:
    """Raise a DataError where a row names a class and another column says that there is nothing of it."""
    for column, cell in by_column.items() if shown else ():
        name = plain(column).removeprefix("is").removeprefix("has")
        unsure = name in SCORES and NUMBER.fullmatch(cell) and cell[0].isdigit() and float(cell) < SURE
        if unsure or (name in (*COUNTS, *SCORES) and cell.casefold() in NO):
            what = f"the column {column!r} holds {cell!r} beside the class {', '.join(shown)}"
            raise DataError(what, where=where, fix="remove such rows, or the column if it means something else")


def _one_hot(table: Table, image: int, known: Collection[str]) -> dict[int, str]:
    """Return the columns that hold 0 and 1 for a class each, by place; DataError for one that holds more than these.

    Columns that hold other values and are no known class, or say what an index or a split is, are left alone.
    """
    found: dict[int, str] = {}
    for place, name in enumerate(table.columns):
        if place == image or not (_is_flagged(table, place) or normal_form(name) in known):
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
        if _flags_split(name) and normal_form(name) not in known:
            fix = "write the split's name into a column called split, or put the class among the classes (data.classes)"
            raise DataError(f"the column {name!r} is called as a split and holds 0 and 1", where=table.where, fix=fix)
    return found


def _is_flagged(table: Table, place: int) -> bool:
    """Return whether more than half of a column's values are 0 and 1, and it is called as no index and no split."""
    counts, column = _values(table, place), table.columns[place]
    if not column or column.startswith("Unnamed:") or column.casefold() == "id" or names_splits(column):
        return False
    return 2 * sum(counts[flag] for flag in FLAGS) > counts.total() - counts[""]


def _values(table: Table, place: int) -> Counter[str]:
    return Counter(row.cells[place].casefold() if place < len(row.cells) else "" for row in table.rows)


def _plain(image: str, names: Iterable[str], where: str, cells: Mapping[str, str]) -> Tags:
    return Tags(image.replace("\\", "/").removeprefix("./"), tuple(dict.fromkeys(filter(None, names))), where, cells)
