import numpy as np
import pytest
import torch

from wsss_toolkit.domain import ChannelTable, Sample, Sensor
from wsss_toolkit.errors import DataError
from wsss_toolkit.images.mosaic import MosaicImages, smooth_shapes

CHANNELS = ChannelTable((Sensor("optical", ("B02", "B03")),))
KEYS = ("a", "b", "c", "d", "e")
LABELS = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 1], [0, 0, 1]], np.float32)


class Plain:
    """Images that hold the place of their key everywhere."""

    def __init__(self, sizes=None):
        self.sizes = sizes or {}

    def read(self, key, channels):
        side = self.sizes.get(key, 24)
        return Sample(key, {"optical": np.full((2, side, side), KEYS.index(key), np.float32)})


def mosaics(share=2.0, seed=0, labels=LABELS, **options):
    return MosaicImages(Plain(**options), KEYS, labels, share, seed)


def test_mosaics_join_images_of_one_class_and_have_both_labels():
    made = mosaics()
    assert made.keys[:5] == KEYS and len(made.keys) == len(made.labels) == 15
    assert np.array_equal(made.labels[:5], LABELS) and made.labels.dtype == np.float32
    for key, labels in zip(made.keys[5:], made.labels[5:], strict=True):
        bands = made.read(key, CHANNELS).bands["optical"]
        assert np.array_equal(bands[0], bands[1]), "one shape for all bands"
        shown, counts = np.unique(bands[0], return_counts=True)
        assert len(shown) == 2 and 3 not in shown, "d shows two classes: nobody knows where"
        assert 0.2 < counts.min() / counts.sum() <= 0.5
        assert np.array_equal(labels, LABELS[shown.astype(int)].sum(axis=0)), "two classes, and both are there"
    assert {tuple(row) for row in made.labels[5:]} == {(1, 1, 0), (1, 0, 1), (0, 1, 1)}


def test_images_themselves_are_read_as_they_are():
    assert np.array_equal(mosaics().read("c", CHANNELS).bands["optical"], Plain().read("c", CHANNELS).bands["optical"])


def test_mosaics_depend_on_the_seed_alone():
    def drawn(seed):
        made = mosaics(seed=seed)
        return np.stack([made.read(key, CHANNELS).bands["optical"] for key in reversed(made.keys)])

    first, other = drawn(0), drawn(1)
    assert np.array_equal(first, drawn(0))
    # The image in the corner against the other: ten shapes of each seed, each another.
    shapes = [(image == image[0, 0]).tobytes() for image in (*first[:10, 0], *other[:10, 0])]
    assert len(set(shapes)) == 20


def test_one_class_alone_is_not_enough():
    with pytest.raises(DataError, match=r"1 of 3 classes have such images; cut smaller tiles, or set train\.mosaics"):
        mosaics(labels=np.array([[1, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 1], [1, 1, 1]], np.float32))


def test_images_of_several_sizes_are_named():
    made = mosaics(sizes={"c": 20})
    with pytest.raises(DataError, match=r"differs from . in size or sensors, and train\.mosaics cuts the two together"):
        for key in made.keys:
            made.read(key, CHANNELS)


def test_shapes_are_smooth():
    shapes = smooth_shapes(20, 64, 48, torch.Generator().manual_seed(0))
    assert shapes.shape == (20, 64, 48) and shapes.dtype == torch.bool
    share = shapes.flatten(1).float().mean(dim=1)
    assert (share > 0.24).all() and (share < 0.76).all() and share.std() > 0.05
    borders = (shapes[:, 1:] != shapes[:, :-1]).float().mean(dim=(1, 2))
    assert (borders > 0.01).all() and (borders < 0.12).all(), "neighbours are alike; noise has 0.5"
