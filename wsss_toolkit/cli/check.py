"""`wsss check`: validate a recipe and its data, and print what a run would do."""

import shlex
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from wsss_toolkit.cli.options import debug_option, open_named, set_option, upgrade_named

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from wsss_toolkit.domain import Adapter, ChannelTable
    from wsss_toolkit.recipe import Recipe


@click.command(
    "check",
    epilog="\b\nExamples:\n  wsss check quickstart\n  wsss check my-recipe.yaml\n"
    "  wsss check sentinel_samples --set data.root=/data/terramind",
)
@click.argument("recipe")
@click.option(
    "--upgrade", is_flag=True, help="Rewrite RECIPE in today's spelling instead; RECIPE.old keeps the old one."
)
@set_option
@click.option("--quick", is_flag=True, help="Look at names and splits only: read no image, mask, label or weight.")
@debug_option
def check_command(recipe: str, upgrade: bool, overrides: tuple[str, ...], quick: bool) -> None:
    """Check RECIPE and all that its run will read, print the plan and every fault, and train nothing.

    Images, masks of the splits that are scored, labels and weights are read once, as the run reads them; weights that a
    recipe names, such as `timm`, are fetched into the cache where the run finds them. The exit code is 1 where data are
    at fault and 2 where the recipe is.
    """
    from rich.console import Console

    from wsss_toolkit.domain import blamed_on_data, find_adapter
    from wsss_toolkit.errors import DataError
    from wsss_toolkit.recipe import adapter_findings, select_channels

    console = Console(highlight=False, soft_wrap=True, markup=False)
    if upgrade:
        upgrade_named(recipe)
        return
    file = open_named(recipe, overrides)
    adapter = find_adapter(file.recipe.data.adapter)(file.recipe.data)
    problem: DataError | None = None
    splits: Mapping[str, tuple[str, ...]] = {}
    try:
        with blamed_on_data(file.recipe.data.adapter):
            splits = adapter.splits()
        file.refuse(adapter_findings(file.recipe, adapter))
    except DataError as error:
        problem = error  # the rest of the plan is worth seeing before it
    try:
        with blamed_on_data(file.recipe.data.adapter):
            channels = select_channels(file.recipe.channels, adapter.sensors)
    except DataError as error:
        raise problem or error from None
    console.print(plan_table(file.recipe, adapter, channels, splits))
    for notice in adapter.notices:
        console.print(f"note: {notice}", markup=False)
    if problem is not None:
        raise problem
    if quick:
        console.print("note: --quick: no image, mask, label or weight was read, and the run may stop at one")
    else:
        read_all(file.recipe, adapter, channels, console)
    typed = " ".join([recipe, *(f"--set {shlex.quote(option)}" for option in overrides)])
    console.print(f"{recipe}: ready; start it with: wsss run {typed}", markup=False)


