"""Options that several commands share."""

from pathlib import Path

import click

_DEBUG = "wsss_toolkit.debug"

PATH = click.Path(path_type=Path)


def _remember(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    # click shares `meta` between a group's context and its commands', so either side of the name works.
    if value:
        context.meta[_DEBUG] = True


def is_debugging(context: click.Context) -> bool:
    """Return whether `--debug` was given, before or after the command's name."""
    return bool(context.meta.get(_DEBUG, False))


debug_option = click.option(
    "--debug", is_flag=True, expose_value=False, callback=_remember, help="Show tracebacks of errors."
)
device_option = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where to compute; auto takes a GPU if there is one.",
)
seeds_option = click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Seeds of each row of the table: the recipe's, and those that follow it.",
)
set_option = click.option(
    "--set",
    "overrides",
    metavar="KEY=VALUE",
    multiple=True,
    help="Change a value of the recipe, e.g. --set train.epochs=5; may be repeated.",
)
