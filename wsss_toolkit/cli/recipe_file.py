"""Opens the recipe that a command names, and says which of its keys are called something else now."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from wsss_toolkit.recipe.load import RecipeFile

_SAID = "wsss_toolkit.upgraded"


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
    for line in (lines := upgrade_file(path)):
        click.echo(f"changed: {line}")
    click.echo(f"{path}: rewritten; {path}.old is as it was" if lines else f"{path}: nothing to change")
