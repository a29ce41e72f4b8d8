import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from wsss_toolkit.segmentation.class_balance import class_weights
from wsss_toolkit.segmentation.objective import segmentation_loss


def test_cross_entropy_is_the_mean_over_labelled_pixels():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 4, generator=generator)
    masks = torch.randint(0, 3, (2, 4, 4), generator=generator).byte()
    masks[:, 0] = 255
    expected = F.cross_entropy(logits, masks.long(), ignore_index=255)
    torch.testing.assert_close(segmentation_loss(logits, masks, dice_weight=0.0), expected)


def test_dice_by_hand():
    # One image, two pixels, two classes; probabilities of class 0: 0.8 and 0.4; truth 0 and 1.
    probabilities = torch.tensor([[[[0.8, 0.4]], [[0.2, 0.6]]]])
    masks = torch.tensor([[[0, 1]]])
    loss = segmentation_loss(probabilities.log(), masks, dice_weight=1.0)
    cross_entropy = -(torch.tensor([0.8, 0.6]).log().mean())
    dice = ((1 - 2 * 0.8 / (1.2 + 1)) + (1 - 2 * 0.6 / (0.8 + 1))) / 2
    torch.testing.assert_close(loss, cross_entropy + dice)


def test_ignored_pixels_have_no_gradient():
    logits = torch.randn(1, 3, 2, 2, generator=torch.Generator().manual_seed(1)).requires_grad_()
    masks = torch.tensor([[[0, 255], [2, 1]]])
    segmentation_loss(logits, masks, dice_weight=1.0).backward()
    assert logits.grad is not None
    assert (logits.grad[0, :, 0, 1] == 0).all() and (logits.grad[0, :, 0, 0] != 0).all()


def test_a_batch_without_labelled_pixels_is_safe():
    logits = torch.randn(2, 3, 2, 2).requires_grad_()
    loss = segmentation_loss(logits, torch.full((2, 2, 2), 255, dtype=torch.uint8), dice_weight=1.0)
    loss.backward()
    assert loss.item() == 0.0
    assert logits.grad is not None and (logits.grad == 0).all()


def test_pixels_weigh_as_their_class():
    logits, weights = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(2)), torch.tensor([0.5, 2.0, 3.0])
    masks = torch.arange(32).view(2, 4, 4) % 3
    masks[0, 0] = 255
    errors = F.cross_entropy(logits, masks, ignore_index=255, reduction="none")
    known = masks < 255
    expected = (errors[known] * weights[masks[known]]).mean()
    torch.testing.assert_close(segmentation_loss(logits, masks, dice_weight=0.0, class_weights=weights), expected)


@pytest.mark.parametrize("balance", [0.5, 1.0])
def test_the_rarer_a_class_the_more_it_weighs_and_a_pixel_weighs_one_on_average(tmp_path, balance):
    mask = np.zeros((10, 10), np.uint8)
    mask[:2], mask[2, :5], mask[9] = 1, 2, 255
    Image.fromarray(mask).save(tmp_path / "a.png")
    Image.fromarray(np.zeros((1, 10), np.uint8)).save(tmp_path / "b.png")
    found = class_weights([tmp_path / "a.png", tmp_path / "b.png"], 4, balance)
    shares = np.array([75, 20, 5]) / 100
    np.testing.assert_allclose(found[:3], shares**-balance / (shares ** (1 - balance)).sum(), rtol=1e-5)
    assert found[3] == 0
    assert (found[:3].numpy() * shares).sum() == pytest.approx(1)
    assert class_weights([tmp_path / "a.png"], 4, 0.0) is None
