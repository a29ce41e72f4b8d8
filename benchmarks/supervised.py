"""The ceiling of a recipe: its segmentation network, trained on real masks instead of pseudo-masks.

    python benchmarks/supervised.py recipes/neopolyp.yaml --run runs/neopolyp --set data.root=DIR

Everything else is the run's own: splits, scaling, network, epochs, seed. The figures say "trained on ground truth";
they belong beside those of the run and never in place of them. This file reads masks for training, which the toolkit
itself never does.
"""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from wsss_toolkit.data import ImageDataset
from wsss_toolkit.domain import find_adapter
from wsss_toolkit.evaluation import evaluate
from wsss_toolkit.ground_truth import keys_with_truth, read_truth
from wsss_toolkit.recipe import find_recipe, load_recipe
from wsss_toolkit.recipe.schema import SelfTraining
from wsss_toolkit.scaling import Preprocessing
from wsss_toolkit.segmentation.predict import predict_masks
from wsss_toolkit.segmentation.train import load_network, train_segmentation
from wsss_toolkit.training.fit import choose_device
from wsss_toolkit.training.train import PREPROCESSING_FILE, load_trained


@click.command()
@click.argument("recipe")
@click.option("--run", "run_folder", type=click.Path(path_type=Path), required=True, help="A finished run of RECIPE.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="As for `wsss run`.")
@click.option("--device", default="auto", show_default=True)
def main(recipe: str, run_folder: Path, overrides: tuple[str, ...], device: str) -> None:
    """Train the network of RECIPE on ground truth and print its scores as JSON."""
    settings = load_recipe(find_recipe(recipe), overrides)
    section = settings.segmentation
    if section is None:
        raise click.UsageError("the recipe has no segmentation section")
    # Ground truth has no confidence, and nothing is gained by labelling its images anew.
    section = section.model_copy(
        update={"confidence_weight": 0.0, "ignore_share": 0.0, "self_training": SelfTraining()}
    )
    adapter = find_adapter(settings.data.adapter)(settings.data)
    adapter.prepare()
    prepare = Preprocessing.load(run_folder / "train" / PREPROCESSING_FILE)
    chosen = choose_device(device, settings.train.devices, settings.train.precision)
    splits = adapter.splits()
    with TemporaryDirectory() as scratch:
        masked = {}
        for split in ("train", "val"):
            folder = Path(scratch) / split
            folder.mkdir()
            keys = keys_with_truth(adapter, splits.get(split, ()))
            files = [adapter.write_mask(folder / key, key, read_truth(adapter, key), None, {}) for key in keys]
            masked[split] = (keys, files)
        work = Path(scratch) / "network"
        work.mkdir()
        train_segmentation(
            adapter,
            prepare,
            masked["train"],
            masked["val"] if masked["val"][0] else None,
            section=section,
            seed=settings.seed,
            folder=work,
            results=work,
            device=chosen,
            workers=settings.train.workers,
            memory_mb=settings.train.images_in_memory_mb,
            classifier=load_trained(run_folder / "train") if section.encoder == "classifier" else None,
        )
        network = load_network(work)
    report: dict[str, object] = {"trained on": "ground truth", "recipe": settings.name, "seed": settings.seed}
    for split in settings.evaluation.segmentation:
        predictions = predict_masks(
            network,
            ImageDataset(adapter, keys_with_truth(adapter, splits[split]), prepare),
            batch_size=section.batch_size,
            workers=settings.train.workers,
            device=chosen.torch,
            title=f"evaluation {split}",
            size=section.image_size,
        )
        pairs = ((mask, read_truth(adapter, key)) for key, mask, _ in predictions)
        report[split] = evaluate(pairs, adapter.classes).to_json()
    click.echo(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
