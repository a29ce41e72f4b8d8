"""`wsss run`: run a recipe, or some of its stages."""

from collections.abc import Sequence
from pathlib import Path

import click

from wsss_toolkit.cli.options import PATH, debug_option, device_option, open_named, set_option
from wsss_toolkit.errors import UsageError


def parse_stages(text: str | None, known: Sequence[str]) -> tuple[str, ...] | None:
    """Return the stages named in a comma-separated list, in the order in which they run; None for all.

    Raises:
        UsageError: If a name is unknown or there is none.
    """
    if text is None:
        return None
    from wsss_toolkit.errors import did_you_mean

    named = [name.strip().replace("-", "_") for name in text.split(",") if name.strip()]
    if not named:
        raise UsageError("--stages names no stage", fix=f"choose from {', '.join(known)}")
    for name in named:
        if name not in known:
            raise UsageError(f"--stages: there is no stage {name!r}", fix=did_you_mean(name, known))
    return tuple(name for name in known if name in named)


@click.command(
    "run",
    epilog="\b\nExamples:\n  wsss run quickstart\n  wsss run recipes/dfc2020.yaml "
    "--set data.root=/data/dfc2020 --device cuda\n"
    "  wsss run quickstart --set train.epochs=5 --set model.token_masking=0.2 --out runs/short\n"
    "  wsss run quickstart --stages labels,train",
)
@click.argument("recipe")
@set_option
@click.option("--out", type=PATH, help="Folder of the run.  [default: runs/NAME of the recipe]")
@click.option(
    "--stages", metavar="A,B", help="Run only these: labels, train, pseudo_masks, segmentation, evaluation, export."
)
@device_option
@click.option(
    "--overwrite",
    is_flag=True,
    help="Do the stages again even where nothing has changed; each new result replaces the old one when it is done.",
)
@debug_option
def run_command(
    recipe: str, overrides: tuple[str, ...], out: Path | None, stages: str | None, device: str, overwrite: bool
) -> None:
    """Run RECIPE: a YAML file, or the name of a bundled recipe (see `wsss recipes`).

    Stages whose inputs have not changed since an earlier run are skipped, and an interrupted run
    goes on where it stopped. The results lie in the run's folder: masks, models, report.json.
    """
    # The recipe first: its mistakes should show before the seconds that torch takes to load.
    loaded = open_named(recipe, overrides).recipe
    from wsss_toolkit.runs import pipeline

    folder, chosen = out or Path("runs") / loaded.name, parse_stages(stages, pipeline.STAGES)
    report = pipeline.run(loaded, out=folder, stages=chosen, device=device, overwrite=overwrite)
    click.echo(f"results: {report}")
