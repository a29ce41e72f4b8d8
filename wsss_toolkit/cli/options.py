"""Options that several commands share."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])
_DEBUG = "wsss_toolkit.debug"


def _remember(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    # click shares `meta` between a group's context and its commands', so either side of the name works.
    if value:
        context.meta[_DEBUG] = True


def is_debugging(context: click.Context) -> bool:
    """Return whether `--debug` was given, before or after the command's name."""
    return bool(context.meta.get(_DEBUG, False))


def debug_option(command: Command) -> Command:
    """Add `--debug`."""
    option = click.option(
        "--debug", is_flag=True, expose_value=False, callback=_remember, help="Show tracebacks of errors."
    )
    return option(command)


def device_option(command: Command) -> Command:
    """Add `--device`."""
    option = click.option(
        "--device",
        type=click.Choice(["auto", "cpu", "cuda"]),
        default="auto",
        show_default=True,
        help="Where to compute; auto takes a GPU if there is one.",
    )
    return option(command)


def seeds_option(command: Command) -> Command:
    """Add `--seeds N`."""
    option = click.option(
        "--seeds",
        type=click.IntRange(min=1),
        default=1,
        show_default=True,
        metavar="N",
        help="Seeds of each row of the table: the recipe's, and those that follow it.",
    )
    return option(command)


def set_option(command: Command) -> Command:
    """Add `--set KEY=VALUE`, which may be repeated."""
    option = click.option(
        "--set",
        "overrides",
        metavar="KEY=VALUE",
        multiple=True,
        help="Change a value of the recipe, e.g. --set train.epochs=5; may be repeated.",
    )
    return option(command)
