"""A recipe to show to others: what was done, without the folders of the machine that did it."""

import re
from typing import Any

import yaml

_PATH = re.compile(r"(?:~|/|\\\\|[A-Za-z]:[\\/]|[A-Za-z][\w+.-]*://)")
"""How a path or address begins that says something about a machine or its user."""


def shareable(recipe: dict[str, Any]) -> dict[str, Any]:
    """Return a recipe in which `data.root` and every other path outside the working folder is its last name alone."""
    shown: dict[str, Any] = _shortened(recipe)
    data = shown.get("data")
    if isinstance(data, dict) and isinstance(data.get("root"), str):
        data["root"] = last_name(data["root"])
    return shown


def shareable_yaml(recipe: dict[str, Any]) -> str:
    """Return `shareable` as YAML."""
    return yaml.safe_dump(shareable(recipe), sort_keys=False, allow_unicode=True, width=100)


def last_name(path: str) -> str:
    """Return the last part of a path; queries of addresses, which may hold keys, are left out."""
    if "://" in path:
        path = path.partition("?")[0].partition("#")[0].partition("://")[2]
    parts = [part for part in re.split(r"[\\/]", path) if part not in ("", ".", "..", "~")]
    return parts[-1] if parts else "."


def _shortened(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shortened(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_shortened(part) for part in value]
    if isinstance(value, str) and (_PATH.match(value) or value.startswith("../")):
        return f"…/{last_name(value)}"
    return value
