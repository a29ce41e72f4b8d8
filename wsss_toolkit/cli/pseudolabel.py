"""`wsss pseudolabel`: label whole scenes with a trained run."""

from pathlib import Path
from typing import Any

import click

from wsss_toolkit.cli.options import PATH, debug_option, device_option, set_option
from wsss_toolkit.cli.output_flags import OutputFlags


@click.command(
    "pseudolabel",
    cls=OutputFlags,
    epilog="\b\nExamples:\n  wsss pseudolabel --tiles ./scenes\n"
    "  wsss pseudolabel --tiles 'scenes/*.tif' --run runs/dfc2020 --out masks --polygons --min-area 5000\n"
    "  wsss pseudolabel --tiles S2B_MSIL1C_20240601.SAFE --confidence --workers 4\n"
    "  wsss pseudolabel --tiles /vsis3/bucket/scene.tif --dask tcp://10.0.0.1:8786 --out /shared/masks",
)
@click.option(
    "--tiles",
    "inputs",
    multiple=True,
    required=True,
    metavar="PATH",
    help="A file, folder or glob, or what else the data come as, such as a URL; may be repeated.",
)
@click.option("--run", type=PATH, help="A finished run.  [default: the newest under ./runs]")
@click.option("--out", type=PATH, help="Folder of the masks.  [default: RUN/scenes]")
@click.option(
    "--stage",
    type=click.Choice(["vit", "unet"]),
    help="The classifier's class maps, or the segmentation network.  [default: unet where the run has one]",
)
@click.option(
    "--window",
    type=click.IntRange(16, 2**13),
    metavar="PIXELS",
    help="Side of the windows.  [default: 512; for the classifier the size of the training images]",
)
@click.option(
    "--overlap",
    type=click.FloatRange(0, 0.9),
    help="Share of a window that it has in common with the next.  [default: 64 pixels; for the classifier 0.5]",
)
@click.option(
    "--batch-size",
    type=click.IntRange(1, 2**16),
    help="Windows computed at a time.  [default: 2 of 512 pixels, or 8]",
)
@click.option(
    "--workers", type=click.IntRange(1, 1024), default=1, show_default=True, help="Processes on this machine."
)
@click.option("--dask", metavar="ADDRESS", help="Send the work to this Dask scheduler, e.g. tcp://HOST:8786.")
@device_option
@click.option("--overwrite", is_flag=True, help="Make masks again that exist already.")
@click.option(
    "--strict-values",
    is_flag=True,
    help="Refuse scenes whose values look like another unit than training's; reads each once before labelling.",
)
@set_option
@debug_option
def pseudolabel_command(run: Path | None, **options: Any) -> None:
    """Label whole scenes of any size with a trained run.

    Every scene gets a mask on exactly its own grid, in the format of its own field: GeoTIFF, DICOM or PNG, for example.
    Scenes that are finished are kept when the command is given again; a scene that fails is named at the end, and the
    others are finished.
    """
    from rich.console import Console

    from wsss_toolkit.runs.folder import newest_run

    console = Console(stderr=True, markup=False)
    if run is None:
        run = newest_run()
        console.print(f"run: {run} (the newest; --run DIR takes another)", highlight=False, soft_wrap=True)
    from wsss_toolkit.scenes.pseudolabel import Request, pseudolabel

    request = Request(run=run, **options)  # whose fields are named as the options
    click.echo(f"masks: {pseudolabel(request, console)}")
