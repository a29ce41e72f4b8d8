"""A small classifier with random weights."""

import pytest
import torch

from wsss_toolkit.domain import ChannelTable, Sensor
from wsss_toolkit.model.vit import build_model
from wsss_toolkit.recipe.schema import ClassTokens, Model, PatchClassifier


@pytest.fixture(scope="module")
def model():
    """Three class tokens that do not read each other; patches of 8 pixels, training images of 32."""
    section = Model(
        backbone="vit_tiny_patch16_224",
        patch_size=8,
        image_size=32,
        depth=3,
        attention="asymmetric",
        class_tokens=ClassTokens(enter_at=1),
        patch_classifier=PatchClassifier(weight=0.5),
    )
    torch.manual_seed(0)
    return build_model(section, ChannelTable((Sensor("camera", ("R", "G", "B")),)), "early", 3).eval()
