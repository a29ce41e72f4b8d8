"""`wsss schema`: the recipe's schema, for editors and for docs/recipe.md."""

import json

import click

from wsss_toolkit.cli.options import debug_option


@click.command(
    "schema",
    epilog="\b\nExamples:\n  wsss schema > recipe.schema.json\n  wsss schema --markdown > docs/recipe.md\n"
    "First line of a recipe, for editors with the YAML language server:\n"
    "  # yaml-language-server: $schema=recipe.schema.json",
)
@click.option("--markdown", is_flag=True, help="Print the reference page docs/recipe.md instead.")
@debug_option
def command(markdown: bool) -> None:
    """Print the JSON Schema of recipes, with the options of every installed adapter."""
    from wsss_toolkit.recipe.reference import recipe_markdown, recipe_schema

    if markdown:
        click.echo(recipe_markdown(), nl=False)
        return
    schema, left_out = recipe_schema()
    for sentence in left_out:
        click.echo(f"left out: {sentence}", err=True)
    click.echo(json.dumps(schema, indent=2))
