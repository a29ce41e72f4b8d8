"""A YAML text as plain values, with the place of every key and value."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import yaml

from wsss_toolkit.errors import UsageError
from wsss_toolkit.recipe.yaml_text import MAX_DEPTH, compose

TAG = "tag:yaml.org,2002:"
MAX_VALUES = 20_000

PLACEHOLDER = re.compile(r"\{\w+\}\S")
"""Begins a pattern such as ``{scene}_S2.tif``, which is no YAML."""

ODD_NUMBER = re.compile(r"[-+]?(0[0-7_]+|[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?)")
"""Numbers of YAML 1.1 that mean something else to people."""

Key = str | int
KeyPath = tuple[Key, ...]


@dataclass(frozen=True, order=True, slots=True)
class Place:
    """Where something was said; places sort as a reader meets them, command-line values last."""

    override: int
    """0 for the file, else the number of the `--set`."""
    line: int
    """Line in the text, from 1."""
    column: int
    """Column in the text, from 1."""
    text: str = field(compare=False)
    """How the place is printed."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong at a place; `path` is the recipe key that it is about."""

    place: Place
    path: KeyPath
    message: str

    def __str__(self) -> str:
        """Return ``place path: message`` in one line."""
        path = ".".join(str(key) for key in self.path)
        if not path or self.place.text.startswith(f"--set {path}="):
            return f"{self.place.text}: {self.message}"
        return f"{self.place.text} {path}: {self.message}"


class Document:
    """The plain values of a recipe file and of `--set` options, each with its place.

    `problems` says what is wrong with the text itself, such as keys given twice.
    """

    def __init__(self, text: str, name: str, written: Mapping[KeyPath, KeyPath] = MappingProxyType({})) -> None:
        """Read the text of the file called `name`; `written` says where keys may stand that have another place now."""
        self.name, self.written = name, written
        self.problems: list[Problem] = []
        self._keys: dict[KeyPath, Place] = {}
        self._values: dict[KeyPath, Place] = {}
        self._plain: dict[KeyPath, tuple[str, Any]] = {}  # what was written without quotes and is no text to YAML
        self.start = Place(0, 1, 1, f"{name}:1:1")
        node = compose(text, name)
        if node is None:
            raise UsageError("the recipe is empty", where=name, fix="start from one that `wsss recipes` lists")
        if not isinstance(node, yaml.MappingNode):
            kind = "list" if isinstance(node, yaml.SequenceNode) else "single value"
            what = f"a recipe is a mapping of keys such as `name: ...`, but this file holds a {kind}"
            raise UsageError(what, where=name)
        self.values: dict[Key, Any] = _Builder(self, None).build(node, ())

    def key_place(self, path: KeyPath) -> Place:
        """Return the place of the key at `path`, else of the nearest section around it."""
        while path:
            if path in self._keys:
                return self._keys[path]
            if path in self._values:
                return self._values[path]
            path = path[:-1]
        return self.start

    def value_place(self, path: KeyPath) -> Place:
        """Return the place of the value at `path`; where it is absent, that of the nearest section's key."""
        places = [self._values[key] for key in (path, self.written.get(path)) if key in self._values]
        return max(places) if places else self.key_place(path)  # the last one counts

    def hint(self, path: KeyPath) -> str:
        """Return how to write a value so that YAML does not read it as another kind of value; "" where it does not."""
        if path not in self._plain:
            return ""
        raw, value = self._plain[path]
        read = json.dumps(value, default=str)
        return "; put it in quotes" + (f": YAML reads {raw or 'nothing'} as {read}" if read != raw else "")

    def override(self, number: int, option: str) -> None:
        """Apply the `KEY=VALUE` of one `--set`, whose number counts from 1; the value is read as YAML.

        Raises:
            UsageError: If `option` has no `=` or an empty key, the value is malformed, or the key lies
                inside a value that is not a section.
        """
        shown = option if len(option) <= 80 else option[:77] + "..."
        dotted, equals, text = option.partition("=")
        keys = dotted.strip().split(".")
        if not equals or not all(keys):
            raise UsageError("expected KEY=VALUE", where=f"--set {shown}", fix="for example --set train.epochs=5")
        place = Place(number, 1, 1, f"--set {shown}")
        # Quoted for YAML, to which `{scene}.tif` is a mapping with something behind it; shells take the user's quotes.
        node = compose(json.dumps(text) if PLACEHOLDER.match(text) else text, place.text)
        section: Any = self.values
        path: KeyPath = ()
        for depth, name in enumerate(keys):
            if not isinstance(section, dict):
                inside = ".".join(keys[:depth])
                what = "a list; set it as a whole" if isinstance(section, list) else "a value, not a section"
                raise UsageError(f"{inside} is {what}", where=place.text)
            key: Key = int(name) if name.isdecimal() and int(name) in section else name
            path = (*path, key)
            if depth < len(keys) - 1:
                if section.get(key) is None:
                    section[key] = {}
                    self._keys[path] = self._values[path] = place
                section = section[key]
        places: dict[KeyPath, Any]
        for places in (self._keys, self._values, self._plain):
            for old in [old for old in places if old[: len(path)] == path]:
                del places[old]
        self._keys[path] = self._values[path] = place
        section[path[-1]] = None if node is None else _Builder(self, place).build(node, path)


