"""Our forward pass against timm's own, for every kind of Vision Transformer that recipes may name."""

import pytest
import timm
import torch

from wsss_toolkit.model.checkpoint import select_transformer
from wsss_toolkit.model.vit import build_backbone
from wsss_toolkit.model.weights import load_checkpoint
from wsss_toolkit.recipe.schema import Model


def timm_model(name, size):
    model = timm.create_model(name, img_size=size, depth=3, num_classes=7).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return model


def ours_from(reference, name, size, rgb, *, registers, classes=1, **section):
    section = {
        "backbone": name,
        "image_size": size,
        "depth": 3,
        "registers": registers,
        "class_tokens": {"noise_std": 0},
        "gates": {"enabled": False},
        **section,
    }
    model = build_backbone(Model.model_validate(section), rgb, "early", classes).eval()
    return model, load_checkpoint(model, select_transformer(reference.state_dict(), name), rgb)


@pytest.mark.parametrize(
    ("name", "size", "registers"),
    [
        ("vit_tiny_patch16_224", 48, 0),
        ("deit_tiny_patch16_224", 48, 0),
        ("deit3_small_patch16_224", 48, 0),  # LayerScale, positions of patches only
        ("vit_small_patch14_dinov2", 42, 0),  # LayerScale
        ("vit_small_patch14_reg4_dinov2", 42, 4),
        ("vit_xsmall_patch16_clip_224", 48, 0),  # norm before the first block
        ("vit_base_patch16_clip_quickgelu_224", 48, 0),
    ],
)
def test_one_ungated_class_token_reproduces_timm(rgb, name, size, registers):
    reference = timm_model(name, size)
    model, account = ours_from(reference, name, size, rgb, registers=registers)
    images = torch.randn(2, 3, size, size)
    expected = reference.forward_features(images)
    ours = model(images).tokens
    patches = expected[:, 1 + registers :]
    count = patches.shape[1]
    torch.testing.assert_close(ours[:, :1], expected[:, :1], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(ours[:, 1 : 1 + count], patches, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(ours[:, 1 + count :], expected[:, 1 : 1 + registers], atol=1e-4, rtol=1e-4)
    assert set(account.left_out) == {"head.weight", "head.bias"}
    assert set(account.missing) <= {"registers"}


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("vit_base_patch16_gap_224", 48),
        ("vit_base_patch16_siglip_gap_224", 48),
        ("vit_medium_patch16_reg4_gap_256", 48),
        ("vit_base_patch16_224_miil", 48),
    ],
)
def test_patches_of_frozen_blocks_reproduce_timm_without_a_class_token_among_them(rgb, name, size):
    """Asymmetric class tokens are not read: patches go as in timm, also where timm has no [CLS]."""
    reference = timm_model(name, size)
    registers = reference.num_prefix_tokens
    model, _ = ours_from(
        reference,
        name,
        size,
        rgb,
        registers=registers,
        classes=5,
        attention="asymmetric",
        class_tokens={"enter_at": 2},
    )
    images = torch.randn(2, 3, size, size)
    expected = reference.fc_norm(reference.forward_features(images))[:, registers:]
    torch.testing.assert_close(model(images).tokens[:, 5 : 5 + expected.shape[1]], expected, atol=1e-4, rtol=1e-4)


def test_grid_of_another_size_reproduces_timm_with_dynamic_sizes(rgb):
    reference = timm.create_model("vit_tiny_patch16_224", img_size=48, depth=3, dynamic_img_size=True).eval()
    model, _ = ours_from(reference, "vit_tiny_patch16_224", 48, rgb, registers=0)
    images = torch.randn(1, 3, 64, 96)
    expected = reference.forward_features(images)
    torch.testing.assert_close(model(images).tokens, expected, atol=1e-4, rtol=1e-4)
