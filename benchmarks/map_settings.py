"""Settings of pseudo-masks side by side, judged with and without ground truth.

    python benchmarks/map_settings.py recipes/neopolyp.yaml --run runs/neopolyp --set data.root=DIR --split val

For each setting: `keep - remove`, which needs no mask: the mean over predicted classes of the probability that is left
when all but the class's pixels are blurred, minus the probability that is left when these pixels are blurred. A mask
that holds what the classifier looks at, and no more of the image than that, keeps much and leaves little. Beside it,
where masks exist, mIoU: for reading, not for choosing.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path

import click
import torch
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from wsss_toolkit.data import ImageDataset, Item, same_size_batches
from wsss_toolkit.domain import find_adapter
from wsss_toolkit.evaluation import confusion_matrix, score_matrix
from wsss_toolkit.ground_truth import keys_with_truth, read_truth
from wsss_toolkit.model.vit import MultiTokenViT
from wsss_toolkit.pseudo_masks.assign import active_classes, assign
from wsss_toolkit.pseudo_masks.class_maps import class_maps
from wsss_toolkit.recipe import find_recipe, load_recipe
from wsss_toolkit.recipe.schema import PseudoMasks, Threshold
from wsss_toolkit.scaling import Preprocessing
from wsss_toolkit.training.train import PREPROCESSING_FILE, load_trained

SOURCES = ("attention", "patch_classifier", "fused", "gradcam")
LAYERS: tuple[str | int, ...] = ("last", 2, "all")
THRESHOLDS = {
    "mean": Threshold(method="mean"),
    "otsu": Threshold(method="otsu"),
    "fixed 0.5": Threshold(method="fixed", value=0.5),
    "quantile 0.85": Threshold(method="quantile", value=0.85),
}
ASSIGN = ("argmax", "paint")


def settings(base: PseudoMasks, sources: tuple[str, ...]) -> Iterator[tuple[str, PseudoMasks]]:
    """Yield every combination of source and layers, named."""
    for source, layers in itertools.product(sources, LAYERS):
        if source in ("patch_classifier", "gradcam") and layers != "last":
            continue
        yield f"{source}, {layers}", base.model_copy(update={"source": source, "layers": layers})


@torch.no_grad()
def keep_minus_remove(model: MultiTokenViT, images: Tensor, mask: Tensor, active: Tensor, values: list[int]) -> Tensor:
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
    return torch.cat(found)


@click.command()
@click.argument("recipe")
@click.option("--run", "run_folder", type=click.Path(path_type=Path), required=True, help="A run with the stage train.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="As for `wsss run`.")
@click.option("--split", default="val", show_default=True)
@click.option("--images", default=40, show_default=True, help="The first so many images of the split.")
@click.option("--sources", default="attention,patch_classifier,fused", show_default=True, help=", ".join(SOURCES))
def main(recipe: str, run_folder: Path, overrides: tuple[str, ...], split: str, images: int, sources: str) -> None:
    """Print a Markdown table of settings."""
    chosen = load_recipe(find_recipe(recipe), overrides)
    adapter = find_adapter(chosen.data.adapter)(chosen.data)
    adapter.prepare()
    keys = keys_with_truth(adapter, adapter.splits()[split][:images])
    prepare = Preprocessing.load(run_folder / "train" / PREPROCESSING_FILE)
    model = load_trained(run_folder / "train").eval()
    size = chosen.model.image_size
    dataset = ImageDataset(adapter, keys, prepare, resize=size)
    batches: list[Item] = list(same_size_batches(dataset, 20))
    classes = adapter.classes
    truths = [torch.from_numpy(read_truth(adapter, key))[None, None].float() for key in keys]
    truth = torch.cat([torch.nn.functional.interpolate(one, (size, size), mode="nearest-exact")[0] for one in truths])
    print("| maps | assign | threshold | keep - remove (no masks) | mIoU | without background |")
    print("|---|---|---|---|---|---|")
    for name, section in settings(chosen.pseudo_masks, tuple(sources.split(","))):
        found = [
            class_maps(model, batch["image"], section, present=batch["present"], valid=batch["valid"])
            for batch in batches
        ]
        for how, (label, threshold) in itertools.product(ASSIGN, THRESHOLDS.items()):
            now = section.model_copy(update={"assign": how, "threshold": threshold})
            criterion, masks = [], []
            for batch, (maps, logits) in zip(batches, found, strict=True):
                active = active_classes(logits, None, "predicted", allow_none=now.background != "none")
                mask, _ = assign(maps, logits, active, now, classes, valid=batch["valid"])
                masks.append(mask)
                criterion.append(keep_minus_remove(model, batch["image"], mask, active, list(classes.labelled)))
            matrix = confusion_matrix(torch.cat(masks), truth.byte(), classes)
            scores = score_matrix(matrix, classes, len(keys))
            without = scores.without_background.miou if scores.without_background else None
            print(
                f"| {name} | {how} | {label} | {torch.cat(criterion).mean():.3f} | {scores.miou or 0:.3f} "
                f"| {'-' if without is None else f'{without:.3f}'} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
