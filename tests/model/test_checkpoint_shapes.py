"""Checkpoints in the shapes in which training scripts save them, and the scale in which timm's were trained."""

from types import SimpleNamespace

import numpy as np
import pytest
import timm
import torch

from wsss_toolkit.domain import ChannelTable, Sample, Sensor
from wsss_toolkit.images.scaling import preprocessing
from wsss_toolkit.model.checkpoint import read_checkpoint, trained_scaling
from wsss_toolkit.recipe.schema import Channels
from wsss_toolkit.runs.readiness import Readiness

NAME = "vit_tiny_patch16_224"
RGB = ChannelTable((Sensor("rgb", ("R", "G", "B")),))


@pytest.fixture(scope="module")
def weights():
    return timm.create_model(NAME, num_classes=5, img_size=64, depth=1).state_dict()


@pytest.mark.parametrize(
    "shape",
    [
        lambda w: {"state_dict": {f"module.{k}": v for k, v in w.items()}, "best_acc1": torch.tensor(76.1)},
        lambda w: {"model": w, "epoch": torch.tensor(3), "optimizer": {"state": {0: torch.zeros(2)}}},
        lambda w: {"teacher": {f"backbone.{k}": v for k, v in w.items()}, "student": {}, "center": torch.zeros(1, 5)},
        lambda w: {"model": {"state_dict": w, "step": torch.tensor(1)}, "loss": torch.tensor(0.1)},
        lambda w: {**w, "state_dict": {"head.weight": torch.zeros(2)}},
        lambda w: {"module": w, "state_dict": {"queue": torch.zeros(3)}},
    ],
)
def test_the_transformer_is_found_beside_other_tensors(tmp_path, weights, shape):
    torch.save(shape(weights), tmp_path / "c.pth")
    found = read_checkpoint(str(tmp_path / "c.pth"), NAME).tensors
    assert torch.equal(found["blocks.0.attn.qkv.weight"], weights["blocks.0.attn.qkv.weight"])


def channels(**rgb):
    return Channels.model_validate({"rgb": rgb})


def test_symmetric_is_minus_one_to_one():
    sample = Sample("a", {"rgb": np.array([0, 127.5, 255], np.float32).repeat(3).reshape(3, 1, 3).transpose(2, 1, 0)})
    scaled, _, _ = preprocessing(channels(scale="symmetric"), RGB, [])(sample)
    assert scaled[:, 0].tolist() == [[-1, 0, 1]] * 3


def warnings(backbone, weights="timm", **rgb):
    model, section = SimpleNamespace(backbone=backbone, weights=weights), channels(**rgb)
    adapter = SimpleNamespace(classes=None)
    found = Readiness(SimpleNamespace(model=model, channels=section), adapter, RGB, lambda done, total: None)
    found._warn_of_scaling()
    return found.warnings


def test_weights_that_were_trained_on_other_values_are_warned_of():
    assert trained_scaling("timm", "vit_base_patch16_224") == ((0.5,) * 3, (0.5,) * 3)
    assert trained_scaling("none", "vit_base_patch16_224") is None
    [warning] = warnings("vit_base_patch16_224", scale="imagenet")
    assert "scale: imagenet gives; scale: symmetric gives those" in warning
    [warning] = warnings("vit_small_patch14_dinov2", scale="symmetric")
    assert "scale: imagenet gives those" in warning
    [warning] = warnings("vit_base_patch16_clip_224", scale="imagenet")
    assert "scale: zscore, statistics: {mean: [122.8, 116.7, 104.1], std: [68.5, 66.6, 70.3]} gives those" in warning
    assert warnings("vit_base_patch16_224", scale="symmetric") == warnings("vit_base_patch16_224", scale="minmax") == []
    assert warnings("vit_base_patch16_224", "none", scale="imagenet") == []
