"""Masks of another kind than the recipe reads are refused, with what they hold and what to do."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from wsss_adapters.pictures.mask_values import shown_values
from wsss_adapters.pictures.masks import read_binary_mask
from wsss_toolkit.errors import DataError

DISC = np.zeros((60, 80), np.uint8)
DISC[20:40, 30:50] = 1


def polyp(path):
    """Return how many pixels of a mask are read as the class."""
    with Image.open(path) as mask:
        size = mask.height, mask.width
    return int((read_binary_mask(path, path, size, 1, 0) == 1).sum())


def indexed(values, *colors):
    picture = Image.fromarray(values, "P")
    picture.putpalette([level for color in colors for level in color])
    return picture


READ = {
    "black and white": Image.fromarray(DISC * 255),
    "zero and one": Image.fromarray(DISC),
    "one bit": Image.fromarray(DISC * 255).convert("1"),
    "palette of VOC": indexed(DISC, (0, 0, 0), (128, 0, 0)),
    "black and white in a palette": indexed(DISC * 255, *[(n, n, n) for n in range(256)]),
    "black and white in colours": Image.fromarray(DISC * 255).convert("RGB"),
    "with an opaque channel": Image.fromarray(DISC * 255).convert("RGBA"),
    "sixteen bits": Image.fromarray(DISC.astype(np.uint16) * 65535),
    "zero and one in sixteen bits": Image.fromarray(DISC.astype(np.uint16)),
    "slightly grey": Image.fromarray(DISC * 250 + 3),
}


@pytest.mark.parametrize("name", READ)
def test_masks_that_say_one_thing(tmp_path, name):
    READ[name].save(tmp_path / "m.png")
    assert polyp(tmp_path / "m.png") == 400
    Image.fromarray(DISC * 0).save(tmp_path / "empty.png")
    assert polyp(tmp_path / "empty.png") == 0


def test_smooth_edges_and_jpeg(tmp_path):
    soft = Image.fromarray(DISC * 255).filter(ImageFilter.BoxBlur(1))
    soft.save(tmp_path / "soft.png")
    assert abs(polyp(tmp_path / "soft.png") - 400) <= 40
    for quality in (40, 75, 95):
        soft.save(tmp_path / "soft.jpg", quality=quality)
        assert abs(polyp(tmp_path / "soft.jpg") - 400) <= 60
        Image.fromarray(DISC * 8).save(tmp_path / "empty.jpg", quality=quality)
        assert polyp(tmp_path / "empty.jpg") == 0


THREE = DISC.copy()
THREE[45:55, 10:20] = 2

REFUSED = {
    "red": (Image.fromarray(DISC[..., None] * np.array([255, 0, 0], np.uint8)), "#000000, #ff0000"),
    "CVAT": (Image.fromarray(DISC[..., None] * np.array([250, 50, 83], np.uint8)), "#000000, #fa3253"),
    "two colours": (indexed(THREE, (0, 0, 0), (255, 0, 0), (0, 255, 0)), "#000000, #ff0000, #00ff00"),
    "another index": (Image.fromarray(DISC * 2), "holds 0 and 2"),
    "a faint grey": (Image.fromarray(DISC * 38), "holds 0 and 38"),
    "indices": (Image.fromarray(THREE), "holds 0, 1 and 2"),
    "three levels": (Image.fromarray((THREE * 127).astype(np.uint8)), "holds 0, 127 and 254"),
    "another index in sixteen bits": (Image.fromarray(DISC.astype(np.uint16) * 2), "holds 0 and 2"),
    "a palette upside down": (indexed(DISC, (255, 255, 255), (0, 0, 0)), "index 0 is not black"),
    "transparent": (Image.fromarray(np.dstack([DISC * 0 + 255] * 3 + [DISC * 255])), "is transparent in places"),
    "probabilities": (Image.fromarray(np.tile(np.arange(60, 220, 2, dtype=np.uint8), (60, 1)) // 8 * 8), "holds"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_masks_that_may_say_something_else(tmp_path, name):
    picture, message = REFUSED[name]
    picture.save(tmp_path / "m.png")
    with pytest.raises(DataError) as caught:
        polyp(tmp_path / "m.png")
    assert message in str(caught.value) and "black and white (0 and 255)" in str(caught.value)
    assert str(tmp_path / "m.png") in str(caught.value)


def test_values_in_words():
    assert shown_values(np.array([7])) == "7"
    assert shown_values(np.array([0.5, 0])) == "0 and 0.5"
    assert shown_values(np.arange(9)) == "0, 1, 2, 3, 4, 5, ..."
