"""`wsss recipes`, `wsss adapters` and `wsss schema`: what is installed, and what its recipes may say."""

import json

import click

from wsss_toolkit.cli.options import debug_option


@click.command("recipes", epilog="\b\nExamples:\n  wsss recipes\n  wsss recipes --paths\n  wsss run quickstart")
@click.option("--paths", is_flag=True, help="Show the files, to copy and edit one.")
@debug_option
def recipes_command(paths: bool) -> None:
    """List the recipes that come with the toolkit: `wsss run NAME` runs one."""
    from wsss_toolkit.recipe import bundled_recipes

    found = bundled_recipes()
    width = max((len(name) for name in found), default=0)
    for name, (path, comment) in found.items():
        click.echo(f"{name:<{width}}  {path if paths else comment}")


@click.command("adapters", epilog="\b\nExamples:\n  wsss adapters\n  wsss schema   # the options of each")
@debug_option
def adapters_command() -> None:
    """List the installed domain adapters, the package each comes from, and whether it can be loaded."""
    from wsss_toolkit.domain import find_adapter, installed_adapters
    from wsss_toolkit.errors import WsssError

    found = installed_adapters()
    if not found:
        click.echo("no adapter is installed")
    rows = []
    for name, point in found.items():
        package = point.dist.name if point.dist is not None else point.module.partition(".")[0]
        try:
            find_adapter(name)
            state = "ready"
        except WsssError as error:
            state = f"cannot be loaded: {error}"
        rows.append((name, package, state))
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    for name, package, state in rows:
        click.echo(f"{name:<{widths[0]}}  {package:<{widths[1]}}  {state}")


@click.command(
    "schema",
    epilog="\b\nExamples:\n  wsss schema > recipe.schema.json\n  wsss schema --markdown > docs/recipe.md\n"
    "First line of a recipe, for editors with the YAML language server:\n"
    "  # yaml-language-server: $schema=recipe.schema.json",
)
@click.option("--markdown", is_flag=True, help="Print the reference page docs/recipe.md instead.")
@debug_option
def schema_command(markdown: bool) -> None:
    """Print the JSON Schema of recipes, with the options of every installed adapter."""
    from wsss_toolkit.recipe.reference import recipe_markdown, recipe_schema

    if markdown:
        click.echo(recipe_markdown(), nl=False)
        return
    schema, left_out = recipe_schema()
    for sentence in left_out:
        click.echo(f"left out: {sentence}", err=True)
    click.echo(json.dumps(schema, indent=2))
