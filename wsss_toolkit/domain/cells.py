"""How a cell, or a value of JSON, becomes names of classes: the one place that decides it, for all tables of tags.

The grammar stands in docs/your-own-pictures.md. What could mean two things is a `DataError` that asks.
"""

import ast
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final

from wsss_toolkit.domain.table import plain
from wsss_toolkit.errors import DataError

SEPARATOR: Final = ";"
"""What separates classes within a cell; line ends do too, and commas and `|` where they are part of no class's name."""

MISSING: Final = frozenset({
    "nan", "na", "nat", "none", "null", "nil", "undefined", "unknown", "missing", "unlabeled", "unlabelled",
    "notlabeled", "notlabelled", "nolabel", "notavailable", "notapplicable", "tbd", "todo",
})  # fmt: skip
"""What programs and people write where they have no value, as `plain` writes it: `N/A` and `<NA>` are `na`."""

NUMBER: Final = re.compile(
    r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|true|false|yes|no|y|n|ja|nein|oui|non|wahr|falsch|vrai|faux",
    re.IGNORECASE,
)
"""Names that are numbers or say yes or no: of ids or answers rather than of classes."""

NO: Final = frozenset({"0", "0.0", "-1", "-1.0", "false", "no", "n", "nein", "non", "falsch", "faux", "absent"})
"""What says that something is not there, in lower case."""

FLAGS: Final[Mapping[str, bool]] = {"1": True, "1.0": True, "true": True, "0": False, "0.0": False, "false": False}
"""Whether a class is there, as one-hot columns say it, in lower case."""

NAMING: Final = ("choices", "choice", "label", "labels", "class", "classes", "name", "tag", "tags", "category")
"""Keys of a JSON object whose values are names of classes; those that end in `labels` are too (Label Studio)."""

MOST: Final = 100_000
"""Characters of a cell."""

_QUOTED = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
_PIECE = re.compile(r"[\[({]\s*['\"]|['\"]\s*[\])}]|[\[({][\s\[\](){}]*[\])}]")
"""What only a piece of program text holds, such as `frozenset({'cat'` or `array([])`."""
_SHARE = re.compile(r"[:=]\s*(0?\.\d+|1\.0+|\d+(\.\d+)?\s*%)$")
"""How sure a class is, or how much of it there is, behind its name."""
_LIST = re.compile(rf"[\[({{][\s,]*(?:{_QUOTED}[\s,]*)*[\])}}]")  # numpy writes no commas
_OPENING: Final[Mapping[str, str]] = {"[": "]", "{": "}"}


def class_names(cell: str, known: Collection[str], where: str) -> tuple[str, ...]:
    """Return the names in a cell, each once; `known` are those of the recipe, which may hold a comma or `|`.

    Raises:
        DataError: If it is a list that cannot be read, or a name looks like a missing value and is none of the known.

    >>> class_names("cat; dog", (), "t.csv:2"), class_names("['cat', 'dog']", (), "t.csv:3")
    (('cat', 'dog'), ('cat', 'dog'))
    """
    names = (cell,) if cell in known else dict.fromkeys(filter(None, map(str.strip, _in_cell(cell, known, where))))
    return checked(names, known, where)


def names_of(value: object, known: Collection[str], where: str) -> tuple[str, ...]:
    """Return the names in a value of JSON, as `class_names` does.

    Raises:
        DataError: If it is none that holds names of classes.

    >>> names_of({"choices": ["cat", "dog"]}, (), "t.json"), names_of({"cat": 1, "dog": 0}, (), "t.json")
    (('cat', 'dog'), ('cat',))
    """
    if isinstance(value, str):
        return class_names(value.strip(), known, where)
    return checked(dict.fromkeys(filter(None, map(str.strip, _in_value(value, where)))), known, where)


def checked(names: Iterable[str], known: Collection[str], where: str) -> tuple[str, ...]:
    """Return names; DataError where one looks like a missing value and is none of those known."""
    found = tuple(names)
    for name in found:
        if name in known:
            continue
        if _PIECE.search(name):
            fix = "write its names separated by ; or |, or as a JSON list"
            raise DataError(f"{_short(name)} is a piece of a list", where=where, fix=fix)
        if _SHARE.search(name):
            raise DataError(f"{name!r} ends with a number of its own", where=where, fix="write the class's name alone")
        if is_missing(name):
            what = f"{name!r} could be a missing value or a class"
            fix = "write it as an empty cell, or put it among the classes (data.classes, or classes.txt for wsss init)"
            raise DataError(what, where=where, fix=fix)
    return found


