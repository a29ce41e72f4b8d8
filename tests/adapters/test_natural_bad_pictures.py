"""Pictures of `coco` and `ade20k` that are damaged, turned or not in red, green and blue; those of `voc` have a file
of their own."""

import numpy as np
import pytest
from fake_natural import ADE, COCO_SIZE, exif_photo, photo, write_ade, write_coco
from PIL import Image

from wsss_adapters.natural.ade20k import Ade20k, Ade20kOptions
from wsss_adapters.natural.coco import Coco
from wsss_adapters.natural.coco_options import CocoOptions
from wsss_toolkit.domain import ChannelTable
from wsss_toolkit.errors import DataError


@pytest.fixture(params=["coco", "ade20k"])
def one(request, tmp_path):
    """An adapter, and one of its images with file and size."""
    if request.param == "coco":
        adapter = Coco(CocoOptions(adapter="coco", root=write_coco(tmp_path)))
        return adapter, "COCO_train2014_000000000100", COCO_SIZE
    adapter = Ade20k(Ade20kOptions(adapter="ade20k", root=write_ade(tmp_path)))
    return adapter, next(iter(ADE["training"])), (18, 24)


def read(adapter, key):
    return adapter.read(key, ChannelTable(adapter.sensors)).bands["rgb"].transpose(1, 2, 0)


def test_cmyk_and_palette_pictures_become_red_green_and_blue(one):
    adapter, key, size = one
    path, pixels = adapter.picture(key), photo(size, 4)
    Image.fromarray(pixels).convert("CMYK").save(path, quality=100)
    with Image.open(path) as stored:
        assert stored.mode == "CMYK"
    assert np.abs(read(adapter, key) - pixels).mean() < 5, "inverted inks would be far off"
    few = Image.fromarray(pixels).quantize(200)
    few.save(path, format="PNG")  # under a name that says JPEG
    assert np.array_equal(read(adapter, key), np.asarray(few.convert("RGB")))


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (lambda bytes_: b"", r"is empty \(0 bytes\)"),
        (lambda bytes_: bytes_[: len(bytes_) // 2], "is no readable picture, truncated or damaged"),
        (lambda bytes_: b"<html>404</html>", "is an HTML file, no picture that is read; copy or download it again"),
        (lambda bytes_: b"\xff\xd8" + bytes(len(bytes_)), "is no readable picture"),
    ],
    ids=["empty", "truncated", "no picture", "zeros"],
)
def test_unreadable_pictures_are_named(one, content, what):
    adapter, key, _ = one
    path = adapter.picture(key)
    path.write_bytes(content(path.read_bytes()))
    with pytest.raises(DataError, match=rf"{path.name}: .*{what}"):
        read(adapter, key)


def test_exif_rotation_that_fits_nothing_is_named(one):
    adapter, key, (height, width) = one
    exif_photo(adapter.picture(key), (height, width + 8), 6)
    with pytest.raises(DataError, match="turned by EXIF, its annotation"):
        read(adapter, key)
