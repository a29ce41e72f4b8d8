"""Backbones and classifiers small enough for tests, and fixtures that build them."""

import pytest
import torch

from wsss_toolkit.domain import ChannelTable, Sensor
from wsss_toolkit.heads.classifier import build_classifier
from wsss_toolkit.model.attention_maps import class_map
from wsss_toolkit.model.vit import build_backbone
from wsss_toolkit.recipe.parts import one_part
from wsss_toolkit.recipe.schema import Model

BASE = {"backbone": "vit_tiny_patch16_224", "image_size": 48, "depth": 3, "registers": 1}
RGB = ChannelTable((Sensor("camera", ("R", "G", "B"), ("R", "G", "B")),))
PATCH = {"class": {"kind": "per_token"}, "patch": {"kind": "linear"}}


def small_backbone(*, classes=4, channels=RGB, fusion="early", frozen_below=0, **section):
    """Return a backbone: 48 px, patches of 16, three blocks, unless the section says otherwise."""
    model = Model.model_validate({**BASE, **section})
    return build_backbone(model, channels, fusion, classes, frozen_below=frozen_below)


def parts(group, options):
    """Return parts of a recipe by name from their plain options; a text alone is a kind."""
    return {name: one_part(group, values, name) for name, values in options.items()}


def small_classifier(*, heads=None, classes=4, channels=RGB, fusion="early", frozen_below=0, **section):
    """Return the same with heads; `heads` are plain options by name, a head `class` that is named alone its kind."""
    heads = {"class": heads} if isinstance(heads, str) else heads or {"class": "per_token"}
    model = Model.model_validate({**BASE, **section})
    return build_classifier(model, parts("heads", heads), channels, fusion, classes, frozen_below=frozen_below)


def move(model, scale=0.05):
    """Move weights away from their start, so that every term counts."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * scale)
    return model


def maps_of(seen, reader=class_map):
    """Return what a reader found of all blocks that were read, stacked `b l ...`."""
    output = getattr(seen, "output", seen)
    found = (output.read[index] for index in sorted(output.read))
    return torch.stack([one.maps if reader is class_map else one for one in found], 1)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.fixture
def rgb():
    return RGB


@pytest.fixture
def small():
    return small_backbone


@pytest.fixture
def classifier():
    return small_classifier


@pytest.fixture
def spread():
    return move
