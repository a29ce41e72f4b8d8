"""Recipes in an older spelling: what is called or written otherwise now, for one version.

Each change is a small function in `CHANGES` that rewrites plain values in place and says what it did.
"""

import copy
from collections.abc import Callable, Iterator
from typing import Any

Values = dict[Any, Any]

MOVED = {
    ("train", "precision"): ("machine", "precision"),
    ("train", "devices"): ("machine", "devices"),
    ("train", "workers"): ("machine", "workers"),
    ("train", "cache"): ("machine", "cache"),
    ("train", "images_in_memory_mb"): ("machine", "images_in_memory_mb"),
}
"""Keys that have another place or name now: section and key, before and after."""


def upgrade(values: Values) -> tuple[Values, list[str]]:
    """Return the values of a recipe in today's spelling, and one sentence per change.

    What is no recipe (lists for sections, and the like) is left as it is: the schema says what is wrong. Where both
    spellings are given, the older one wins: `--set` in the older spelling changes what the file says in today's.

    Args:
        values: What YAML and `--set` say; not changed.
    """
    values = copy.deepcopy(values)
    return values, [line for change in CHANGES for line in change(values)]


def _move_keys(values: Values) -> Iterator[str]:
    for (section, key), (target, name) in MOVED.items():
        before = values.get(section)
        if not isinstance(before, dict) or key not in before or not isinstance(values.get(target, {}), dict):
            continue
        values.setdefault(target, {})[name] = before.pop(key)
        yield f"{section}.{key} is {target}.{name} now"


CHANGES: tuple[Callable[[Values], Iterator[str]], ...] = (_move_keys,)
"""In the order in which they are made."""
