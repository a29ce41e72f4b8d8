import pytest
import torch

from wsss_toolkit.domain import ChannelTable, Sensor
from wsss_toolkit.model.vit import build_model
from wsss_toolkit.recipe.schema import Model

BASE = {"backbone": "vit_tiny_patch16_224", "image_size": 48, "depth": 3, "registers": 1}
RGB = ChannelTable((Sensor("camera", ("R", "G", "B"), ("R", "G", "B")),))


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.fixture
def rgb():
    return RGB


@pytest.fixture
def small():
    """Return a builder of small models: 48 px, patches of 16, three blocks."""

    def build(*, classes=4, channels=RGB, fusion="early", frozen_below=0, **section):
        return build_model(
            Model.model_validate({**BASE, **section}), channels, fusion, classes, frozen_below=frozen_below
        )

    return build


@pytest.fixture
def spread():
    """Return a function that moves weights away from their start, so that every term counts."""

    def move(model, scale=0.05):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * scale)
        return model

    return move
