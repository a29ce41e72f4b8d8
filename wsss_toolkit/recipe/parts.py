"""Parts of a recipe that are found by name: heads, terms of the loss, map sources and refiners.

A part is a class of options, registered as an entry point under the name by which recipes ask for it. Its options are
validated as `data` is: unknown keys are refused with file, line and column. It says before torch loads what it needs of
the rest of the recipe, and builds what computes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import InitErrorDetails

from wsss_toolkit.errors import UsageError, did_you_mean
from wsss_toolkit.recipe.numbers import Block

Group = Literal["heads", "terms", "map_sources", "refiners"]
"""What a part can be; its entry points are in the group ``wsss.GROUP``."""

GROUPS: Mapping[str, Group] = {
    "heads": "heads",
    "objective": "terms",
    "source": "map_sources",
    "seeds": "map_sources",
    "refine": "refiners",
}
"""Which group the parts under a key of the recipe are from; `source` and `seeds` hold one part, the others hold
parts by name."""

Layers = Literal["all", "last"] | Annotated[Block, Field(ge=1)] | tuple[Block, ...]
"""Blocks whose attention is averaged: `all` that have class tokens, the `last`, the last k, or a list of indices."""


class Section(BaseModel):
    """A part of a recipe: frozen, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


@dataclass(frozen=True, slots=True)
class Needs:
    """What a part takes for granted; recipes that lack it are refused before torch loads."""

    heads: tuple[str, ...] = ()
    """Names of heads whose scores it reads."""
    patch_heads: tuple[str, ...] = ()
    """Names of heads whose scores of patches it reads."""
    layers: Layers | None = None
    """A value of `layers` whose blocks must have class tokens; None reads no attention."""
    blocks: tuple[int, ...] = ()
    """Indices of blocks whose tokens it reads; negative ones count from the last."""
    class_maps: bool = False
    """Whether each class must have a token of its own."""


class Part(Section):
    """Options of one part."""

    reads_patches: ClassVar[bool] = False
    """Of a head: whether it scores patches."""

    kind: str
    """The name that it is registered under."""

    def needs(self) -> Needs:
        """Return what the rest of the recipe must have."""
        return Needs()


def installed_parts(group: Group) -> dict[str, EntryPoint]:
    """Return the registered parts of a group by name, none of them loaded."""
    return {point.name: point for point in sorted(entry_points(group=f"wsss.{group}"), key=lambda point: point.name)}


def find_part(group: Group, kind: object) -> type[Part]:
    """Load the part that is registered as `kind`.

    Raises:
        ValueError: If none is, or its own dependencies are missing; pydantic makes a line of it.
    """
    found = installed_parts(group)
    if not isinstance(kind, str) or kind not in found:
        raise ValueError(f"there is no {group[:-1].replace('_', ' ')} {kind!r}; {did_you_mean(kind, found)}")
    try:
        part: type[Part] = found[kind].load()
    except ImportError as error:
        raise ValueError(f"{kind} needs the package {error.name!r}, which is not installed") from error
    return part


def one_part(group: Group, value: object, name: str | None = None) -> object:
    """Validate a part, its options or its kind alone; what the recipe calls it is its kind where they name none."""
    if isinstance(value, str):
        value = {"kind": value}
    if value is None and name is not None:
        value = {}
    if not isinstance(value, Mapping):
        return value
    kind = value.get("kind", name)
    if kind is None:
        return value
    try:
        part = find_part(group, kind)
    except ValueError as error:
        if "kind" not in value:
            raise
        # The value of `kind` is wrong, not the section around it.
        wrong = InitErrorDetails(type="value_error", loc=("kind",), input=kind, ctx={"error": error})
        raise ValidationError.from_exception_data(group, [wrong]) from error
    return part.model_validate({"kind": kind, **value})


def part_at(group: Group, value: object, name: str | None) -> type[Part] | None:
    """Return the class that `one_part` validates a value with; None where there is none."""
    kind = value if isinstance(value, str) else value.get("kind", name) if isinstance(value, Mapping) else name
    try:
        return find_part(group, kind)
    except ValueError:
        return None


class _Named(NamedTuple):
    group: Group
    options: object
    name: str


def named_parts(group: Group) -> Callable[[Any], object]:
    """Return the validator of a field that holds parts by name; `unpack` validates each, where pydantic knows it by."""

    def named(value: object) -> object:
        return {n: _Named(group, part, str(n)) for n, part in value.items()} if isinstance(value, Mapping) else value

    return named


def unpack(value: object) -> object:
    """Validate a value of `named_parts`."""
    return one_part(*value) if isinstance(value, _Named) else value


def select_layers(layers: str | int | Sequence[int], entering: int, depth: int) -> tuple[int, ...]:
    """Return the indices of the blocks whose attention makes the class maps, ascending and distinct.

    Args:
        layers: A map source's `layers`: `all`, `last`, how many last blocks, or block indices.
        entering: The block before which class tokens join the sequence; earlier blocks have no class maps.
        depth: Number of blocks.

    Raises:
        UsageError: If a block is asked for that has no class tokens, or more blocks than there are.
    """
    having = range(entering, depth)
    if layers == "all":
        return tuple(having)
    if layers == "last":
        return (depth - 1,)
    span = f"class tokens pass through blocks {entering} to {depth - 1}"
    if isinstance(layers, int):
        if not 1 <= layers <= len(having):
            raise UsageError(f"layers: {layers} asks for the last {layers} blocks, but {span}")
        return tuple(having[-layers:])
    if isinstance(layers, str):
        raise UsageError(f"layers: {layers!r} is not `all`, `last`, a number or a list of numbers")
    outside = sorted(set(layers) - set(having))
    if outside or not layers:
        named = f"there is no class map at {', '.join(map(str, outside))}" if outside else "the list is empty"
        raise UsageError(f"layers: {named}; {span}")
    return tuple(sorted(set(layers)))
