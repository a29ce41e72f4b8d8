"""A recipe to show to others: what was done, without the folders of the machine that did it.

A run keeps its recipe so; the paths themselves lie beside it in a file of their own, which nobody needs to share.
"""

import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from wsss_toolkit.files import write_json, write_text

LOCAL_FILE = "local_paths.json"
"""The file beside a run's recipe that holds the paths of this machine, to be left out when a run is shared."""

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


def write_recipe(path: Path, text: str) -> None:
    """Write a recipe as YAML in which paths outside the working folder are their last name alone, and the paths beside.

    `with_local_paths` puts the two together again.
    """
    values = yaml.safe_load(text)
    shown = _shortened(values)
    write_json(path.with_name(LOCAL_FILE), _differing(values, shown))
    write_text(path, yaml.safe_dump(shown, sort_keys=False, allow_unicode=True, width=110))


def with_local_paths(values: dict[Any, Any], path: Path) -> None:
    """Put the paths of this machine into the values of the recipe at `path`, where they were shortened.

    What was changed in the recipe since then stays as it is there; without the file nothing happens.
    """
    kept: Any = None
    file = path.with_name(LOCAL_FILE)
    with suppress(OSError, ValueError, RecursionError):
        kept = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None  # a pipe would be waited for
    _restore(values, kept)


def _differing(values: dict[Any, Any], shown: dict[Any, Any]) -> dict[Any, Any]:
    found = {}
    for key, value in values.items():
        if value != shown[key]:
            found[key] = _differing(value, shown[key]) if isinstance(value, dict) else value
    return found


def _restore(values: dict[Any, Any], kept: Any) -> None:
    for key, value in kept.items() if isinstance(kept, dict) else ():
        if key not in values:
            continue
        if isinstance(value, dict) and isinstance(values[key], dict):
            _restore(values[key], value)
        elif values[key] == _shortened(value):
            values[key] = value


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
