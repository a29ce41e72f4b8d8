"""What a trained network's masks are made of, image by image."""

import numpy as np
import pytest
import torch

from wsss_toolkit.domain import ChannelTable, Sample, Sensor
from wsss_toolkit.images.dataset import ImageDataset
from wsss_toolkit.images.scaling import BandScaling, Preprocessing
from wsss_toolkit.recipe.schema import Segmentation
from wsss_toolkit.segmentation.predict import NetworkMasks

SIDE = 32
PREPARE = Preprocessing(ChannelTable((Sensor("optical", ("B02",)),)), (BandScaling(-9, 9, 0, 1),), "early")


class LeftMissing:
    """Images whose left half holds no data."""

    def read(self, key, channels):
        image = np.ones((1, SIDE, SIDE), np.float32)
        image[..., : SIDE // 2] = np.nan
        return Sample(key, {"optical": image})


class Mode(torch.nn.Module):
    """Says class 2 in training mode and class 1, with probability 0.5, in evaluation mode."""

    def __init__(self):
        super().__init__()
        self.sizes = []

    def forward(self, images):
        self.sizes.append(tuple(images.shape[-2:]))
        probabilities = torch.tensor([0.3, 0.1, 0.6] if self.training else [0.3, 0.5, 0.2])
        return probabilities.log().view(1, 3, 1, 1).expand(len(images), -1, *images.shape[-2:])


def mask_of(network, **section):
    masks = NetworkMasks(network, Segmentation(**section), torch.device("cpu"))
    ((_, mask, confidence),) = masks.over(ImageDataset(LeftMissing(), ("a",), PREPARE), "masks")
    return mask, confidence


def test_the_network_is_in_evaluation_mode():
    mask, _ = mask_of(Mode().train())
    assert (mask[:, SIDE // 2 :] == 1).all()


def test_missing_pixels_have_no_class_and_no_confidence():
    mask, confidence = mask_of(Mode())
    assert (mask[:, : SIDE // 2] == 255).all() and (confidence[:, : SIDE // 2] == 0).all()
    assert (confidence[:, SIDE // 2 :] == round(0.5 * 255)).all()


@pytest.mark.parametrize(("side", "seen"), [(None, SIDE), (64, 64)])
def test_the_network_sees_images_at_the_recipes_size(side, seen):
    network = Mode()
    mask, _ = mask_of(network, image_size=side)
    assert network.sizes == [(seen, seen)] and mask.shape == (SIDE, SIDE)
