"""pydantic's validation errors in plain English, tied to the keys that the user wrote."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from wsss_toolkit.errors import UsageError, close_names, did_you_mean
from wsss_toolkit.recipe.document import KeyPath
from wsss_toolkit.recipe.parts import GROUPS, Part, part_at


class RecipeErrors(UsageError):
    """Everything that is wrong with a recipe: `lines` has one per mistake, in the order of the file, then of `--set`.

    They look like ``recipes/x.yaml:12:5 model.depth: must be at least 1, got 0``.
    """

    def __init__(self, lines: Sequence[str]) -> None:
        self.lines = tuple(lines)
        super().__init__("\n".join(self.lines))

    def __reduce__(self) -> tuple[object, ...]:
        """Keep the lines when the error crosses a process boundary."""
        return RecipeErrors, (self.lines,)


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with a recipe, and where to look for it."""

    path: KeyPath
    """The key that it is about."""
    message: str
    """What is wrong and what to do, quoting the value."""
    at_key: bool = False
    """Whether to point at the key rather than at its value."""
    reads: tuple[KeyPath, ...] = ()
    """Other keys that the finding depends on; it is dropped where one of them is itself wrong."""


# What a value should have been, and how pydantic's types of errors begin that say so.
_KINDS: dict[str, str | tuple[str, ...]] = {
    "a whole number": "int",
    "a number": "float",
    "a finite number": "finite_number",
    "true or false": "bool",
    "text": "string_type",
    "a list": ("tuple_type", "list_type", "set_type"),
    "a section of keys": ("dict_type", "mapping_type", "model"),
    "a path": "path_type",
    "nothing": "none_required",
}
_LIMITS = {
    "greater_than_equal": ("at least", "ge"),
    "greater_than": ("above", "gt"),
    "less_than_equal": ("at most", "le"),
    "less_than": ("below", "lt"),
}


def quote(value: object) -> str:
    """Show a value as the user may have written it, in at most 60 characters."""
    if isinstance(value, str):
        text = repr(value)
    elif isinstance(value, dict):
        text = "a section of keys"
    else:
        text = json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def explain(
    errors: Sequence[ErrorDetails], values: object, model: type[BaseModel], root: KeyPath = ()
) -> list[Finding]:
    """Turn `ValidationError.errors()` into findings, one per offending value.

    The plain values that were validated with the model lie at `root` in the recipe.
    """
    groups: dict[KeyPath, list[tuple[KeyPath, ErrorDetails]]] = {}
    for error in errors:
        path, branch = _real_path(error["loc"], values)
        # All branches of a union fail together: they are one group, at the place of the union.
        groups.setdefault(branch if branch is not None else path, []).append((path, error))
    findings = []
    for group in groups.values():
        # Of a union's branches, the one that got furthest into the value is the one that was meant.
        deepest = max(len(path) for path, _ in group)
        by_path: dict[KeyPath, list[ErrorDetails]] = {}
        for path, error in group:
            if len(path) == deepest:
                by_path.setdefault(path, []).append(error)
        findings += [_finding(path, same, model, values, root) for path, same in by_path.items()]
    return findings


def _real_path(loc: Sequence[str | int], values: object) -> tuple[KeyPath, KeyPath | None]:
    """Strip the names of union branches from a location; also return where the first union lies."""
    path: KeyPath = ()
    union: KeyPath | None = None
    here = values
    for index, part in enumerate(loc):
        if isinstance(here, Mapping) and part in here:
            here = here[part]
        elif isinstance(here, list) and isinstance(part, int) and part < len(here):
            here = here[part]
        elif index == len(loc) - 1 and isinstance(here, Mapping) and isinstance(part, str) and part.isidentifier():
            return (*path, part), union  # a key that is missing
        else:
            union = path if union is None else union
            continue
        path = (*path, part)
    return path, union


def _finding(
    path: KeyPath, errors: list[ErrorDetails], model: type[BaseModel], values: object, root: KeyPath
) -> Finding:
    parent, error, where = model_at(model, path[:-1], values), errors[0], (*root, *path)
    if error["type"] == "missing":
        return Finding(where, "missing key", at_key=True)
    # Where any key is allowed, one that is a word away from a known one was meant to be that.
    known = parent.model_fields if parent is not None and parent.model_config.get("extra") == "allow" else {}
    meant = known and path[-1] not in known and close_names(path[-1], known)
    if error["type"] == "extra_forbidden" or (meant and error["type"].startswith("model")):
        return Finding(where, _unknown_key(path, parent, model), at_key=True)
    if error["type"] in ("value_error", "assertion_error"):
        words = str(error.get("ctx", {}).get("error", error["msg"])).replace("\n", " ")
        # Without a parent it is one of several parts by name, and the name may be what is wrong.
        return Finding(where, words, at_key=parent is None and path[-1] != "kind")
    limits = [item for item in errors if item["type"] in _LIMITS]
    if limits:
        word, name = _LIMITS[limits[0]["type"]]
        return Finding(where, f"must be {word} {limits[0]['ctx'][name]:g}, got {quote(error['input'])}")
    return Finding(where, _expected(errors))