def read_all(recipe: "Recipe", adapter: "Adapter", channels: "ChannelTable", console: "Console") -> None:
    """Read what the run will read and print what that cost; ends the program where something would stop the run."""
    from rich.console import Console
    from rich.progress import Progress

    from wsss_toolkit.domain import PreparingAdapter, blamed_on_data
    from wsss_toolkit.errors import gathered
    from wsss_toolkit.runs.readiness import Readiness

    started = time.monotonic()
    with Progress(console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("reading what the run will read", total=None)
        found = Readiness(recipe, adapter, channels, lambda done, total: bars.update(task, completed=done, total=total))
        found.look_at_networks()
        if isinstance(adapter, PreparingAdapter) and not adapter.prepared:
            console.print("note: the data are not there yet: `wsss run` makes them, so no image or mask was read")
        else:
            with blamed_on_data(recipe.data.adapter):
                adapter.prepare()
            found.look_at_images(found.look_at_labels())
    for warning in found.warnings:
        console.print(f"warning: {warning}", style="yellow", markup=False)
    cost = f"{found.read['images']} images and {found.read['masks']} masks"
    console.print(f"checked in {time.monotonic() - started:.1f} s: weights, labels, {cost} (--quick reads none)")
    for error in gathered(found.faults):
        click.echo(f"error: {error}", err=True)
    if found.faults:
        sys.exit(max(error.exit_code for error in found.faults))


def plan_table(
    recipe: "Recipe", adapter: "Adapter", channels: "ChannelTable", splits: Mapping[str, tuple[str, ...]]
) -> "Table":
    """Return the resolved plan of a run as a two-column table."""
    from rich.table import Table
    from rich.text import Text

    classes = adapter.classes
    model = recipe.model
    rows = {
        "recipe": f"{recipe.name}, seed {recipe.seed}",
        "data": f"adapter {recipe.data.adapter}",
        "splits": ", ".join(f"{split} {len(keys)}" for split, keys in splits.items()) or "not found",
        "channels": "\n".join(
            f"{sensor.name}: {', '.join(sensor.bands)} ({recipe.channels.sensors[sensor.name].scale})"
            for sensor in channels.sensors
        )
        + f"\n{len(channels)} in all, fusion {recipe.channels.fusion}",
        "classes": f"{len(classes.label_names)}: {', '.join(classes.label_names)}"
        + ("" if classes.background is None else f"; background: {classes.names[classes.background]}"),
        "labels": {
            "tag_file": f"tag file {recipe.labels.tag_file}",
            "dataset": "the data set's own",
            "mask_coverage": f"classes that cover at least {recipe.labels.min_coverage:.3g} of a mask's known pixels",
        }[recipe.labels.source],
        "model": f"{model.backbone}, weights {model.weights}, {model.attention} attention, heads "
        + ", ".join(f"{name} ({head.kind})" for name, head in recipe.heads.items()),
        **_model_rows(recipe, channels, len(classes.label_names)),
        "training": "none: the backbone stays as its weights have it"
        if recipe.train is None
        else f"{recipe.train.epochs} epochs, {recipe.train.batch_size} images per step"
        + (f", blocks below {recipe.train.freeze_below} frozen" if recipe.train.freeze_below else ""),
        "pseudo-masks": f"{', '.join(recipe.pseudo_masks.splits)}: "
        + (
            f"{recipe.pseudo_masks.source.kind} maps, "
            if recipe.consensus is None
            else f"maps of a consensus, seeded by {recipe.consensus.seeds.kind}, "
        )
        + f"{recipe.pseudo_masks.classes} classes, {recipe.pseudo_masks.assign}",
        "segmentation": "none"
        if recipe.segmentation is None
        else f"{recipe.segmentation.architecture}, {recipe.segmentation.encoder}, {recipe.segmentation.epochs} epochs",
        "masks written": ", ".join(recipe.export.splits) or "none",
    }
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, text in rows.items():
        table.add_row(name, Text(text))  # Text: brackets in a name are no markup
    return table


def _model_rows(recipe: "Recipe", channels: "ChannelTable", classes: int) -> dict[str, str]:
    from wsss_toolkit.heads.classifier import build_classifier
    from wsss_toolkit.recipe.checks import backbone_shape

    section, frozen_below = recipe.model, recipe.training.freeze_below
    fusion, heads = recipe.channels.fusion, recipe.heads
    network = build_classifier(section, heads, channels, fusion, classes, frozen_below=frozen_below)
    patch, blocks = backbone_shape(section.backbone)
    patch, blocks = section.patch_size or patch, section.depth or blocks
    patches = (section.image_size // patch) ** 2
    tokens = network.backbone.tokens + patches + section.registers
    total = sum(parameter.numel() for parameter in network.parameters())
    trained = sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad and recipe.train)
    width = max(parameter.shape[-1] for name, parameter in network.named_parameters() if name.endswith("norm.weight"))
    rows = {
        "tokens": f"{tokens} = {network.backbone.tokens} of classes + {patches} patches of {patch} px "
        f"+ {section.registers} registers",
        "parameters": f"{total / 1e6:.1f} million, {trained / 1e6:.1f} million trained",
    }
    if recipe.train is not None:
        memory = training_memory(
            trained, total, images=recipe.train.batch_size, tokens=tokens, width=width, blocks=blocks - frozen_below
        )
        rows["memory"] = (
            f"about {memory / 2**30:.1f} GiB for a training step in 32 bit: 16 B per trained and\n"
            "4 B per frozen parameter, 17 x 4 B per image, token, channel and trained block"
        )
    return rows


def training_memory(trained: int, total: int, *, images: int, tokens: int, width: int, blocks: int) -> int:
    """Estimate the memory of a training step in bytes, in 32-bit precision.

    Trained parameters take 16 B (value, gradient and AdamW's two moments), the others of all of them 4 B. A trained
    block keeps about 17 activations per image of the step, token of the image and channel of its width: 34 bytes at
    16 bit, without attention matrices, which fused attention never stores (Korthikanti et al., 2022, arXiv 2205.05198).
    """
    return 16 * trained + 4 * (total - trained) + 17 * 4 * images * tokens * width * blocks
