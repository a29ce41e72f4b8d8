"""`wsss explain`: what each class token attends to, and how a mask comes of it."""

from pathlib import Path

import click

from wsss_toolkit.cli.options import PATH, debug_option, device_option, set_option
from wsss_toolkit.errors import UsageError


@click.command(
    "explain",
    epilog="\b\nExamples:\n  wsss explain runs/quickstart test_p161\n"
    "  wsss explain runs/camvid 0016E5_07959 --classes Car,Road --out why\n"
    "  wsss explain runs/pictures holiday.jpg --set pseudo_masks.threshold.method=otsu\n"
    "  wsss explain runs/camvid --split val",
)
@click.argument("run", type=PATH)
@click.argument("image", required=False)
@click.option("--split", help="Score a whole split against ground truth instead of explaining an image.")
@click.option("--out", type=PATH, help="Folder.  [default: RUN/explain/IMAGE, RUN/assignment/SPLIT]")
@click.option(
    "--classes",
    metavar="A,B",
    multiple=True,
    help="Classes to show; may be repeated.  [default: those that may appear in the mask]",
)
@click.option("--overwrite", is_flag=True, help="Replace existing files.")
@device_option
@set_option
@debug_option
def explain_command(
    run: Path,
    image: str | None,
    split: str | None,
    out: Path | None,
    classes: tuple[str, ...],
    overwrite: bool,
    device: str,
    overrides: tuple[str, ...],
) -> None:
    """Show how the finished RUN makes the mask of IMAGE, or score its class tokens over a split.

    IMAGE is a key of the run's data, or a picture or scene file that its adapter can open. Written are explain.png (the
    attention of every class token per layer, the gates, each class's map, threshold and place in the order of painting,
    and the mask), heads.png (head by head), maps.npz (all of it as arrays) and explain.json (what the arrays mean).
    Ground truth is not read.

    With --split, ground truth is read: assignment.csv, .json and .png say whether token c's map covers class c rather
    than another.

    Of the recipe, --set changes keys of `data` and `pseudo_masks`: what would another threshold do?
    """
    if image is None and split is None:
        raise UsageError("say what to explain", fix="name an image, or score a split with --split val")
    if image is not None and split is not None:
        raise UsageError(f"an image, {image}, and --split {split}: it is one or the other", fix="leave one out")
    if split is not None and classes:
        raise UsageError("--classes is for one image; a split is scored with all tokens", fix="leave it out")
    for override in overrides:
        if not override.startswith(("data.", "pseudo_masks.")):
            what = "the model is trained; only keys of `data` and `pseudo_masks` can be changed here"
            raise UsageError(f"--set {override}: {what}", fix="e.g. --set pseudo_masks.assign=paint")
    from wsss_toolkit.runs.trained_run import open_run

    trained = open_run(run, overrides)
    from wsss_toolkit.compute import choose_device

    where = choose_device(device, 1, "32").torch
    if split is not None:
        from wsss_toolkit.explain.evaluate_split import evaluate_split

        folder = out or run / "assignment" / split
        for kind, scores in evaluate_split(trained, split, folder, where, overwrite=overwrite)["maps"].items():
            click.echo(f"{kind} maps, ground truth, split {split}:")
            for name, text in _SCORES.items():
                click.echo(f"  {text}: {_share(scores[name])}")
        click.echo(f"assignment: {folder}")
        return
    assert image is not None
    from wsss_toolkit.explain.explain import explain

    names = class_names(classes, trained.classes.label_names)
    folder, _ = explain(trained, image, out, where, classes=names, overwrite=overwrite)
    click.echo(f"explanation: {folder}")


_SCORES = {
    "among_present": "right token on a class's pixels, of the classes that the image shows",
    "among_all": "right token, of all tokens",
    "on_own": "map higher on its class than off it",
}


def class_names(given: tuple[str, ...], known: tuple[str, ...]) -> list[str] | None:
    """Return the names of classes; commas separate them, unless they belong to the name of a class."""
    parts = [[text] if text in known else text.split(",") for text in given]
    names = [name.strip() for part in parts for name in part if name.strip()]
    if given and not names:
        raise UsageError("--classes names no class", fix="e.g. --classes Forest,Water")
    return names or None


def _share(score: dict[str, float | None]) -> str:
    if score["mean"] is None:
        return "no image can say"
    return f"{score['mean']:.3f} (chance {score['chance']:.3f})"
