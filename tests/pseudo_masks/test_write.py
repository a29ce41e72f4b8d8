"""From images to masks: which tokens and maps are computed, and how many images at once."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from fake_classifier import FakeClassifier

from wsss_toolkit.domain import ClassTable
from wsss_toolkit.heads.classifier import Classifier
from wsss_toolkit.model.vit import MultiTokenViT
from wsss_toolkit.pseudo_masks import class_maps as maps_module
from wsss_toolkit.pseudo_masks.assign import active_classes, assign
from wsss_toolkit.pseudo_masks.class_maps import class_maps
from wsss_toolkit.pseudo_masks.mapper import Mapper
from wsss_toolkit.pseudo_masks.write import write_pseudo_masks
from wsss_toolkit.recipe.schema import PseudoMasks

CLASSES = ClassTable(("none", "cat", "dog", "bird"), ((0, 0, 0),) * 4, background=0)
LABELS = torch.tensor([[0, 1, 0], [0, 1, 0]])


def noise(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(4))


def mapper(model, section, exclusive=False, batch_size=None):
    return Mapper(model, section, CLASSES, None, exclusive, torch.device("cpu"), batch_size)


def label(model, section, images, labels=None, **options):
    valid = torch.ones(len(images), *images.shape[-2:], dtype=torch.bool)
    present = torch.ones(len(images), 1, dtype=torch.bool)
    return mapper(model, section, **options).masks(images, valid, present, labels=labels)


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
    monkeypatch.setattr(Classifier, "selects_classes", False)
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
        patch.setattr(Classifier, "selects_classes", False)
        label(model, PseudoMasks(classes="labels", source="patch_scores"), noise(2, 3, 32, 32), LABELS)
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

    masks = Mapper.masks

    def recorded(self, images, *arguments, **options):
        at_once.append(len(images))
        return masks(self, images, *arguments, **options)

    monkeypatch.setattr(Mapper, "masks", recorded)
    batch = {
        "image": noise(5, 3, 64, 32),
        "valid": torch.ones(5, 64, 32, dtype=torch.bool),
        "present": torch.ones(5, 1, dtype=torch.bool),
        "labels": torch.zeros(5, 0),
    }
    found = {}
    for window in ("none", "auto"):
        monkeypatch.setattr("wsss_toolkit.pseudo_masks.mapper.batches_with_keys", lambda *_: [("abcde", batch)])
        found[window] = list(mapper(model, PseudoMasks(window=window), batch_size=5).over(None, "masks"))
    # Five images of 32 x 32 pixels are as much as two and a half of 64 x 32.
    assert at_once == [5, 2, 2, 1]
    assert "".join(one.key for one in found["auto"]) == "abcde"
    one, _, logits = label(model, PseudoMasks(window="auto"), batch["image"][4:])
    assert np.array_equal(found["auto"][4].mask, one[0].numpy())
    np.testing.assert_allclose(found["auto"][4].probabilities, logits[0].sigmoid().numpy(), rtol=1e-5, atol=1e-5)


def test_the_classifier_sees_images_as_large_as_in_training_and_maps_have_their_size():
    model = FakeClassifier()
    smaller = replace(mapper(model, PseudoMasks()), resize=16)
    images, valid, present = noise(1, 2, 32, 48), torch.ones(1, 32, 48, dtype=torch.bool), torch.ones(1, 1)
    whole = smaller.maps(images, valid, present)
    part_of_larger = smaller.maps(images, valid, present, reference=(64, 64))
    assert [seen.shape[-2:] for seen in model.seen] == [(16, 16), (8, 12)]
    assert whole.maps.shape == part_of_larger.maps.shape == (1, 2, 32, 48)


def test_an_image_without_any_class_is_all_background_where_there_is_one():
    mask, *_ = label(FakeClassifier(offset=-9.0), PseudoMasks(background="threshold"), noise(1, 2, 8, 8))
    assert (mask == 0).all()


def test_the_share_of_windows_that_show_a_class_reaches_the_assignment():
    found = mapper(FakeClassifier(), PseudoMasks()).maps(noise(1, 2, 8, 8), torch.ones(1, 8, 8) > 0, torch.ones(1, 1))
    found = found._replace(coverage=torch.tensor([[1.0, 0.01]]))
    mask, _ = mapper(None, PseudoMasks()).assign(found, torch.ones(1, 8, 8) > 0)
    assert (mask == 1).all(), "the mean of the second map is 100 times as large over the share that shows it"


def test_confidence_is_given_in_255ths_rounded(monkeypatch):
    batch = {"image": noise(1, 2, 1, 3), "valid": torch.ones(1, 1, 3) > 0, "present": torch.ones(1, 1)}
    found = torch.zeros(1, 1, 3, dtype=torch.uint8), torch.tensor([[[0.0, 0.25, 1.0]]]), torch.zeros(1, 3)
    monkeypatch.setattr(Mapper, "masks", lambda self, *arguments, **options: found)
    monkeypatch.setattr("wsss_toolkit.pseudo_masks.mapper.batches_with_keys", lambda *_: [("a", batch)])
    (one,) = mapper(None, PseudoMasks()).over(None, "masks")
    assert one.confidence.tolist() == [[0, 64, 255]]


def test_labels_of_training_images_choose_the_classes_of_their_masks_and_of_no_others(model, tmp_path):
    made = mapper(model, PseudoMasks(classes="training_labels", background="threshold"), batch_size=2)
    images = noise(2, 3, 32, 32)
    item = {"valid": torch.ones(32, 32, dtype=torch.bool), "present": torch.ones(1, dtype=torch.bool)}
    batches = [
        {**item, "image": image, "labels": torch.tensor([0.0, 1.0, 0.0]), "index": torch.tensor(place)}
        for place, image in enumerate(images)
    ]

    class Images(list):
        keys = ("a", "b")

    class Writes:
        classes = CLASSES

        def write_mask(self, file, key, mask, confidence, tags):
            written[file.parent.name, key] = torch.from_numpy(mask)
            return file

    written = {}
    write_pseudo_masks(made, Writes(), {"train": Images(batches), "val": Images(batches)}, tmp_path, {})
    known, _, _ = label(model, PseudoMasks(classes="labels", background="threshold"), images, LABELS)
    predicted, _, _ = label(model, PseudoMasks(background="threshold"), images)
    assert not torch.equal(known, predicted)
    for place, key in enumerate("ab"):
        assert torch.equal(written["train", key], known[place])
        assert torch.equal(written["val", key], predicted[place])
