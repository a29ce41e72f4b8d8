"""`wsss sweep`: a grid of recipe values, with several seeds, as one table."""

from pathlib import Path

import click

from wsss_toolkit.cli.options import PATH, debug_option, device_option, open_named, seeds_option


@click.command(
    "sweep",
    epilog="\b\nExamples:\n  wsss sweep quickstart --set model.token_masking=0,0.2,0.5,0.8,1.0 --seeds 3\n"
    "  wsss sweep quickstart --set model.token_masking=0,0.5 --set objective.open_gates.weight=0,0.01 --dry-run\n"
    "  wsss sweep quickstart --case all --case 'no masking: model.token_masking=0' \\\n"
    "      --case 'no pruning: model.gates.enabled=false' --seeds 3\n"
    "  wsss sweep camvid --set 'pseudo_masks.scales=[1],[1,1.5]' --set pseudo_masks.flips=false,true",
)
@click.argument("recipe")
@click.option(
    "--set",
    "options",
    metavar="KEY=A,B,C",
    multiple=True,
    help="Try these values, each with those of every other --set; one value holds for all. Commas inside brackets, "
    "braces and quotes belong to a value. May be repeated.",
)
@click.option(
    "--case",
    "cases",
    metavar="NAME: KEY=VALUE; ...",
    multiple=True,
    help="A named set of values, or a NAME alone for the recipe as it is; may be repeated, and goes with --set.",
)
@seeds_option
@click.option("--out", type=PATH, help="Folder.  [default: runs/NAME-sweep]")
@click.option("--stages", metavar="A,B", help="Stages of each cell.  [default: all but export]")
@device_option
@click.option("--dry-run", is_flag=True, help="List the cells and stop.")
@debug_option
def sweep_command(
    recipe: str,
    options: tuple[str, ...],
    cases: tuple[str, ...],
    seeds: int,
    out: Path | None,
    stages: str | None,
    device: str,
    dry_run: bool,
) -> None:
    """Run RECIPE with every combination of values, and write one table with mean and spread over seeds.

    Each cell is an ordinary run below OUT/cells. Stages that cells have in common, such as the labels, are done once.
    The same command goes on where it was interrupted; finished cells are kept, failed ones tried again. OUT gets
    table.csv, table.md, table.json and the curves curve-*.png and .svg.
    """
    from wsss_toolkit.cli.run import parse_stages
    from wsss_toolkit.experiments.sweep import sweep_rows

    rows = sweep_rows(recipe, options, cases, lambda name, changes: open_named(name, changes).recipe)
    from wsss_toolkit.cli.experiment import carry_out
    from wsss_toolkit.runs.pipeline import STAGES

    carry_out(out, "sweep", rows, seeds, stages=parse_stages(stages, STAGES), device=device, dry_run=dry_run)
