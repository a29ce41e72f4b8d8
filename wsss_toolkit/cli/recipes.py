"""`wsss recipes`: what can be run by name."""

import click

from wsss_toolkit.cli.options import debug_option


@click.command("recipes", epilog="\b\nExamples:\n  wsss recipes\n  wsss recipes --paths\n  wsss run quickstart")
@click.option("--paths", is_flag=True, help="Show the files, to copy and edit one.")
@debug_option
def command(paths: bool) -> None:
    """List the recipes that come with the toolkit: `wsss run NAME` runs one."""
    from wsss_toolkit.recipe import bundled_recipes

    found = bundled_recipes()
    width = max((len(name) for name in found), default=0)
    for name, (path, comment) in found.items():
        click.echo(f"{name:<{width}}  {path if paths else comment}")
