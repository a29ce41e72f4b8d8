"""Flags of `wsss pseudolabel` that adapters ask for: one for each field of their `Outputs`."""

from functools import cached_property
from typing import Any, Literal, get_args, get_origin

import click
from click.core import ParameterSource
from pydantic import BaseModel
from pydantic.fields import FieldInfo

LIMITS = ("ge", "gt", "le", "lt")
"""What `pydantic.Field` calls the limits of a number."""


class OutputFlags(click.Command):
    """A command with the flags of all installed adapters: which of them a run has is known after parsing only.

    What the user gave reaches the command's function as `outputs`, a mapping from field to value.
    """

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the command's own parameters and the adapters'; `--help` stays the last."""
        *own, last = super().get_params(ctx)
        return [*own, *self._flags.values(), last]

    def invoke(self, ctx: click.Context) -> Any:
        """Call the function with the adapters' flags in one argument."""
        values = {name: ctx.params.pop(name) for name in self._flags}
        given = [name for name in values if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT]
        ctx.params["outputs"] = {name: values[name] for name in given}
        return super().invoke(ctx)

    @cached_property
    def _flags(self) -> dict[str, click.Option]:
        models = installed_outputs()
        flags = {name: output_flag(name, models) for model in models.values() for name in model.model_fields}
        # An adapter cannot change what the command's own flags mean.
        own = {text for parameter in self.params for text in (parameter.name, *parameter.opts)}
        return {name: flag for name, flag in flags.items() if not own.intersection([name, *flag.opts])}


def installed_outputs() -> dict[str, type[BaseModel]]:
    """Return `Outputs` of each installed adapter that labels scenes."""
    from wsss_toolkit.domain import find_adapter, installed_adapters

    found: dict[str, type[BaseModel]] = {}
    for name in installed_adapters():
        try:
            found[name] = find_adapter(name).Outputs  # type: ignore[attr-defined]
        except Exception:  # it labels no scenes, or it cannot be loaded and `wsss adapters` says why: others must work
            continue
    return found


def output_flag(name: str, models: dict[str, type[BaseModel]]) -> click.Option:
    """Return the flag for the fields called `name` of some of the models, which are given by adapter."""
    fields = {adapter: model.model_fields[name] for adapter, model in models.items() if name in model.model_fields}
    first, *others = fields.values()
    only = "" if len(fields) == len(models) else f"  [only for {', '.join(fields)}]"
    flag, text = f"--{name.replace('_', '-')}", f"{first.description}{only}"
    if first.annotation is bool:
        names = f"{flag}/--no-{flag[2:]}" if first.default else flag
        return click.Option([names], is_flag=True, default=first.default, help=text)
    # Where adapters differ, the run's own decides about the value.
    same = all((field.annotation, field.metadata) == (first.annotation, first.metadata) for field in others)
    kind = _kind(first) if same else click.STRING
    return click.Option([flag], type=kind, default=first.default, show_default=bool(first.default), help=text)


def _kind(field: FieldInfo) -> "click.ParamType[Any]":
    """Return what a field takes in the command line's terms; text where these have no word, which pydantic reads."""
    if get_origin(field.annotation) is Literal:
        return click.Choice(get_args(field.annotation))
    if field.annotation not in (int, float):
        return click.STRING
    limits = {word: getattr(item, word) for item in field.metadata for word in LIMITS if hasattr(item, word)}
    if not limits:
        return click.INT if field.annotation is int else click.FLOAT
    lowest, highest = limits.get("ge", limits.get("gt")), limits.get("le", limits.get("lt"))
    kind = click.IntRange if field.annotation is int else click.FloatRange
    return kind(lowest, highest, min_open="gt" in limits, max_open="lt" in limits)
