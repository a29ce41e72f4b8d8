"""Which frame is in which split, by the recipe's rule."""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from wsss_adapters.endoscopy.frame_folder import Frame
from wsss_adapters.endoscopy.hyperkvasir_classes import ClassNames
from wsss_adapters.endoscopy.hyperkvasir_options import SplitRule
from wsss_adapters.splits.frame_splits import divide_groups, wanted_counts
from wsss_adapters.splits.near_duplicates import similar_groups
from wsss_adapters.tables.frame_table import Table, missing_names, read_folds, read_lists
from wsss_toolkit.errors import DataError

Splits = dict[str, tuple[str, ...]]


def split_frames(
    rule: SplitRule, frames: Mapping[str, Frame], root: Path, names: ClassNames, table: Callable[[], Table]
) -> Splits:
    """Divide frames by the recipe's rule.

    Args:
        rule: The rule.
        frames: All frames by key, sorted.
        root: The folder that the rule's files are relative to.
        names: Finds the class that a split file's class column names.
        table: Reads the data set's table, for `group_by`.

    Returns:
        Sorted keys by split.

    Raises:
        DataError: If files or columns are missing, frames are not there, or a split would be empty.
    """
    if rule.file or rule.lists:
        splits = _listed(rule, frames, root, names)
        if rule.val_fraction:
            splits |= _hold_out(rule, {key: frames[key] for key in splits.get("train", ())}, root, table)
    else:
        counts = rule.counts or wanted_counts(len(frames), rule.fractions or {})
        splits = _drawn(rule, frames, counts, root, table)
    empty = [split for split, keys in splits.items() if not keys]
    if empty:
        raise DataError(
            f"split {empty[0]!r} gets no frame: there are {len(frames)}",
            where=str(root),
            fix="correct data.splits; frames of one group stay together, so that few large groups fill few splits",
        )
    return splits


def _drawn(
    rule: SplitRule, frames: Mapping[str, Frame], counts: Mapping[str, int], root: Path, table: Callable[[], Table]
) -> Splits:
    """Draw splits of about the sizes wanted, groups whole, classes even."""
    if sum(counts.values()) > len(frames):
        raise DataError(
            f"data.splits.counts sum to {sum(counts.values())}, but there are {len(frames)} frames",
            where=str(root),
            fix="lower the counts, or use fractions",
        )
    groups = _groups(rule, frames, table)
    # The class, and whether there is a mask to score against: never what a mask shows.
    strata = {key: (frame.kind, frame.mask is not None) for key, frame in frames.items()}
    return divide_groups(groups, strata, counts, rule.seed)


def _hold_out(rule: SplitRule, train: Mapping[str, Frame], root: Path, table: Callable[[], Table]) -> Splits:
    """Take `val` out of the training frames of an official split, which has none."""
    shares = {"train": 1 - rule.val_fraction, "val": rule.val_fraction}
    return _drawn(rule, train, wanted_counts(len(train), shares), root, table)


def _groups(rule: SplitRule, frames: Mapping[str, Frame], table: Callable[[], Table]) -> list[list[str]]:
    """Return the keys that must stay together."""
    keys = list(frames)
    if rule.similarity is not None:
        numbers: list[object] = list(similar_groups([frames[key].image for key in keys], rule.similarity))
    elif rule.group_pattern is not None:
        numbers = [_group_in_name(rule.group_pattern, frames[key].image) for key in keys]
    elif rule.group_by is not None:
        numbers = _group_in_table(rule.group_by, frames, table())
    else:
        return [[key] for key in keys]
    grouped: dict[object, list[str]] = {}
    for key, number in zip(keys, numbers, strict=True):
        grouped.setdefault(number, []).append(key)
    return list(grouped.values())


def _group_in_name(pattern: str, image: Path) -> str:
    found = re.search(pattern, image.stem)
    if found is None or found[1] is None:
        raise DataError(
            f"the name does not match data.splits.group_pattern {pattern!r}",
            where=str(image),
            fix="make the pattern wider: a frame without a group could end on both sides",
        )
    return found[1]


def _group_in_table(column: str, frames: Mapping[str, Frame], table: Table) -> list[object]:
    values = table.column(column)
    error = missing_names((frame.image.stem for frame in frames.values()), values, table.path)
    if error:
        raise DataError(
            f"lacks {error.what.removeprefix('names ').replace(' not there', ' in the data')}",
            where=str(table.path),
            fix="add rows for all frames, or group by data.splits.similarity",
        )
    groups: list[object] = [values[frame.image.stem] for frame in frames.values()]
    if len(set(groups)) == len(groups) > 1:
        raise DataError(
            f"the column {column!r} differs for every frame: it names the frame, not its video or patient",
            where=str(table.path),
            fix="use data.splits.similarity instead: near-duplicates then stay in one split",
        )
    return groups


def _listed(rule: SplitRule, frames: Mapping[str, Frame], root: Path, names: ClassNames) -> Splits:
    """Return the splits of a split file or of lists; frames in none are left out."""
    classes: dict[str, str] = {}
    if rule.file:
        path = root / rule.file
        wanted, classes = read_folds(path, rule.folds)
    else:
        path = root / next(iter((rule.lists or {}).values()))
        wanted = read_lists(root, rule.lists or {})
    keys = _keys_by_name(frames)
    used = {name: split for name, split in wanted.items() if name in keys or not _left_out(classes.get(name), names)}
    error = missing_names(used, keys, path)
    if error:
        raise error
    twice = [name for name in used if len(keys[name]) > 1]
    if twice:
        raise DataError(
            f"{twice[0]!r} could be {' or '.join(keys[twice[0]])}",
            where=str(path),
            fix="put the class folder before the name: FOLDER/NAME",
        )
    splits: dict[str, set[str]] = {}
    for name, split in used.items():
        splits.setdefault(split, set()).add(keys[name][0])
    owners = Counter(key for found in splits.values() for key in found)
    shared = [key for key, times in owners.items() if times > 1]
    if shared:
        raise DataError(f"{shared[0]!r} is in two splits, under two names", where=str(path))
    return {split: tuple(sorted(found)) for split, found in sorted(splits.items())}


def _keys_by_name(frames: Mapping[str, Frame]) -> dict[str, list[str]]:
    """Return the keys that each name may stand for: the key, the file's name, with its folder or without."""
    keys: dict[str, list[str]] = {}
    for key, frame in frames.items():
        stem = frame.image.stem
        for name in {key, stem, f"{frame.image.parent.name}/{stem}"}:
            keys.setdefault(name, []).append(key)
    return keys


def _left_out(name: str | None, names: ClassNames) -> bool:
    """Return whether images of a class are left out by the recipe."""
    try:
        return name is not None and names.find(name) is None
    except KeyError:
        return False
