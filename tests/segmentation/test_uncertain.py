import numpy as np
import pytest
import torch
from PIL import Image

from wsss_toolkit.errors import DataError
from wsss_toolkit.images.dataset import read_confidence
from wsss_toolkit.recipe.schema import Segmentation
from wsss_toolkit.segmentation.network import SegmentationTask
from wsss_toolkit.segmentation.objective import segmentation_loss
from wsss_toolkit.segmentation.uncertain import ignore_levels, ignore_uncertain, levels_of, pixel_weights


def write(folder, name, mask, confidence):
    Image.fromarray(np.array(mask, np.uint8)).save(folder / f"{name}.png")
    Image.fromarray(np.array(confidence, np.uint8)).save(folder / f"{name}.confidence.png")
    return folder / f"{name}.png"


def test_levels_by_hand():
    counts = np.zeros((4, 256), np.int64)
    counts[0, [10, 20, 30, 40]] = 25  # a quarter each
    counts[1, [0, 255]] = (90, 10)
    counts[2, 255] = 7
    assert levels_of(counts, 0.5).tolist() == [30, 0, 255, 0]
    assert levels_of(counts, 0.49).tolist() == [20, 0, 255, 0]
    assert levels_of(counts, 0.95).tolist() == [40, 255, 255, 0]


def test_each_class_loses_its_own_least_confident_pixels(tmp_path):
    """A small class of which the classifier is never sure keeps as large a share as a large one."""
    files = [
        write(tmp_path, "a", [[0, 0, 0, 0]], [[200, 210, 220, 230]]),
        write(tmp_path, "b.c", [[1, 1, 255, 0]], [[20, 40, 0, 240]]),
    ]
    levels = ignore_levels(files, 0.5)
    masks = torch.tensor([[[0, 0, 0, 0]], [[1, 1, 255, 0]]])
    confidence = torch.tensor([[[200, 210, 220, 230]], [[20, 40, 0, 240]]], dtype=torch.uint8)
    kept = ignore_uncertain(masks, confidence, levels)
    assert kept.tolist() == [[[255, 255, 0, 0]], [[255, 1, 255, 0]]]


def test_a_missing_confidence_layer_says_what_to_do(tmp_path):
    path = write(tmp_path, "a", [[0]], [[9]])
    assert read_confidence(path).tolist() == [[9]]
    (tmp_path / "a.confidence.png").unlink()
    with pytest.raises(DataError, match=r"a.confidence.png: this pseudo-mask has no confidence layer; set "):
        read_confidence(path)


def test_weights_are_powers_of_the_confidence():
    confidence = torch.tensor([[[0, 51, 255]]], dtype=torch.uint8)
    torch.testing.assert_close(pixel_weights(confidence, 2.0), torch.tensor([[[0.0, 0.04, 1.0]]]))


def test_equal_weights_give_the_unweighted_loss():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 4, 5, 5, generator=generator)
    masks = torch.randint(0, 3, (2, 5, 5), generator=generator)
    masks[:, 0] = 255
    plain = segmentation_loss(logits, masks, dice_weight=0.7)
    for weight in (1.0, 0.3):
        weights = torch.full(masks.shape, weight)
        torch.testing.assert_close(segmentation_loss(logits, masks, dice_weight=0.7, weights=weights), plain)


def test_the_weighted_loss_by_hand():
    # Two pixels, two classes; probabilities of class 0: 0.8 and 0.4; truth 0 and 1; weights 1 and 1/2.
    probabilities = torch.tensor([[[[0.8, 0.4]], [[0.2, 0.6]]]])
    masks, weights = torch.tensor([[[0, 1]]]), torch.tensor([[[1.0, 0.5]]])
    entropy = -(torch.tensor(0.8).log() + 0.5 * torch.tensor(0.6).log()) / 1.5
    dice = ((1 - 2 * 0.8 / (0.8 + 0.2 + 1)) + (1 - 2 * 0.3 / (0.2 + 0.3 + 0.5))) / 2
    found = segmentation_loss(probabilities.log(), masks, dice_weight=1.0, weights=weights)
    torch.testing.assert_close(found, entropy + dice)


def test_pixels_without_weight_have_no_gradient_and_none_at_all_is_safe():
    logits = torch.randn(1, 3, 2, 2, generator=torch.Generator().manual_seed(1)).requires_grad_()
    masks, weights = torch.tensor([[[0, 1], [2, 255]]]), torch.tensor([[[1.0, 0.0], [0.5, 1.0]]])
    segmentation_loss(logits, masks, dice_weight=1.0, weights=weights).backward()
    assert (logits.grad[0, :, 0, 1] == 0).all() and (logits.grad[0, :, 1, 1] == 0).all()
    assert (logits.grad[0, :, 0, 0] != 0).all() and (logits.grad[0, :, 1, 0] != 0).all()
    logits.grad = None
    loss = segmentation_loss(logits, masks, dice_weight=1.0, weights=torch.zeros(1, 2, 2))
    loss.backward()
    assert loss.item() == 0.0 and (logits.grad == 0).all()


@pytest.mark.parametrize("section", [{"confidence_weight": 4.0}, {"ignore_share": 0.5}, {}])
def test_a_network_learns_from_the_pixels_that_count_alone(section):
    """Half of the pixels say the contrary with little confidence; a linear network follows those that count."""
    bright = torch.arange(8).view(1, 1, 1, 8) % 2
    images = bright.float().expand(2, 1, 8, 8) * 2 - 1
    masks = bright[:, 0].expand(2, 8, 8).clone()
    masks[:, :5] = 1 - masks[:, :5]  # most pixels are wrong
    confidence = torch.full((2, 8, 8), 255, dtype=torch.uint8)
    confidence[:, :5] = 25
    levels = torch.zeros(256, dtype=torch.int64)
    levels[:2] = 100
    torch.manual_seed(0)
    network = torch.nn.Conv2d(1, 2, 1)
    chosen = Segmentation(augment={"horizontal_flip": False}, lr=0.1, **section)
    task = SegmentationTask(
        network, chosen, seed=0, steps_per_epoch=1, levels=levels if "ignore_share" in section else None
    )
    batch = {
        "mask": masks,
        "confidence": confidence,
        "valid": torch.ones(2, 8, 8, dtype=torch.bool),
    }
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.1)
    for _ in range(60):
        optimizer.zero_grad()
        targets, weights = task._targets(batch)
        segmentation_loss(network(images), targets, dice_weight=1.0, weights=weights).backward()
        optimizer.step()
    right = (network(images).argmax(dim=1) == bright[:, 0]).float().mean()
    assert right == (1.0 if section else 0.0)