def is_missing(text: str) -> bool:
    """Return whether a text is what programs and people write where they have no value, `...` and `?` among them."""
    return plain(text) in MISSING or re.fullmatch(r"[\s?.*_/\\~<>()-]*|\\N", text) is not None


def refuse_numbers(names: Iterable[str], known: Collection[str], where: str) -> None:
    """Raise a DataError where every name is a number or says yes or no, and the recipe knows none of them.

    One `0` or `no` beside other names is asked about too: it says that there is none of them.

    >>> refuse_numbers(["3", "cat"], (), "t.csv")
    """
    found = sorted(set(names))
    numbers = [name for name in found if NUMBER.fullmatch(name)]
    if len(found) > 1 and len(numbers) == 1 and numbers[0].casefold() in NO and numbers[0] not in known:
        what = f"{numbers[0]!r}, beside names of classes, could mean none of them"
        fix = "write an empty cell instead, or put it among the classes (data.classes, or classes.txt for wsss init)"
        raise DataError(what, where=where, fix=fix)
    if found and not set(found) & set(known) and len(numbers) == len(found):
        shown = ", ".join(found[:5]) + (", ..." if len(found) > 5 else "")
        what = f"every class is called by a number or by yes and no: {shown}"
        fix = "write the classes' names (classes_column chooses their column), or put these among the classes "
        raise DataError(what, where=where, fix=fix + "(data.classes, or classes.txt for wsss init)")


def _in_cell(cell: str, known: Collection[str], where: str) -> Iterator[str]:
    """Yield the names in a cell, with blanks around them and empty ones too."""
    if len(cell) > MOST:
        raise DataError(f"a cell holds {len(cell):,} characters", where=where, fix="it holds names of classes")
    if _LIST.fullmatch(cell) or cell in ("set()", "()"):
        yield from (str(ast.literal_eval(part)) for part in re.findall(_QUOTED, cell))  # one text each, no expression
    elif cell[:1] in _OPENING or cell[:1] == '"' == cell[-1:]:
        yield from _structured(cell, known, where)
    else:
        yield from _separated(cell, known)


def _structured(cell: str, known: Collection[str], where: str) -> Iterator[str]:
    """Yield the names in a cell that begins as JSON does; bare words in brackets are names too."""
    try:
        yield from _in_value(json.loads(cell), where)
    except (ValueError, RecursionError):
        inside = cell[1:-1]
        if cell[-1:] != _OPENING.get(cell[0]) or re.search(r"[\[\]{}:'\"]", inside):
            fix = "write its names separated by ; or |, or as a JSON list"
            raise DataError(f"{_short(cell)} is a list that cannot be read", where=where, fix=fix) from None
        yield from _separated(inside, known)


def _separated(text: str, known: Collection[str]) -> Iterator[str]:
    for name in map(str.strip, re.split(rf"[{SEPARATOR}\r\n]", text)):
        parts = (name,) if name in known else map(str.strip, re.split("[|,]", name))
        yield from (part[1:-1] if re.fullmatch(_QUOTED, part) else part for part in parts)


def _in_value(value: object, where: str, depth: int = 0) -> Iterator[str]:
    """Yield the names in a list, an object or a single value of JSON."""
    if isinstance(value, list) and depth < 3:
        for item in value:
            yield from (str(item),) if isinstance(item, str | int | float) else _in_value(item, where, depth + 1)
    elif isinstance(value, dict):
        naming = [key for key in value if key in NAMING or key.endswith("labels")]
        if naming:
            for key in naming:
                yield from _in_value(value[key], where, depth + 1)
        elif all(type(flag) is bool or flag in (0, 1) for flag in value.values()):
            yield from (key for key, flag in value.items() if flag)
        else:
            fix = "write the classes as a list of names"
            raise DataError(f"{_short(value)} does not say which classes there are", where=where, fix=fix)
    elif isinstance(value, str | int | float) and value is not None:
        yield str(value)
    elif value is None:
        yield "null"
    else:
        raise DataError(f"{_short(value)} is no list of class names", where=where, fix="write a list of names")


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return repr(text if len(text) <= 60 else text[:57] + "...")
