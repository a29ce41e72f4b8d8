"""Settings of pseudo-masks side by side, judged without ground truth: a guide to thresholds and backgrounds.

    python benchmarks/map_settings.py recipes/neopolyp.yaml --run runs/neopolyp --set data.root=DIR --split train

For each setting: `keep - remove`, which needs no mask: the mean over predicted classes of the probability that is left
when all but the class's pixels are blurred, minus the probability that is left when these pixels are blurred. A mask
that holds what the classifier looks at, and no more of the image than that, keeps much and leaves little. In domains
with a background, also its share of the pixels. No mask is read, unless `--with-truth` asks for mIoU beside it: for
reading, not for choosing.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path

import click
import torch
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from wsss_toolkit.domain import IGNORE_INDEX, ClassTable, find_adapter
from wsss_toolkit.errors import UsageError
from wsss_toolkit.evaluation.scores import confusion_matrix, score_matrix
from wsss_toolkit.heads.classifier import Classifier
from wsss_toolkit.heads.saved import load_trained
from wsss_toolkit.images.dataset import ImageDataset, Item, same_size_batches
from wsss_toolkit.images.scaling import PREPROCESSING_FILE, Preprocessing
from wsss_toolkit.labels.ground_truth import keys_with_truth, read_truth
from wsss_toolkit.pseudo_masks.assign import active_classes, assign
from wsss_toolkit.pseudo_masks.class_maps import class_maps
from wsss_toolkit.recipe import find_recipe, load_recipe
from wsss_toolkit.recipe.parts import one_part
from wsss_toolkit.recipe.schema import PseudoMasks, Residual, Threshold

SOURCES = ("attention", "patch_scores", "fused", "gradcam")
LAYERS: tuple[str | int, ...] = ("last", 2, "all")
THRESHOLDS = {
    "mean": Threshold(method="mean"),
    "otsu": Threshold(method="otsu"),
    "fixed 0.5": Threshold(method="fixed", value=0.5),
    "quantile 0.85": Threshold(method="quantile", value=0.85),
}
RESIDUALS = {
    **{f"power {value:g}": Residual(value=value) for value in (0.5, 1.0, 2.0, 4.0, 8.0)},
    "level 0.3": Residual(method="level", value=0.3),
    "power 1, peak 1": Residual(peak=1.0),
}
ASSIGN = ("argmax", "paint")


def settings(base: PseudoMasks, sources: tuple[str, ...]) -> Iterator[tuple[str, PseudoMasks]]:
    """Yield every combination of source and layers, named."""
    for source, layers in itertools.product(sources, LAYERS):
        reads = source not in ("patch_scores", "gradcam")
        if not reads and layers != "last":
            continue
        made = one_part("map_sources", {"kind": source, **({"layers": layers} if reads else {})})
        yield f"{source}, {layers}", base.model_copy(update={"source": made})


def rules(base: PseudoMasks, classes: ClassTable) -> Iterator[tuple[str, str, PseudoMasks]]:
    """Yield the ways to assign pixels: `assign`, the threshold or background in words, and the section.

    Where there is a background, every rule leaves some pixels to it; elsewhere only `paint` reads a threshold.
    """
    if classes.background is None:
        yield "argmax", "-", base.model_copy(update={"assign": "argmax"})
    for how in ASSIGN if classes.background is not None else ("paint",):
        for label, threshold in THRESHOLDS.items():
            background = "none" if classes.background is None else "threshold"
            changes = {"assign": how, "threshold": threshold, "background": background}
            yield how, label, base.model_copy(update=changes)
        for label, residual in RESIDUALS.items() if classes.background is not None else ():
            changes = {"assign": how, "residual": residual, "background": "residual"}
            yield how, f"residual, {label}", base.model_copy(update=changes)


@torch.no_grad()
def keep_minus_remove(model: Classifier, images: Tensor, mask: Tensor, active: Tensor, values: list[int]) -> Tensor:
    """Return, per active class of each image, the probability kept minus the one that remains, in -1..1."""
    blurred = gaussian_blur(images, [41, 41], [12.0, 12.0])
    found = []
    for token, value in enumerate(values):
        chosen = active[:, token]
        if chosen.any():
            inside = (mask[chosen] == value)[:, None]
            kept = model(torch.where(inside, images[chosen], blurred[chosen])).logits[:, token].sigmoid()
            left = model(torch.where(inside, blurred[chosen], images[chosen])).logits[:, token].sigmoid()
            found.append(kept - left)
    return torch.cat(found) if found else images.new_zeros(0)


@click.command()
@click.argument("recipe")
@click.option("--run", "run_folder", type=click.Path(path_type=Path), required=True, help="A run with the stage train.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="As for `wsss run`.")
@click.option("--split", default="val", show_default=True)
@click.option("--images", default=40, show_default=True, help="The first so many images of the split.")
@click.option("--sources", default="attention,patch_scores,fused", show_default=True, help=", ".join(SOURCES))
@click.option("--with-truth", is_flag=True, help="Read masks too, and print mIoU: for reading, not for choosing.")
def main(
    recipe: str,
    run_folder: Path,
    overrides: tuple[str, ...],
    split: str,
    images: int,
    sources: str,
    with_truth: bool,
) -> None:
    """Print a Markdown table of settings."""
    chosen = load_recipe(find_recipe(recipe), overrides)
    adapter = find_adapter(chosen.data.adapter)(chosen.data)
    adapter.prepare()
    keys = adapter.splits()[split][:images]
    if with_truth:
        keys = keys_with_truth(adapter, keys)
    prepare = Preprocessing.load(run_folder / "train" / PREPROCESSING_FILE)
    model = load_trained(run_folder / "train").eval()
    size = chosen.model.image_size
    dataset = ImageDataset(adapter, keys, prepare, resize=size)
    batches: list[Item] = list(same_size_batches(dataset, 20))
    classes = adapter.classes
    truths = [torch.from_numpy(read_truth(adapter, key))[None, None].float() for key in keys if with_truth]
    truth = [torch.nn.functional.interpolate(one, (size, size), mode="nearest-exact")[0] for one in truths]
    columns = ["maps", "assign", "threshold or background", "keep - remove (no masks)"]
    columns += [] if classes.background is None else ["background, share of pixels"]
    columns += ["mIoU", "without background"] if with_truth else []
    print(f"{recipe}, {split}, {len(keys)} images\n\n| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    for name, section in settings(chosen.pseudo_masks, tuple(sources.split(","))):
        try:
            found = [
                class_maps(model, batch["image"], section, present=batch["present"], valid=batch["valid"])
                for batch in batches
            ]
        except UsageError:  # the model lacks these blocks or a head `patch`
            continue
        for how, label, now in rules(section, classes):
            criterion, masks = [], []
            for batch, (maps, logits) in zip(batches, found, strict=True):
                active = active_classes(logits, None, "predicted", allow_none=now.background != "none")
                mask, _ = assign(maps, logits, active, now, classes, valid=batch["valid"])
                masks.append(mask)
                criterion.append(keep_minus_remove(model, batch["image"], mask, active, list(classes.labelled)))
            every = torch.cat(masks)
            row = [name, how, label, f"{torch.cat(criterion).mean():.3f}"]
            if classes.background is not None:
                row.append(f"{(every == classes.background).sum() / (every != IGNORE_INDEX).sum():.2f}")
            if with_truth:
                scores = score_matrix(confusion_matrix(every, torch.cat(truth).byte(), classes), classes, len(keys))
                without = scores.without_background.miou if scores.without_background else None
                row += [f"{scores.miou or 0:.3f}", "-" if without is None else f"{without:.3f}"]
            print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
