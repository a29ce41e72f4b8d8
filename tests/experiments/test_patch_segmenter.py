import pytest
import tiny_recipe
import torch

from wsss_toolkit.domain import ChannelTable, Sensor
from wsss_toolkit.experiments.patch_segmenter import build_segmenter, patch_section, segment
from wsss_toolkit.recipe import load_recipe

pytestmark = pytest.mark.usefixtures("adapters")

CHANNELS = ChannelTable((Sensor("sentinel1", ("VV", "VH")), Sensor("sentinel2", ("B02", "B03", "B04", "B08"))))


@pytest.fixture
def recipe(tmp_path):
    return load_recipe(tiny_recipe.write_recipe(tmp_path / "tiny.yaml", tmp_path / "data", train__freeze_below=1))


@pytest.fixture
def model(recipe):
    torch.manual_seed(0)
    return build_segmenter(recipe, CHANNELS, 5).eval()


def everything(images):
    return {
        "valid": torch.ones(len(images), *images.shape[-2:], dtype=torch.bool),
        "present": torch.ones(len(images), 2, dtype=torch.bool),
    }


def test_it_is_the_recipes_backbone_with_a_linear_head_on_patches(recipe, model):
    section = patch_section(recipe.model)
    for key in ("backbone", "weights", "image_size", "patch_size", "depth", "registers"):
        assert getattr(section, key) == getattr(recipe.model, key)
    backbone = model.backbone
    assert backbone.frozen_below == 1 and not backbone.block(0).attn.qkv.weight.requires_grad
    assert model.head("class").linear.out_features == 5
    assert all(backbone.block(index).attn.gate is None for index in range(backbone.depth))


def test_logits_are_the_patches_scores_upsampled(model):
    images = torch.randn(2, 6, 32, 32)
    logits = segment(model, images, **everything(images))
    assert logits.shape == (2, 5, 32, 32)
    scores = model(images).scores["class"].maps
    expected = torch.nn.functional.interpolate(scores, (32, 32), mode="bilinear", align_corners=False)
    torch.testing.assert_close(logits, expected)


def test_the_class_token_changes_no_mask(model):
    images = torch.randn(1, 6, 32, 32)
    before = segment(model, images, **everything(images))
    model.backbone.class_tokens.data += 10
    torch.testing.assert_close(segment(model, images, **everything(images)), before)


def test_images_of_any_size_get_logits_of_their_size(model):
    images = torch.randn(1, 6, 30, 45)
    assert segment(model, images, **everything(images)).shape == (1, 5, 30, 45)
