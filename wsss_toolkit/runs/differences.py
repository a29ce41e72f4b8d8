"""Why a stage is done again: what differs between the inputs of its result and those of now, in one line."""

import json
from collections.abc import Mapping
from typing import Any

from wsss_toolkit.recipe import Recipe
from wsss_toolkit.recipe.messages import models_in

SHOWN = 3
"""Differences that are named, and files."""

LONGEST = 40
"""Characters of a value."""

Keys = tuple[str, ...]


def differences(old: Mapping[str, Any] | None, new: Mapping[str, Any], recipe: Recipe) -> str:
    """Return what changed between two `Pipeline.inputs`, such as ``train.epochs 4 -> 5``.

    The old are None where they were not noted. The recipe of now knows the defaults that inputs leave out.
    """
    if old is None or old["revision"] != new["revision"]:
        return "it was made by an older version"
    found = [f"{stage} changed" for stage in _differing(old, new, "after") if stage in new["after"]]
    before, now = _flat(old["recipe"]), _flat(new["recipe"])
    for keys in dict.fromkeys([*before, *now]):
        one, other = (values.get(keys, _default(recipe, keys)) for values in (before, now))
        if one != other:
            found.append(f"{'.'.join(keys)} {_shown(one)} -> {_shown(other)}")
    found += [f"the {name} of the data changed" for name in _differing(old, new, "found")]
    if files := _differing(old, new, "files"):
        count = f"{len(files)} file{'s' if len(files) > 1 else ''} of the data changed"
        found.append(f"{count} ({', '.join(files[:SHOWN])}{', ...' if len(files) > SHOWN else ''})")
    if not found:
        return "keys stand in another order, or a section was added or left out"
    return ", ".join(found[:SHOWN]) + (f" and {len(found) - SHOWN} more" if len(found) > SHOWN else "")


def _differing(old: Mapping[str, Any], new: Mapping[str, Any], part: str) -> list[str]:
    """Return the names whose values differ, or that one of the two lacks."""
    before, now = old.get(part, {}), new.get(part, {})
    return [name for name in dict.fromkeys([*before, *now]) if before.get(name) != now.get(name)]


def _flat(values: Mapping[str, Any], around: Keys = ()) -> dict[Keys, Any]:
    """Return values by the keys that lead to them."""
    flat: dict[Keys, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, (*around, name)) if isinstance(value, Mapping) else {(*around, name): value}
    return flat


def _default(recipe: Recipe, keys: Keys) -> Any:
    """Return the default of a key; None where it has none."""
    section, keys = (type(recipe.data), keys[1:]) if keys[0] == "data" else (Recipe, keys)
    field = section.model_fields.get(keys[0])
    if field is None or field.is_required():
        return None
    value = field.get_default(call_default_factory=True)
    if value is None and keys[1:]:  # a section that is left out by default
        value = next((section() for section in models_in(field.annotation)), None)
    for name in keys[1:]:
        value = value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
    return value


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."
