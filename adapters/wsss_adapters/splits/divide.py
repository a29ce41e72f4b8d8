"""Which image is in which split, by the recipe's rule."""

import re
import unicodedata
from collections.abc import Callable, Hashable, Iterable, Mapping, Sized
from dataclasses import dataclass
from pathlib import Path

from wsss_adapters.splits.draw import divide_groups, divide_keys, wanted_counts
from wsss_adapters.splits.near_duplicates import similar_groups
from wsss_adapters.splits.rule import FolderSplitRule, SplitRule
from wsss_adapters.tables.image_table import Entry, ImageTable, bare, read_folds, read_list
from wsss_toolkit.domain.cells import is_missing
from wsss_toolkit.domain.table import normal_form
from wsss_toolkit.errors import DataError

Splits = dict[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Item:
    """What is divided: a picture, or the files of a place."""

    name: str
    """What tables, lists and patterns call it: its file name without suffix."""
    path: Path
    """The picture, for `similarity` and messages."""
    folder: str = ""
    """The folder that may stand before its name in tables and lists; "" for none."""
    stratum: Hashable = None
    """What drawn splits get equal shares of, such as its class; None where nothing is known."""
    split: str = ""
    """The split whose folder it lies in, or "" where folders don't say."""


def divide(
    rule: SplitRule,
    items: Mapping[str, Item],
    root: Path,
    *,
    table: Callable[[], ImageTable | None] = lambda: None,
    left_out: Callable[[str], bool] = lambda _: False,
    placed: Mapping[str, str] | None = None,
) -> Splits:
    """Divide images by the recipe's rule.

    Args:
        rule: The rule.
        items: All images by key, sorted.
        root: The folder that the rule's files are relative to.
        table: Reads the data set's table, for `group_by`; None where it has none.
        left_out: Whether the images of a class that a split file names take no part, so that they may be missing.
        placed: The split of each image where the rule's file is a table whose rows are known by key already.

    Returns:
        Sorted keys by split.

    Raises:
        DataError: If files or columns are missing, images are not there, or a split would be empty.
    """
    if isinstance(rule, FolderSplitRule) and rule.folders:
        splits = {split: tuple(key for key, item in items.items() if item.split == split) for split in rule.folders}
    elif rule.file or rule.lists:
        splits = _listed(rule, items, root, left_out) if placed is None else _placed(rule, placed)
        if rule.val_fraction:  # out of the training images of an official split, which has none
            train = {key: items[key] for key in splits.get("train", ())}
            shares = {"train": 1 - rule.val_fraction, "val": rule.val_fraction}
            splits |= _drawn(rule, train, wanted_counts(len(train), shares), root, table)
    else:
        counts = rule.counts or wanted_counts(len(items), rule.fractions or {})
        splits = _drawn(rule, items, counts, root, table)
    empty = [split for split, keys in splits.items() if not keys]
    if empty:
        fix = "correct data.splits; images of one group stay together, so that few large groups fill few splits"
        raise DataError(f"split {empty[0]!r} gets no image: there are {len(items)}", where=str(root), fix=fix)
    return splits


def _drawn(
    rule: SplitRule,
    items: Mapping[str, Item],
    counts: Mapping[str, int],
    root: Path,
    table: Callable[[], ImageTable | None],
) -> Splits:
    """Draw splits of about the sizes wanted, groups whole, strata even."""
    if sum(counts.values()) > len(items):
        what = f"data.splits.counts sum to {sum(counts.values())}, but there are {len(items)} images"
        raise DataError(what, where=str(root), fix="lower the counts, or use fractions")
    strata = {key: item.stratum for key, item in items.items()}
    if rule.grouping is None and set(strata.values()) == {None}:
        return divide_keys(list(items), counts, rule.seed)
    groups = _groups(rule, items, table() if rule.group_by is not None else None, root)
    return divide_groups(groups, strata, counts, rule.seed)


def _groups(rule: SplitRule, items: Mapping[str, Item], table: ImageTable | None, root: Path) -> list[list[str]]:
    """Return the keys that must stay together."""
    numbers: list[Hashable]
    if rule.similarity is not None:
        numbers = list(similar_groups([item.path for item in items.values()], rule.similarity))
    elif rule.group_pattern is not None:
        named = [_group_in_name(rule.group_pattern, item) for item in items.values()]
        _refuse_spellings(set(named), "in the images' names", str(root))
        numbers = list(named)
    elif rule.group_by is not None:
        if table is None:
            raise DataError("data.splits.group_by needs a table", where=str(root), fix="set data.table")
        numbers = _groups_in_table(rule.group_by, items, table)
    else:
        numbers = list(items)
    grouped: dict[Hashable, list[str]] = {}
    for key, number in zip(items, numbers, strict=True):
        grouped.setdefault(number, []).append(key)
    return list(grouped.values())


def _group_in_name(pattern: str, item: Item) -> str:
    found = re.search(pattern, item.name)
    if found is None or found[1] is None:
        what = f"the name {item.name!r} does not match data.splits.group_pattern {pattern!r}"
        fix = "make the pattern wider: an image without a group could end on both sides"
        raise DataError(what, where=str(item.path), fix=fix)
    return found[1]


def _groups_in_table(column: str, items: Mapping[str, Item], table: ImageTable) -> list[Hashable]:
    values = table.column(column)
    names = {key: next((n for n in (key, normal_form(item.name)) if n in values), None) for key, item in items.items()}
    missing = [key for key, name in names.items() if name is None]
    if missing:
        what = f"has no row for {_number(missing)} of the data, {missing[0]} first"
        fix = "add rows for all images, or group by another key of data.splits"
        raise DataError(what, where=str(table.path), fix=fix)
    where = str(table.path)
    groups: list[Hashable] = [_group(values[name], column, where) for name in names.values() if name is not None]
    _refuse_spellings(set(map(str, groups)), f"in the column {column!r}", where)
    if len(set(groups)) == len(groups) > 1:
        what = f"the column {column!r} differs for every image: it names the image, not its video or patient"
        fix = "use data.splits.similarity instead: near-duplicates then stay in one split"
        raise DataError(what, where=str(table.path), fix=fix)
    return groups


def _group(value: str, column: str, where: str) -> str:
    if is_missing(value):
        fix = "complete it: images of one patient could end on both sides"
        said = f"holds {value!r}" if value else "is empty"
        raise DataError(f"the column {column!r} {said} in a row", where=where, fix=fix)
    return value


def _refuse_spellings(values: Iterable[str], place: str, where: str) -> None:
    """Refuse values that differ in nothing that tells two patients apart: `P07`, `p7`, `P 7` and `P7.0`."""
    seen: dict[str, str] = {}
    for value in sorted(values):
        other = seen.setdefault(same_id(value), value)
        if other != value:
            what = f"{other!r} and {value!r} {place} differ only in case, blanks, leading zeros or .0"
            raise DataError(what, where=where, fix="write one patient, video or site in one way only")


def same_id(value: str) -> str:
    """Return what is left of a number or name once case, blanks, leading zeros and a fraction of 0 are taken away.

    >>> [same_id(value) for value in ("P 07", "p7.0", "007", "0", "1.05")]
    ['p7', 'p7', '7', '0', '1.05']
    """
    plain = re.sub(r"[\s\u200b-\u200f\u2060\ufeff]+", "", unicodedata.normalize("NFKC", value)).casefold()
    return re.sub(r"(?<![\d.])0+(?=\d)", "", re.sub(r"(?<=\d)\.0+$", "", plain))


def _listed(rule: SplitRule, items: Mapping[str, Item], root: Path, left_out: Callable[[str], bool]) -> Splits:
    """Return the splits of a split file or of lists; images in none are left out."""
    keys = _keys_by_name(items)
    if rule.file:
        listed = read_folds(root / rule.file, rule.folds, rule.image_column, rule.split_column)
    else:
        listed = [entry for split, names in (rule.lists or {}).items() for entry in _entries(split, names, root)]
    named = [(entry.image if entry.image in keys else bare(entry.image), entry) for entry in listed]
    unknown = [(name, entry) for name, entry in named if name not in keys and not left_out(entry.kind)]
    if unknown:
        there = ", ".join(items) if len(items) < 6 else f"{', '.join(list(items)[:5])}, ..."
        what = f"names {_number(unknown)} that {'is' if len(unknown) == 1 else 'are'} not there, {unknown[0][0]} first"
        fix = f"the copy is incomplete, or the names are another data set's; there are {there}"
        raise DataError(what, where=unknown[0][1].where, fix=fix)
    owners: dict[str, str] = {}
    for name, entry in named:
        found = keys.get(name, [])
        if len(found) > 1:
            fix = "put the folder before the name: FOLDER/NAME"
            raise DataError(f"{name!r} could be {' or '.join(found)}", where=entry.where, fix=fix)
        for key in found:
            if owners.setdefault(key, entry.split) != entry.split:
                raise DataError(f"{name!r} is in the splits {owners[key]!r} and {entry.split!r}", where=entry.where)
    order = list(rule.lists or sorted(rule.folds or set(owners.values())))
    return {split: tuple(sorted(key for key in owners if owners[key] == split)) for split in order}


def _placed(rule: SplitRule, placed: Mapping[str, str]) -> Splits:
    order = rule.folds or sorted(set(placed.values()))
    return {split: tuple(sorted(key for key, its in placed.items() if its == split)) for split in order}


def _entries(split: str, names: Path | tuple[str, ...], root: Path) -> list[Entry]:
    """Return the images of a list, which lies in a file or in the recipe itself."""
    if isinstance(names, Path):
        return read_list(root / names, split)
    return [Entry(normal_form(name), split, "", f"data.splits.lists.{split}") for name in names]


def _keys_by_name(items: Mapping[str, Item]) -> dict[str, list[str]]:
    """Return the keys that each name may stand for: the key, the image's name, with its folder or without."""
    keys: dict[str, list[str]] = {}
    for key, item in items.items():
        for name in {key, normal_form(item.name), normal_form(f"{item.folder}/{item.name}")}:
            keys.setdefault(name, []).append(key)
    return keys


def _number(found: Sized) -> str:
    return "1 image" if len(found) == 1 else f"{len(found)} images"
