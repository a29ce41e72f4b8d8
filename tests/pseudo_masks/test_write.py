"""From images to masks: which tokens and maps are computed, and how many images at once."""

import numpy as np
import pytest
import torch

from wsss_toolkit.domain import ClassTable
from wsss_toolkit.model.vit import MultiTokenViT
from wsss_toolkit.pseudo_masks import class_maps as maps_module
from wsss_toolkit.pseudo_masks.assign import active_classes, assign
from wsss_toolkit.pseudo_masks.class_maps import class_maps
from wsss_toolkit.pseudo_masks.label import label_images
from wsss_toolkit.pseudo_masks.write import label_batch
from wsss_toolkit.recipe.schema import PseudoMasks

CLASSES = ClassTable(("none", "cat", "dog", "bird"), ((0, 0, 0),) * 4, background=0)
LABELS = torch.tensor([[0, 1, 0], [0, 1, 0]])


def noise(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(4))


def label(model, section, images, labels=None, exclusive=False, **options):
    valid = torch.ones(len(images), *images.shape[-2:], dtype=torch.bool)
    present = torch.ones(len(images), 1, dtype=torch.bool)
    return label_images(
        model, images, valid, present, section, CLASSES, labels=labels, resize=None, reference=None,
        exclusive=exclusive, **options,
    )  # fmt: skip


@pytest.fixture
def tokens(monkeypatch):
    """The class tokens of every pass of the classifier; None stands for all."""
    computed = []
    forward = MultiTokenViT.forward

    def recorded(self, images, **options):
        computed.append(options.get("classes"))
        return forward(self, images, **options)

    monkeypatch.setattr(MultiTokenViT, "forward", recorded)
    return computed


@pytest.mark.parametrize("window", ["none", "auto"])
@pytest.mark.parametrize("assigned", ["argmax", "paint"])
def test_where_labels_are_known_other_tokens_are_computed_in_one_view_only(
    model, tokens, monkeypatch, window, assigned
):
    section = PseudoMasks(
        classes="labels", source="fused", flips=True, scales=(0.5, 1.0), window=window, assign=assigned,
        background="threshold",
    )  # fmt: skip
    images = noise(2, 3, 32, 32)
    mask, confidence, scores = label(model, section, images, LABELS)
    # Images of 16 x 16 pixels and their mirror images, then the images as they are, then mirrored.
    assert tokens == [[1], [1], None, [1]]
    monkeypatch.setattr(MultiTokenViT, "selects_classes", False)
    every_mask, every_confidence, _ = label(model, section, images, LABELS)
    assert tokens[4:] == [None] * 4
    assert torch.equal(mask, every_mask) and set(mask.unique().tolist()) == {0, 2}
    torch.testing.assert_close(confidence, every_confidence, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(scores, model(images).logits, rtol=1e-5, atol=1e-5)


def test_predicted_classes_and_an_exclusive_classifier_need_every_token(model, tokens):
    images = noise(2, 3, 32, 32)
    label(model, PseudoMasks(flips=True), images)
    label(model, PseudoMasks(classes="labels"), images, LABELS, exclusive=True)
    assert tokens == [None] * 3


@pytest.mark.parametrize("classes", ["predicted", "labels"])
def test_masks_are_those_of_all_maps(model, classes):
    section = PseudoMasks(source="fused", classes=classes, flips=True)
    images = noise(2, 3, 40, 33)
    valid = torch.ones(2, 40, 33, dtype=torch.bool)
    maps, logits = class_maps(model, images, section, valid=valid)
    active = active_classes(logits, LABELS, classes)
    expected, _ = assign(maps, logits, active, section, CLASSES, valid=valid)
    assert torch.equal(label(model, section, images, LABELS)[0], expected)


def test_maps_of_unused_classes_never_reach_the_size_of_the_images(model, monkeypatch):
    blended = []
    blend = maps_module.blend

    def recorded(layout, grids, shares, size):
        blended.append((grids.shape[2], shares.shape[2]))
        return blend(layout, grids, shares, size)

    monkeypatch.setattr(maps_module, "blend", recorded)
    label(model, PseudoMasks(classes="labels", flips=True), noise(2, 3, 32, 32), LABELS)
    with monkeypatch.context() as patch:
        patch.setattr(MultiTokenViT, "selects_classes", False)
        label(model, PseudoMasks(classes="labels", source="patch_classifier"), noise(2, 3, 32, 32), LABELS)
    assert blended == [(1, 1)] * 3


def test_an_image_much_larger_than_the_training_images_gets_a_mask_of_its_size(model):
    images = noise(1, 3, 70, 150)
    mask, confidence, logits = label(model, PseudoMasks(window="auto", flips=True), images, batch_size=4)
    assert mask.shape == confidence.shape == (1, 70, 150) and set(mask.unique().tolist()) <= {1, 2, 3}
    corners = [
        model(view[..., row : row + 32, column : column + 32]).logits
        for view in (images, images.flip(-1))
        for row in (0, 16, 32, 38)
        for column in (0, 16, 32, 48, 64, 80, 96, 112, 118)
    ]
    best = torch.stack(corners).unflatten(0, (2, 36)).amax(dim=1).mean(dim=0)
    torch.testing.assert_close(logits, best, rtol=1e-4, atol=1e-5)


def test_of_large_images_few_are_worked_on_at_once(model, monkeypatch):
    at_once = []

    def recorded(model, images, *arguments, **options):
        at_once.append(len(images))
        return label_images(model, images, *arguments, **options)

    monkeypatch.setattr("wsss_toolkit.pseudo_masks.write.label_images", recorded)
    batch = {
        "image": noise(5, 3, 64, 32),
        "valid": torch.ones(5, 64, 32, dtype=torch.bool),
        "present": torch.ones(5, 1, dtype=torch.bool),
        "labels": torch.zeros(5, 0),
    }
    found = {}
    for window in ("none", "auto"):
        section = PseudoMasks(window=window)
        found[window] = label_batch(
            model, batch, section, CLASSES, resize=None, exclusive=False, device=torch.device("cpu"), batch_size=5
        )
    # Five images of 32 x 32 pixels are as much as two and a half of 64 x 32.
    assert at_once == [5, 2, 2, 1]
    assert [len(part) for part in found["auto"]] == [5, 5, 5]
    one, _, logits = label(model, PseudoMasks(window="auto"), batch["image"][4:])
    assert np.array_equal(found["auto"][0][4], one[0].numpy())
    torch.testing.assert_close(found["auto"][2][4:], logits, rtol=1e-5, atol=1e-5)
