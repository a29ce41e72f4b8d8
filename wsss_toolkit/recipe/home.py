"""`~` at the beginning of a path in a recipe means the user's home folder: shells expand it in few places."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from wsss_toolkit.domain.fingerprint import Changes

Section = TypeVar("Section", bound=BaseModel)


def with_home(section: Section) -> Section:
    """Return a section whose paths begin with no `~`: values that are paths, and texts that name a file to read."""
    changed: dict[str, Any] = {}
    for name, key in type(section).model_fields.items():
        value = getattr(section, name)
        names_file = Changes.CONTENT in key.metadata
        if (expanded := _expanded(value, names_file=names_file)) is not value:
            changed[name] = expanded
    return section.model_copy(update=changed) if changed else section


def _expanded(value: Any, *, names_file: bool = False) -> Any:
    """Return a value with `~` expanded below it; the same object where there is none."""
    if isinstance(value, BaseModel):
        return with_home(value)
    if isinstance(value, Path) or (names_file and isinstance(value, str)):
        if not str(value).startswith("~"):
            return value
        try:
            return type(value)(Path(value).expanduser())
        except RuntimeError:  # no such user: whoever reads the path says that it is not there
            return value
    parts: list[Any]
    if isinstance(value, Mapping):
        parts = [_expanded(part) for part in value.values()]
        same = all(new is old for new, old in zip(parts, value.values(), strict=True))
        return value if same else dict(zip(value, parts, strict=True))
    if isinstance(value, tuple):
        parts = [_expanded(part) for part in value]
        return value if all(new is old for new, old in zip(parts, value, strict=True)) else tuple(parts)
    return value
