"""The whole way with the refinements of the segmentation network: its own classifier, confidence, self-training."""

import json

import numpy as np
import pytest
import rasterio
import tiny_recipe
import torch
from safetensors.torch import load_file

from wsss_toolkit.recipe import load_recipe
from wsss_toolkit.runs import pipeline
from wsss_toolkit.runs.trained_run import open_run
from wsss_toolkit.scenes.predictor import load_predictor

pytestmark = [pytest.mark.usefixtures("adapters"), pytest.mark.slow]

REFINED = {
    "train__epochs": 1,
    "pseudo_masks__confidence": True,
    "segmentation": {
        "encoder": "classifier",
        "classifier": {"blocks": 2, "width": 16, "patch_scores": True},
        "input_scale": 2,
        "epochs": 1,
        "batch_size": 4,
        "confidence_weight": 1.0,
        "ignore_share": 0.2,
        "self_training": {"rounds": 1, "ignore_below": 0.2},
        "augment": {"scale": [0.5, 2.0], "channel_jitter": 0.2, "cutmix": 0.5, "erase": 0.2},
    },
}


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """A finished run."""
    folder = tmp_path_factory.mktemp("refined")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("wsss_toolkit.domain.adapter.entry_points", lambda group: tiny_recipe.declared_adapters())
        recipe = load_recipe(tiny_recipe.write_recipe(folder / "tiny.yaml", folder / "data", **REFINED))
        pipeline.run(recipe, out=folder / "run", device="cpu")
    return folder / "run"


def read(path):
    with rasterio.open(path) as file:
        return file.read(1)


def test_the_report_counts_both_rounds_and_scores_the_last(out):
    report = json.loads((out / "report.json").read_text())
    assert {split: found["images"] for split, found in report["segmentation"].items()} == {"val": 4, "test": 4}
    result = json.loads((out / "segmentation" / "stage.json").read_text())["result"]
    assert result["rounds"] == [1, 1] and result["epochs"] == 2


def test_masks_of_the_second_round_show_predicted_classes_only(out):
    index = json.loads((out / "segmentation" / "round_1" / "masks" / "index.json").read_text())
    assert {split: len(files) for split, files in index.items()} == {"train": 8, "val": 4}
    for split, files in index.items():
        rows = (out / "pseudo_masks" / f"{split}.scores.csv").read_text().splitlines()[1:]
        for row in rows:
            key, *scores = row.split(",")
            probabilities = np.array(scores, float)
            allowed = set(np.flatnonzero(probabilities >= 0.5)) or {int(probabilities.argmax())}
            path = out / "segmentation" / "round_1" / "masks" / files[key]
            mask, level = read(path), read(path.with_suffix(".confidence.tif"))
            assert set(np.unique(mask)) - {255} <= allowed
            assert ((mask == 255) == (level < 0.2 * 255)).all()


def test_the_network_holds_the_classifier_and_needs_nothing_else(out):
    network, classifier = (
        load_file(out / name) for name in ("segmentation/network.safetensors", "train/model.safetensors")
    )
    for name, value in classifier.items():
        assert torch.equal(network[f"classifier.{name}"], value), name
    (out / "train" / "model.safetensors").rename(out / "train" / "elsewhere")
    try:
        run = open_run_without_classifier(out)
        images = torch.randn(2, 6, 44, 60, generator=torch.Generator().manual_seed(0))
        valid = torch.ones(2, 44, 60, dtype=torch.bool)
        scores = run.score(images, valid, torch.ones(2, 2, dtype=torch.bool), False)
    finally:
        (out / "train" / "elsewhere").rename(out / "train" / "model.safetensors")
    assert scores.shape == (2, 8, 44, 60)
    torch.testing.assert_close(scores.sum(dim=1), torch.ones(2, 44, 60))
    assert run.architecture == "unet with encoder classifier"


def open_run_without_classifier(out):
    (out / "train" / "elsewhere").rename(out / "train" / "model.safetensors")
    run = open_run(out)  # reads the tags of the classifier's file
    (out / "train" / "model.safetensors").rename(out / "train" / "elsewhere")
    return load_predictor(run, "unet", torch.device("cpu"))


def test_exported_masks_lie_on_their_tiles(out):
    masks = sorted((out / "export" / "test").glob("*.tif"))
    assert len(masks) == 4
    assert all(read(path).shape == (32, 32) and read(path).max() < 8 for path in masks)
