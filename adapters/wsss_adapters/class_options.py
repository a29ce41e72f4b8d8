"""What the `data` sections of several adapters say of classes."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from wsss_toolkit.domain import ClassTable, Code

HexColor = Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")]


class Part(BaseModel):
    """A part of a `data` section: frozen, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class ClassEntry(Part):
    """One class."""

    name: Annotated[str, Field(min_length=1)]
    """Name of the class."""
    color: HexColor
    """Colour in masks and figures, `#rrggbb`."""


def parse_color(text: str) -> tuple[int, int, int]:
    """Return ``#rrggbb`` as numbers 0..255."""
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def class_table(
    entries: Sequence[ClassEntry], background: str | None, codes: tuple[Code | None, ...] = ()
) -> ClassTable:
    """Return the classes of a recipe as the core wants them.

    Raises:
        ValueError: If names repeat or `background` is no class.
    """
    names = tuple(entry.name for entry in entries)
    return ClassTable(names, tuple(parse_color(entry.color) for entry in entries), place_of(background, names), codes)


def place_of(background: str | None, names: tuple[str, ...]) -> int | None:
    """Return the index of the background, if a recipe has one.

    Raises:
        ValueError: If it is no class.
    """
    if background is not None and background not in names:
        raise ValueError(f"background {background!r} is not one of {', '.join(names)}")
    return None if background is None else names.index(background)