class _Builder:
    """Builds plain values from YAML nodes and notes their places in the document."""

    def __init__(self, document: Document, place: Place | None) -> None:
        self.document, self.place, self.count = document, place, 0
        self.name = place.text if place else document.name
        self.constructor = yaml.constructor.SafeConstructor()

    def build(self, node: yaml.Node, path: KeyPath) -> Any:
        """Return the plain value of a node."""
        self.count += 1
        if self.count > MAX_VALUES:
            raise UsageError(f"more than {MAX_VALUES} values once aliases are written out", where=self.name)
        if len(path) > MAX_DEPTH:
            raise UsageError(f"nested more than {MAX_DEPTH} levels deep", where=self.name)
        self.document._values[path] = self._place_of(node)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            self._allows(node, path, "seq")
            return [self.build(item, (*path, index)) for index, item in enumerate(node.value)]
        assert isinstance(node, yaml.ScalarNode)  # YAML has no other kind of node
        return self._scalar(node, path)

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[Key, Any]:
        self._allows(node, path, "map")
        values: dict[Key, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._problem(key_node, path, "a key must be a name or a whole number")
                continue
            key = self._key(key_node)
            here = (*path, key)
            if key_node.tag == TAG + "merge":
                self._problem(key_node, path, "merge keys (<<) are not supported; write the keys out")
            elif key in values:
                first = self.document._keys[here]
                self._problem(key_node, here, f"key given twice, first at line {first.line}")
            else:
                self.document._keys[here] = self._place_of(key_node)
                values[key] = self.build(value_node, here)
        return values

    def _key(self, node: yaml.ScalarNode) -> Key:
        # YAML 1.1 reads the keys `on`, `no` and `y` as booleans; as keys they are meant as written.
        if node.tag == TAG + "int":
            try:
                number = int(self.constructor.construct_yaml_int(node))
                self._refuse_odd_number(node, number, ())
                return number
            except ValueError:
                pass
        return str(node.value)

    def _scalar(self, node: yaml.ScalarNode, path: KeyPath) -> Any:
        kind = node.tag.removeprefix(TAG)
        # Dates stay text: whoever wants a date parses one, and a name such as 2024-05-01 is a name.
        if kind in ("str", "timestamp", "value"):
            return str(node.value)
        if not self._allows(node, path, "null", "bool", "int", "float"):
            return None
        try:
            value = self.constructor.construct_object(node)
            self.document._plain[path] = str(node.value), value
            self._refuse_odd_number(node, value, path)
            return value
        except (ValueError, KeyError, OverflowError, yaml.YAMLError):
            return str(node.value)  # the schema says what was expected instead

    def _refuse_odd_number(self, node: yaml.ScalarNode, value: Any, path: KeyPath) -> None:
        """Note a number that nobody reads as YAML does: octal such as 010, or sexagesimal such as 1:30."""
        if isinstance(value, int | float) and ODD_NUMBER.fullmatch(node.value):
            self._problem(node, path, f"YAML reads {node.value} as {value}; write {value}, or put it in quotes")

    def _allows(self, node: yaml.Node, path: KeyPath, *tags: str) -> bool:
        allowed = node.tag.removeprefix(TAG) in tags
        if not allowed:
            tag = node.tag.replace(TAG, "!!")
            self._problem(node, path, f"the tag {tag} is not allowed; recipes hold plain values only")
        return allowed

    def _place_of(self, node: yaml.Node) -> Place:
        if self.place is not None:
            return self.place
        line, column = node.start_mark.line + 1, node.start_mark.column + 1
        return Place(0, line, column, f"{self.name}:{line}:{column}")

    def _problem(self, node: yaml.Node, path: KeyPath, message: str) -> None:
        self.document.problems.append(Problem(self._place_of(node), path, message))
