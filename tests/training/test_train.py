"""What a training makes of its data and its recipe, before and after the epochs."""

import json

import numpy as np
import pytest
import torch
from fake_domain import FakeDomain, FakeOptions

from wsss_toolkit.compute import choose_device
from wsss_toolkit.domain import ChannelTable, Sample, Sensor
from wsss_toolkit.heads.saved import load_trained
from wsss_toolkit.model.gate import HardConcreteGate
from wsss_toolkit.recipe.schema import Recipe
from wsss_toolkit.training.task import ClassifierTask
from wsss_toolkit.training.train import LabelledData, train_classifier

TRAINING, VALIDATION = ("a", "b", "c", "d"), ("x", "y")


class Levels(FakeDomain):
    """Images of noise whose mean is 1 in training and 100 in validation."""

    def read(self, key, channels):
        noise = np.random.default_rng(ord(key)).normal(size=(1, 16, 16)).astype(np.float32)
        return Sample(key, {"optical": noise - noise.mean() + (100 if key in VALIDATION else 1)})


def train(folder, labels, mosaics=0.0, **model):
    recipe = Recipe(
        name="tiny",
        data=FakeOptions(adapter="fake", root=folder),
        channels={"optical": {"bands": "all", "scale": "zscore"}},
        model={"backbone": "vit_tiny_patch16_224", "patch_size": 8, "image_size": 16, "depth": 1, **model},
        train={"epochs": 1, "batch_size": 4, "warmup_epochs": 0, "mosaics": mosaics},
    )
    data = LabelledData(
        Levels(None),
        ChannelTable((Sensor("optical", ("B02",)),)),
        (TRAINING, np.array(labels, np.float32)),
        (VALIDATION, np.eye(2, dtype=np.float32)),
    )
    device = choose_device("cpu", 1, "32")
    folder.mkdir(exist_ok=True)
    return train_classifier(data, recipe=recipe, folder=folder, results=folder, device=device, metadata={})


ONE_EACH, ONE_WITH_TWO = [[0, 1], [1, 0], [1, 0], [0, 1]], [[0, 1], [1, 0], [1, 0], [1, 1]]


@pytest.mark.parametrize(("labels", "exclusive"), [(ONE_EACH, True), (ONE_WITH_TWO, False)])
def test_classes_exclude_each_other_where_every_training_image_has_one(tmp_path, labels, exclusive):
    assert train(tmp_path, labels)["exclusive"] is exclusive


def test_mosaics_are_learnt_from_beside_the_images(tmp_path, monkeypatch):
    seen = []
    step = ClassifierTask.training_step

    def watched(task, batch, number):
        seen.extend(batch["labels"].tolist())
        return step(task, batch, number)

    monkeypatch.setattr(ClassifierTask, "training_step", watched)
    assert train(tmp_path / "with", ONE_EACH, mosaics=1.0)["exclusive"] is False, "a mosaic shows two classes"
    assert sorted(seen) == [[0, 1], [0, 1], [1, 0], [1, 0], *[[1, 1]] * 4]
    seen.clear()
    train(tmp_path / "without", ONE_EACH)
    assert sorted(seen) == [[0, 1], [0, 1], [1, 0], [1, 0]]


def test_bands_are_scaled_by_the_training_images_alone(tmp_path):
    train(tmp_path, ONE_EACH)
    (band,) = json.loads((tmp_path / "preprocessing.json").read_text())["bands"]
    assert band["offset"] == pytest.approx(1, abs=1e-3) and band["scale"] == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("pruned", [True, False])
def test_closed_heads_are_cut_out_where_the_recipe_asks_for_it(tmp_path, monkeypatch, pruned):
    def close_one(module, *arguments, **options):
        with torch.no_grad():
            module.model.backbone.block(0).attn.gate.log_alpha[0] = -9
        return 1

    monkeypatch.setattr("wsss_toolkit.training.train.fit", close_one)
    found = train(tmp_path, ONE_EACH, gates={"prune": pruned})
    assert found["gates"] == {"open": 2, "total": 3}
    attention = load_trained(tmp_path).backbone.block(0).attn
    assert attention.heads == (2 if pruned else 3)
    assert isinstance(attention.gate, HardConcreteGate) is not pruned