def _expected(errors: list[ErrorDetails]) -> str:
    value = errors[0]["input"]
    kinds: list[str] = []
    choices: list[str] = []
    for error in errors:
        kind = error["type"]
        context = error.get("ctx", {})
        if kind in ("literal_error", "enum"):
            expected = str(context.get("expected", ""))
            choices += [choice.strip("'") for choice in expected.replace(" or ", ", ").split(", ")]
            kinds.append(expected)
        elif kind in ("too_short", "string_too_short"):
            items = "item" if context["min_length"] == 1 else "items"
            return f"needs at least {context['min_length']} {items}, got {quote(value)}"
        elif kind in ("too_long", "string_too_long"):
            return f"takes at most {context['max_length']}, got {quote(value)}"
        elif kind == "string_pattern_mismatch":
            kinds.append(f"text that matches {context['pattern']}")
        elif name := next((text for text, begins in _KINDS.items() if kind.startswith(begins)), None):
            kinds.append(name)
        else:
            return f"{error['msg'][0].lower()}{error['msg'][1:]}, got {quote(value)}"
    kinds = list(dict.fromkeys(kinds))
    message = f"expected {' or '.join(kinds)}, got {quote(value)}"
    if not isinstance(value, str) and str(value) in choices:
        return f"{message}; write it in quotes"
    hint = did_you_mean(value, choices, "") if isinstance(value, str) and len(choices) > 1 else ""
    return f"{message}; {hint}" if hint else message


def _unknown_key(path: KeyPath, parent: type[BaseModel] | None, model: type[BaseModel]) -> str:
    name = str(path[-1])
    known = list(parent.model_fields) if parent else []
    if hint := did_you_mean(name, known, ""):
        return f"unknown key, {hint}"
    elsewhere = [dotted for dotted in _dotted_fields(model) if dotted.split(".")[-1] == name]
    if elsewhere:
        return f"unknown key, did you mean {' or '.join(elsewhere[:3])}?"
    return f"unknown key; known here: {', '.join(known)}" if known else "unknown key"


def models_in(annotation: object) -> list[type[BaseModel]]:
    """Return the pydantic models that a type annotation names, such as the one in `Unet | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in get_args(annotation) for found in models_in(part)]


def model_at(model: type[BaseModel], path: KeyPath, values: object = None) -> type[BaseModel] | None:
    """Return the model that describes the section at `path` below a model, or None where there is no single one.

    The plain values of everything below the model say of what kind the parts are.
    """
    here: type[BaseModel] | None = model
    for index, part in enumerate(path):
        if here is None:
            return None
        field = here.model_fields.get(str(part))
        annotation: Any = field.annotation if field else None
        if field is None and here.model_config.get("extra") == "allow":
            annotation = here.__annotations__.get("__pydantic_extra__")
        found = models_in(annotation)
        values = values.get(part) if isinstance(values, Mapping) else None
        if Part in found:
            return _part_model(str(part), path[index + 1 :], values)
        # A list or dict of sections: its items are looked up under the same model.
        if not found and isinstance(part, int):
            continue
        here = found[0] if found else None
    return here


def _part_model(key: str, path: KeyPath, values: object) -> type[BaseModel] | None:
    """Return the model at `path` below a key that holds a part, or parts by name."""
    name = None
    if key != "source":
        if not path:
            return None
        name, path = str(path[0]), path[1:]
        values = values.get(name) if isinstance(values, Mapping) else None
    part = part_at(GROUPS[key], values, name)
    return None if part is None else model_at(part, path, values)


def _dotted_fields(model: type[BaseModel], prefix: str = "") -> list[str]:
    names = []
    for name, field in model.model_fields.items():
        names.append(prefix + name)
        for inner in models_in(field.annotation):
            if inner is not Part:  # whose keys depend on its kind
                names += _dotted_fields(inner, f"{prefix}{name}.")
    return names
