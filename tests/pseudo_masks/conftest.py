"""A small classifier with random weights."""

import pytest
import torch

from wsss_toolkit.domain import ChannelTable, Sensor
from wsss_toolkit.heads.classifier import build_classifier
from wsss_toolkit.heads.kinds import Linear, PerToken
from wsss_toolkit.recipe.schema import ClassTokens, Model


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
    )
    torch.manual_seed(0)
    heads = {"class": PerToken(kind="per_token"), "patch": Linear(kind="linear")}
    camera = ChannelTable((Sensor("camera", ("R", "G", "B")),))
    return build_classifier(section, heads, camera, "early", 3).eval()
