"""What the segmentation network's training and validation steps hand to network and loss."""

import pytest
import torch
from torch import nn

from wsss_toolkit.images.augment import apply_symmetry
from wsss_toolkit.recipe.schema import Segmentation
from wsss_toolkit.segmentation.network import SegmentationTask
from wsss_toolkit.segmentation.strong_augment import Batch, cutmix

SECTION = {"encoder": "resnet18", "weights": "none", "epochs": 2, "lr": 0.5}


@pytest.fixture
def recorded(monkeypatch):
    """Return a list that gets the arguments of each call of network and loss, one entry per step."""
    calls = []

    def predict(network, images, **options):
        calls.append({"images": images, **options})
        return network(images)

    def loss(logits, masks, *, dice_weight, class_weights):
        calls[-1].update(masks=masks, dice_weight=dice_weight, class_weights=class_weights)
        return logits.mean()

    monkeypatch.setattr("wsss_toolkit.segmentation.network.predict", predict)
    monkeypatch.setattr("wsss_toolkit.segmentation.network.segmentation_loss", loss)
    return calls


def task_of(**section):
    task = SegmentationTask(
        nn.Conv2d(3, 2, 1),
        Segmentation.model_validate({**SECTION, **section}),
        seed=1,
        steps_per_epoch=3,
    )
    task.log = lambda *arguments, **options: None
    return task


def batch():
    numbers = torch.Generator().manual_seed(0)
    return {
        "image": torch.randn(8, 3, 8, 8, generator=numbers),
        "valid": torch.rand(8, 8, 8, generator=numbers) > 0.2,
        "present": torch.ones(8, 1, dtype=torch.bool),
        "mask": torch.randint(0, 2, (8, 8, 8), generator=numbers),
        "code": torch.arange(8),
    }


def targets(given):
    """Return what is to be learned, by hand: 255 without data."""
    return torch.where(given["valid"], given["mask"], 255)


def test_training_turns_images_and_masks_alike(recorded):
    given = batch()
    task_of().training_step(given, 0)
    for name, expected in (("images", given["image"]), ("valid", given["valid"]), ("masks", targets(given))):
        torch.testing.assert_close(recorded[0][name], apply_symmetry(expected, given["code"]))
    assert recorded[0]["present"].all()


def test_validation_ignores_what_training_ignores_and_turns_nothing(recorded):
    given = batch()
    task_of().eval().validation_step(given, 0)
    assert recorded[0]["images"].equal(given["image"])
    assert recorded[0]["masks"].equal(targets(given))


def test_strong_changes_are_made_in_training_only(recorded):
    given = batch()
    task = task_of(augment={"erase": 1.0})
    task.training_step(given, 0)
    task.validation_step(given, 0)
    erased = (recorded[0]["masks"] == 255) & apply_symmetry(given["valid"], given["code"])
    assert erased.flatten(1).any(dim=1).all()
    assert recorded[1]["masks"].equal(targets(given))


def test_the_network_warms_up_for_an_epoch():
    configured = task_of().configure_optimizers()
    optimizer, scheduler = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
    rates = []
    for _ in range(6):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates == pytest.approx([0.125, 0.25, 0.375, 0.5, 0.375, 0.125])


def test_a_mixed_in_rectangle_brings_its_missing_pixels_along():
    values = torch.arange(4.0).view(4, 1, 1)
    valid = (torch.arange(4) % 2 == 0).view(4, 1, 1).expand(4, 8, 8)
    plain = Batch(values[:, None].expand(4, 1, 8, 8), torch.zeros(4, 8, 8).long(), valid, torch.ones(4, 1).bool())
    mixed = cutmix(plain, 1.0, torch.Generator().manual_seed(0))
    assert (mixed.images[:, 0] != values).flatten(1).any(dim=1).all()
    assert mixed.valid.equal(mixed.images[:, 0] % 2 == 0)
