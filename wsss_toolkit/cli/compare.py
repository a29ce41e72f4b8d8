"""`wsss compare`: a recipe beside the methods that the paper compares with, on the same data and budget."""

from pathlib import Path

import click

from wsss_toolkit.cli.options import PATH, debug_option, device_option, open_named, seeds_option, set_option

NAMES = "ours,paper,sparse_vit,mctformer,gradcam,supervised_unet,supervised_head,supervised_vit"


@click.command(
    "compare",
    epilog="\b\nExamples:\n  wsss compare quickstart --seeds 3\n"
    "  wsss compare camvid --methods ours,paper,gradcam,supervised_unet --seeds 3 --set data.root=/data/camvid\n"
    "  wsss compare quickstart --show mctformer > mctformer.yaml   # a recipe like any other: wsss run mctformer.yaml\n"
    "  wsss compare quickstart --dry-run",
)
@click.argument("recipe")
@click.option("--methods", metavar="A,B", default=NAMES, show_default=True, help="Rows of the table, in this order.")
@set_option
@seeds_option
@click.option("--out", type=PATH, help="Folder.  [default: runs/NAME-compare]")
@device_option
@click.option("--show", metavar="METHOD", help="Print the recipe of one method that is not supervised, and stop.")
@click.option("--dry-run", is_flag=True, help="List the cells and stop.")
@debug_option
def compare_command(
    recipe: str,
    methods: str,
    overrides: tuple[str, ...],
    seeds: int,
    out: Path | None,
    device: str,
    show: str | None,
    dry_run: bool,
) -> None:
    """Run RECIPE and other methods on the same splits, crops, backbone, weights, epochs and steps; write one table.

    Methods are values of the same recipe; --show prints them, named NAME-METHOD. The rows called supervised_... learn
    from ground-truth masks, and say so; they are no recipes. The same command goes on where it was interrupted;
    finished cells are kept, failed ones tried again. OUT gets table.csv, table.md and table.json.
    """
    from wsss_toolkit.experiments.compare import compare_rows
    from wsss_toolkit.experiments.methods import METHODS, choose_methods, shown_recipe
    from wsss_toolkit.recipe import recipe_yaml

    loaded = open_named(recipe, overrides).recipe
    if show is not None:
        name, made = shown_recipe(loaded, show)
        click.echo(f"# {loaded.name}, method {name}: {METHODS[name].about}\n{recipe_yaml(made)}", nl=False)
        return
    names = choose_methods(methods)
    rows = compare_rows(loaded, names)
    from wsss_toolkit.cli.experiment import carry_out

    carry_out(out, "compare", rows, seeds, stages=None, device=device, dry_run=dry_run)
