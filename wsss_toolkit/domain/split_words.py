"""What folders, columns and cells call training, validation and test: the one list of such words."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from wsss_toolkit.domain.table import plain

__all__ = ["SPLIT_WORDS", "names_splits", "split_of"]

SPLIT_WORDS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""The split that a word stands for."""

_COLUMN: Final = re.compile(
    r"(k|cv|sub|official|data(?!sets?$)|dataset(?!s?$))?(splits?|sets?|folds?|partitions?|phase|usage|mluse)"
    r"(index|id|name|type|no|nr|number|\d+)?"
)


def split_of(word: str) -> str | None:
    """Return the split that a word stands for, None if it is none of the usual ones.

    >>> split_of("Valid"), split_of("training_set"), split_of("test2017"), split_of("holdout")
    ('val', 'train', 'test', None)
    """
    return SPLIT_WORDS.get(re.sub(r"(sets?|splits?|data|(19|20)\d\d)$", "", plain(word)))


def names_splits(column: str) -> bool:
    """Return whether a column is called as one that names the split, or the fold, of its row.

    >>> [names_splits(name) for name in ("split", "split-index", "kfold", "data_split", "dataset", "film")]
    [True, True, True, True, False, False]
    """
    return _COLUMN.fullmatch(plain(column)) is not None


def first_split_column(columns: Sequence[str]) -> int | None:
    """Return the place of the first column that names splits, None without one."""
    return next((place for place, column in enumerate(columns) if names_splits(column)), None)
