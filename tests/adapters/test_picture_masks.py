"""The one reader of index masks, as all data sets of pictures use it."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wsss_adapters.pictures.masks import check_size, mask_size, read_binary_mask, read_codes, read_mask
from wsss_toolkit.errors import DataError

VALUES = np.array([[0, 1, 2], [2, 1, 0]], np.uint8)
PICTURE = Path("a.jpg")


def saved(path, image, **options):
    image.save(path, **options)
    return path


def two_bits(path):
    """Write `VALUES` as grey PNG of 2 bits, which Pillow does not write by itself."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = b"".join(b"\0" + bytes([int(a) << 6 | int(b) << 4 | int(c) << 2]) for a, b, c in VALUES)
    head = struct.pack(">IIBBBBB", 3, 2, 2, 0, 0, 0, 0)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + parts)
    return path


@pytest.mark.parametrize(
    "make",
    [
        lambda path: saved(path, Image.fromarray(VALUES)),
        lambda path: saved(path, Image.fromarray(VALUES.astype(np.uint16))),
        lambda path: saved(path, Image.fromarray(np.dstack([VALUES] * 3))),  # a habit of drawing programs
        lambda path: saved(path, Image.fromarray(np.dstack([*[VALUES] * 3, np.full_like(VALUES, 255)]))),
        lambda path: saved(path, Image.fromarray(VALUES.astype(np.float32)), format="TIFF"),
        lambda path: saved(path.with_suffix(".bmp"), Image.fromarray(VALUES)),
    ],
    ids=["grey", "16 bit", "colours", "opaque", "whole fractions", "bmp"],
)
@pytest.mark.parametrize("as_stored", [False, True])
def test_values_however_they_are_stored(tmp_path, make, as_stored):
    assert np.array_equal(read_codes(make(tmp_path / "m.png"), as_stored=as_stored), VALUES)


def test_one_bit_is_zero_and_one(tmp_path):
    path = saved(tmp_path / "m.png", Image.fromarray(VALUES > 0))
    for as_stored in (False, True):
        assert np.array_equal(read_codes(path, as_stored=as_stored), VALUES > 0)


def test_published_masks_count_as_stored_and_others_as_programs_show_them(tmp_path):
    path = two_bits(tmp_path / "m.png")
    assert np.array_equal(read_codes(path, as_stored=True), VALUES)
    assert np.array_equal(read_codes(path), VALUES * 85)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = saved(tmp_path / "t.png", Image.fromarray(VALUES), exif=exif)
    assert np.array_equal(read_codes(turned, as_stored=True), VALUES)
    assert np.array_equal(read_codes(turned), np.rot90(VALUES, -1))
    assert mask_size(turned) == mask_size(turned, (2, 3)) == (2, 3) and mask_size(turned, (3, 2)) == (3, 2)


def test_codes_become_indices_and_what_is_ignored_255(tmp_path):
    path = saved(tmp_path / "m.png", Image.fromarray(VALUES))
    assert read_mask(path, PICTURE, (2, 3), {0: 7, 1: 0}, (2,)).tolist() == [[7, 0, 255], [255, 0, 7]]
    assert read_mask(path, PICTURE, (2, 3), {0: 7, 1: 0, 2: 3}, (2,)).max() == 7, "a code wins over `ignored`"
    with pytest.raises(DataError, match=r"m\.png: unknown label codes 2; known are 0, 1"):
        read_mask(path, PICTURE, (2, 3), {0: 7, 1: 0})
    with pytest.raises(DataError, match=r"m\.png: unknown label codes 2; look again"):
        read_mask(path, PICTURE, (2, 3), {0: 7, 1: 0}, fix="look again")


def test_masks_of_another_size_and_unreadable_headers(tmp_path):
    path = saved(tmp_path / "m.png", Image.fromarray(VALUES))
    for read in (
        lambda size: read_mask(path, PICTURE, size, {}),
        lambda size: read_binary_mask(path, PICTURE, size, 1, 0),
    ):
        with pytest.raises(
            DataError, match=r"m\.png: is 2 x 3 pixels, its picture 2 x 4; resize it to the size of a\.jpg"
        ):
            read((2, 4))
        with pytest.raises(DataError, match=r"its picture 3 x 2; turn it as EXIF turns a\.jpg"):
            read((3, 2))
    path.write_bytes(path.read_bytes()[:20])
    assert mask_size(path) is None
    check_size(None, path, (2, 3), PICTURE)  # who reads it names what is wrong


@pytest.mark.parametrize(
    ("image", "options", "message"),
    [
        (VALUES, {"format": "JPEG"}, "masks cannot be JPEG, which changes their values"),
        (np.dstack([VALUES, VALUES, VALUES + 1]), {}, "has colours; masks hold one number for each pixel"),
        (VALUES + np.float32(0.5), {"format": "TIFF"}, "holds fractions"),
    ],
    ids=["JPEG under another name", "colours", "fractions"],
)
def test_what_is_no_mask_of_numbers(tmp_path, image, options, message):
    with pytest.raises(DataError, match=rf"m\.png: {message}"):
        read_codes(saved(tmp_path / "m.png", Image.fromarray(image), **options))


def test_black_and_white_from_128_on_or_half_of_the_largest(tmp_path):
    grey = np.array([[0, 127, 128, 255]], np.uint8)
    path = saved(tmp_path / "m.png", Image.fromarray(grey))
    assert read_binary_mask(path, PICTURE, (1, 4), 3, 1).tolist() == [[1, 1, 3, 3]]
    deep = saved(tmp_path / "d.png", Image.fromarray(np.array([[0, 499, 500, 1000]], np.uint16)))
    assert read_binary_mask(deep, PICTURE, (1, 4), 3, 1).tolist() == [[1, 1, 3, 3]]
    nothing = saved(tmp_path / "n.png", Image.fromarray(np.zeros((1, 4), np.uint16)))
    assert read_binary_mask(nothing, PICTURE, (1, 4), 3, 1).tolist() == [[1, 1, 1, 1]]
    exif = Image.Exif()
    exif[0x0112] = 3
    turned = saved(tmp_path / "t.png", Image.fromarray(grey), exif=exif)
    assert read_binary_mask(turned, PICTURE, (1, 4), 3, 1).tolist() == [[3, 3, 1, 1]]
