import pytest
import torch

from wsss_toolkit.domain import ChannelTable, Sensor
from wsss_toolkit.heads.classifier import build_classifier
from wsss_toolkit.heads.kinds import Concat, PerToken
from wsss_toolkit.pseudo_masks.class_maps import class_maps
from wsss_toolkit.recipe.schema import ClassTokens, Model, PseudoMasks

pytest.importorskip("monai")

from wsss_toolkit.pseudo_masks.gradcam import grad_cam

RGB = ChannelTable((Sensor("camera", ("R", "G", "B")),))


@pytest.fixture(params=["shared", "per_class"])
def model(request):
    shared = request.param == "shared"
    section = Model(
        backbone="vit_tiny_patch16_224",
        patch_size=8,
        image_size=32,
        depth=2,
        attention="asymmetric",
        token_masking=0.0,
        class_tokens=ClassTokens(shared=shared, enter_at=1),
    )
    torch.manual_seed(0)
    heads = {"class": Concat(kind="concat") if shared else PerToken(kind="per_token")}
    model = build_classifier(section, heads, RGB, "early", 3, frozen_below=1).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return model


def by_hand(model, images):
    """Grad-CAM from its definition, one image and class at a time."""
    maps = []
    for image in images:
        for index in range(3):
            kept = []
            patches = image.shape[1] // 8 * (image.shape[2] // 8)

            def keep(module, inputs, kept=kept):
                tokens = inputs[0].detach().requires_grad_()
                kept.append(tokens)
                return (tokens, *inputs[1:])

            handle = model.backbone.block(1).register_forward_pre_hook(keep)
            logit = model(image[None]).logits[0, index]
            handle.remove()
            (gradient,) = torch.autograd.grad(logit, kept)
            span = slice(model.backbone.tokens, model.backbone.tokens + patches)
            activation = kept[0][0, span].detach()
            weights = gradient[0, span].mean(0)
            maps.append((activation @ weights).relu().reshape(image.shape[1] // 8, -1))
    return torch.stack(maps).unflatten(0, (len(images), 3))


def test_equals_its_definition(model):
    images = torch.randn(2, 3, 32, 40)
    found = grad_cam(model, images)
    assert found.shape == (2, 3, 4, 5)
    assert found.max() > 0
    torch.testing.assert_close(found, by_hand(model, images))
    torch.testing.assert_close(grad_cam(model, images, classes=[2, 0]), found[:, [2, 0]])


def test_leaves_no_trace_in_the_model(model):
    images = torch.randn(1, 3, 32, 32)
    before = model(images).logits
    grad_cam(model, images)
    assert torch.equal(model(images).logits, before)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not model.backbone.block(1)._forward_pre_hooks
    assert not model.training


def test_as_a_source_of_class_maps(model):
    images = torch.randn(2, 3, 32, 40)
    maps, _ = class_maps(model, images, PseudoMasks(source="gradcam"))
    expected = torch.nn.functional.interpolate(by_hand(model, images), (32, 40), mode="bilinear")
    torch.testing.assert_close(maps, expected)
    assert not maps.requires_grad
