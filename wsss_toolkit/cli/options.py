"""What several commands share: options, and the recipe that they are given."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from wsss_toolkit.errors import UsageError

if TYPE_CHECKING:
    from wsss_toolkit.recipe.load import RecipeFile

_DEBUG = "wsss_toolkit.debug"
_SAID = "wsss_toolkit.upgraded"

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
    type=click.IntRange(1, 1000),
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


def open_named(recipe: str, overrides: Sequence[str]) -> "RecipeFile":
    """Open a recipe by its path or its name, and print each of its old spellings once."""
    from wsss_toolkit.recipe import find_recipe, open_recipe

    file = open_recipe(find_recipe(recipe), overrides)
    said: set[str] = click.get_current_context().meta.setdefault(_SAID, set())
    for line in file.upgraded:
        if line not in said:
            said.add(line)
            click.echo(f"note: {line}; wsss check --upgrade {recipe} rewrites the file", err=True)
    return file


def upgrade_named(recipe: str) -> None:
    """Rewrite a recipe in today's spelling, and print what was changed."""
    from wsss_toolkit.recipe import find_recipe
    from wsss_toolkit.recipe.upgrade_text import upgrade_file

    path = find_recipe(recipe)
    if not Path(recipe).is_file():
        raise UsageError(f"{recipe!r} is a recipe of this package, which is in today's spelling", fix="name a file")
    for line in (lines := upgrade_file(path)):
        click.echo(f"changed: {line}")
    click.echo(f"{path}: rewritten; {path}.old is as it was" if lines else f"{path}: nothing to change")
