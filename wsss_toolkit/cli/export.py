"""`wsss export`: a run's network and masks for other programs and servers."""

from pathlib import Path

import click

from wsss_toolkit.cli.options import PATH, debug_option
from wsss_toolkit.errors import UsageError


@click.command(
    "export",
    epilog="\b\nExamples:\n  wsss export runs/dfc2020 --onnx\n"
    "  wsss export runs/dfc2020 --onnx --resolution 10 --tile 256 --overlap 0.25 --out landcover.onnx\n"
    "  wsss export runs/voc --voc-submission --split test\n  wsss export runs/coco --coco-results --split val",
)
@click.argument("run", type=PATH)
@click.option("--onnx", "as_onnx", is_flag=True, help="Write an ONNX file, for onnxruntime and QGIS's Deepness plugin.")
@click.option("--voc-submission", is_flag=True, help="Write masks as VOC's test server takes them: palette PNG.")
@click.option("--coco-results", is_flag=True, help="Write masks as COCO's results: JSON of run-length encoded regions.")
@click.option("--split", default="test", show_default=True, help="Whose masks; the recipe's `export` must name it.")
@click.option(
    "--out", type=PATH, help="What to write.  [default: RUN/NAME.onnx, RUN/voc_submission or RUN/coco_SPLIT.json]"
)
@click.option(
    "--tile", type=click.IntRange(32, 2**13), default=256, show_default=True, help="Side of the input in pixels."
)
@click.option(
    "--overlap",
    type=click.FloatRange(0, 0.9),
    default=0.25,
    show_default=True,
    help="Share that neighbouring tiles have in common, for Deepness.",
)
@click.option(
    "--resolution",
    type=click.FloatRange(0, 1e6, min_open=True),
    metavar="METRES",
    help="Metres per pixel of the training images, for Deepness.  [default: left to the user]",
)
@click.option("--overwrite", is_flag=True, help="Replace an existing file or submission.")
@debug_option
def export_command(
    run: Path,
    as_onnx: bool,
    voc_submission: bool,
    coco_results: bool,
    split: str,
    out: Path | None,
    tile: int,
    overlap: float,
    resolution: float | None,
    overwrite: bool,
) -> None:
    """Write the network or the masks of the finished RUN for other programs.

    The ONNX file takes bands in their sensors' units (digital numbers, decibels) in the order of the recipe's channels:
    the scaling is part of it. Class names, tile size, overlap and where the model comes from are stored in it.
    """
    if as_onnx + voc_submission + coco_results != 1:
        raise UsageError("say what to write", fix="add one of --onnx, --voc-submission and --coco-results")
    from wsss_toolkit.runs.trained_run import open_run

    trained = open_run(run)
    if voc_submission or coco_results:
        from wsss_toolkit.export import results

        if voc_submission:
            written = results.voc_submission(trained, split, out or run / "voc_submission", overwrite=overwrite)
        else:
            written = results.coco_results(trained, split, out or run / f"coco_{split}.json", overwrite=overwrite)
        click.echo(f"masks: {written}")
        return
    from wsss_toolkit.export.onnx_file import export_onnx
    from wsss_toolkit.segmentation.train import load_network

    if not trained.has_network:
        fix = "train one: the recipe's segmentation"
        raise UsageError("the run has no segmentation network to export", where=str(run), fix=fix)
    written = export_onnx(
        load_network(trained.stage("segmentation")),
        trained.preprocessing,
        trained.classes,
        out or run / f"{trained.recipe.name}.onnx",
        tile=tile,
        overlap=overlap,
        resolution=resolution,
        tags=trained.tags,
        overwrite=overwrite,
    )
    click.echo(f"network: {written}")
    section = trained.recipe.segmentation
    if section is not None and section.refine:
        click.echo("its scores are not refined: segmentation.refine is no part of the file")
    click.echo(f"bands, in this order: {', '.join(trained.preprocessing.channels.names)}")
