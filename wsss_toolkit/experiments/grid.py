"""From `--set KEY=A,B` and `--case NAME: KEY=VALUE` to the combinations that they ask for."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import yaml

from wsss_toolkit.errors import UsageError

CASE = "case"
"""The name of the axis whose choices are named sets of values."""

_PAIRS = {"[": "]", "{": "}"}


@dataclass(frozen=True, slots=True)
class Choice:
    """One value of an axis."""

    shown: str
    """How the user wrote it, or a case's name."""
    overrides: tuple[str, ...]
    """The ``KEY=VALUE`` options that make it."""
    number: float | None = None
    """The value where it is a number."""


@dataclass(frozen=True, slots=True)
class Axis:
    """A key that takes several values in turn, or the cases."""

    name: str
    """The dotted key, or `CASE`."""
    choices: tuple[Choice, ...]
    """Its values in the order given."""


Combination = tuple[Choice, ...]
"""One choice per axis, in the order of the axes."""


def read_grid(options: Sequence[str], cases: Sequence[str] = ()) -> tuple[tuple[str, ...], tuple[Axis, ...]]:
    """Return the overrides that hold for all cells, and the axes along which cells differ, cases first.

    Args:
        options: The texts after ``--set``: ``KEY=VALUE``, or ``KEY=A,B,C`` for an axis.
        cases: The texts after ``--case``: ``NAME``, or ``NAME: KEY=VALUE; KEY=VALUE``.

    Raises:
        UsageError: If an option is malformed, a value or a case is given twice, or a key varies twice.

    >>> fixed, axes = read_grid(["train.epochs=5", "model.token_masking=0,0.5"])
    >>> fixed, axes[0].name, [choice.shown for choice in axes[0].choices]
    (('train.epochs=5',), 'model.token_masking', ['0', '0.5'])
    """
    fixed: list[str] = []
    axes = [Axis(CASE, _distinct([_case(text) for text in cases], "--case"))] if cases else []
    for option in options:
        key, equals, text = option.partition("=")
        key = key.strip()
        values = split_top_level(text, ",")
        if not equals or not key or len(values) < 2:
            fixed.append(option)  # `Document.override` says what is wrong with it, if anything is
            continue
        where = f"--set {option}"
        if not all(values):
            raise UsageError("a value is empty", where=where, fix="write e.g. --set train.lr=1e-4,1e-3")
        if key in (axis.name for axis in axes):
            raise UsageError(f"{key} varies twice", where=where, fix="give all its values in one --set")
        if key == "seed":
            raise UsageError("seeds vary with --seeds", where=where, fix="use --seeds N, and --set seed=FIRST")
        choices = [Choice(value, (f"{key}={value}",), _number(value)) for value in values]
        axes.append(Axis(key, _distinct(choices, where)))
    varied = {axis.name for axis in axes}
    for option in fixed:
        key = option.partition("=")[0].strip()
        if key in varied:
            raise UsageError(f"{key} varies in another --set", where=f"--set {option}", fix="leave one of the two out")
    return tuple(fixed), tuple(axes)


def combinations(axes: Sequence[Axis]) -> Iterator[Combination]:
    """Yield every combination of choices; the last axis varies fastest. Without axes there is one, empty."""
    yield from itertools.product(*(axis.choices for axis in axes))


def split_top_level(text: str, separator: str) -> list[str]:
    """Split a text at a separator outside of brackets, braces and quotes; the parts are stripped.

    A quotation mark opens a quotation where YAML has it do so: at the beginning of a value. Brackets that are not
    closed keep the rest whole, for YAML to complain about.

    >>> split_top_level("[1, 2], 'a,b', 3", ",")
    ['[1, 2]', "'a,b'", '3']
    """
    parts, start, closing, quote = [], 0, list[str](), ""
    fresh = True  # nothing but spaces since the last separator, bracket or colon
    for index, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif fresh and character in "\"'":
            quote, fresh = character, False
        elif character in _PAIRS:
            closing.append(_PAIRS[character])
            fresh = True
        elif closing and character == closing[-1]:
            closing.pop()
            fresh = False
        elif character == separator and not closing:
            parts.append(text[start:index].strip())
            start, fresh = index + 1, True
        elif character in ",:=":
            fresh = True
        elif not character.isspace():
            fresh = False
    return [*parts, text[start:].strip()]


def _case(text: str) -> Choice:
    name, _, rest = (part.strip() for part in text.partition(":"))
    overrides = tuple(part for part in split_top_level(rest, ";") if part)
    if not name or "=" in name or any("=" not in part for part in overrides):
        what, fix = (
            "expected NAME, or NAME: KEY=VALUE; KEY=VALUE",
            "for example --case 'no masking: model.token_masking=0'",
        )
        raise UsageError(what, where=f"--case {text}", fix=fix)
    return Choice(name, overrides)


def _distinct(choices: Sequence[Choice], where: str) -> tuple[Choice, ...]:
    seen: set[object] = set()
    for choice in choices:
        value = choice.number if choice.number is not None else choice.shown
        if value in seen:
            raise UsageError(f"{choice.shown} is given twice", where=where)
        seen.add(value)
    return tuple(choices)


def _number(text: str) -> float | None:
    """Return the number that YAML, or the schema after it (1e-4), reads from a text; None for anything else."""
    try:
        value = yaml.safe_load(text)
        number = math.nan if isinstance(value, bool) else float(value)
    except (yaml.YAMLError, TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
