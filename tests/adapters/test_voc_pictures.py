"""Bad and unusual pictures, shown on Pascal VOC; the other adapters for photographs read them by the same function."""

import struct

import numpy as np
import pytest
from fake_natural import exif_photo, photo, save_palette, voc_xml, write_voc
from PIL import Image

from wsss_adapters.natural.voc import Voc, VocOptions
from wsss_adapters.pictures.decoding import decode_picture, picture_size
from wsss_toolkit.domain import ChannelTable, Sensor
from wsss_toolkit.errors import DataError

KEY = "2007_000032"
RGB = ChannelTable((Sensor("rgb", ("R", "G", "B")),))


@pytest.fixture
def tree(tmp_path):
    return write_voc(tmp_path) / "VOCdevkit/VOC2012"


def voc(tree):
    return Voc(VocOptions.model_validate({"adapter": "voc", "root": tree}))


def read(tree, key=KEY):
    return voc(tree).read(key, RGB).bands["rgb"]


def picture(tree, key=KEY):
    return tree / "JPEGImages" / f"{key}.jpg"


def test_colours_come_in_the_order_asked_for_in_0_to_255(tree):
    solid = np.broadcast_to(np.array([250, 120, 10], np.uint8), (20, 30, 3))
    Image.fromarray(np.ascontiguousarray(solid)).save(picture(tree), quality=100)
    means = read(tree).mean(axis=(1, 2))
    assert np.abs(means - [250, 120, 10]).max() < 3
    swapped = voc(tree).read(KEY, ChannelTable((Sensor("rgb", ("B", "R")),))).bands["rgb"].mean(axis=(1, 2))
    assert np.abs(swapped - [10, 250]).max() < 3


def test_grey_cmyk_palette_and_transparent_pictures_become_colours(tree):
    pixels = photo((20, 30), 3)
    image = Image.fromarray(pixels)
    image.convert("L").save(picture(tree), quality=100)
    grey = read(tree)
    assert np.array_equal(grey[0], grey[1]) and np.array_equal(grey[0], grey[2])
    assert np.abs(grey[0] - np.array(image.convert("L"), np.float32)).mean() < 3

    image.convert("CMYK").save(picture(tree), quality=100)
    with Image.open(picture(tree)) as saved:
        assert saved.mode == "CMYK"
    assert np.abs(read(tree).transpose(1, 2, 0) - pixels).mean() < 5, "inverted inks would be far off"

    quantised = image.quantize(200)
    quantised.save(picture(tree), format="PNG")
    assert np.array_equal(read(tree).transpose(1, 2, 0), np.array(quantised.convert("RGB")))
    quantised.save(picture(tree), format="PNG", transparency=bytes([0, 128] * 100))
    assert np.array_equal(read(tree).transpose(1, 2, 0), np.array(quantised.convert("RGB"), np.float32))

    seen_through = np.dstack([pixels, np.zeros((20, 30), np.uint8)])
    Image.fromarray(seen_through).save(picture(tree), format="PNG")
    assert np.array_equal(read(tree).transpose(1, 2, 0), pixels)


@pytest.mark.parametrize("damage", ["empty", "truncated", "no picture", "tga", "missing", "16 bit"])
def test_unreadable_pictures_are_named(tree, damage):
    path = picture(tree)
    match damage:
        case "empty":
            path.write_bytes(b"")
            expected = r"is empty \(0 bytes\)"
        case "truncated":
            Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(path)
            path.write_bytes(path.read_bytes()[:-200])
            expected = "truncated or damaged"
        case "no picture":
            path.write_text("<html>404</html>")
            expected = "is an HTML file, no picture that is read"
        case "tga":
            Image.new("RGB", (30, 20)).save(path, format="TGA")
            expected = "is no readable picture"
        case "missing":
            path.unlink()
            expected = "no such file"
        case "16 bit":
            Image.fromarray(np.zeros((20, 30), np.uint16)).save(path, format="PNG")
            expected = "more than 8 bits"
    with pytest.raises(DataError, match=rf"{KEY}\.jpg: .*{expected}"):
        read(tree)


def test_huge_pictures_are_refused_by_their_header(tree):
    with pytest.raises(DataError, match="is 20 x 30 pixels; at most 599 are read"):
        decode_picture(picture(tree), most=599)


def test_exif_rotation_is_ignored_where_the_mask_fits_the_stored_pixels(tree):
    exif_photo(picture(tree), (20, 30), 6, seed=4)
    assert read(tree).shape == (3, 20, 30)
    assert np.abs(read(tree).transpose(1, 2, 0) - photo((20, 30), 4)).mean() < 15
    assert voc(tree).size(KEY) == (20, 30)
    assert voc(tree).read_mask(KEY).shape == (20, 30)


def test_exif_rotation_is_followed_where_only_the_upright_picture_fits_the_mask(tree, tmp_path):
    exif_photo(picture(tree), (30, 20), 6, seed=4)
    upright = np.rot90(photo((30, 20), 4), k=-1)  # orientation 6: turn clockwise to see it upright
    assert np.abs(read(tree).transpose(1, 2, 0) - upright).mean() < 15
    assert voc(tree).size(KEY) == (20, 30)
    assert voc(tree).read_mask(KEY).shape == (20, 30)
    mask = np.zeros((20, 30), np.uint8)
    assert voc(tree).write_mask(tmp_path / "m", KEY, mask, None, {}).is_file()


def test_exif_rotation_that_fits_nothing_names_the_rule(tree):
    exif_photo(picture(tree), (20, 31), 6)
    with pytest.raises(
        DataError, match="is 20 x 31 pixels and turned by EXIF, its annotation 20 x 30; pixels are taken"
    ):
        read(tree)


def test_half_a_turn_does_not_swap_height_and_width(tree):
    exif_photo(picture(tree), (30, 20), 3)
    with pytest.raises(DataError, match="is 30 x 20 pixels and turned by EXIF, its annotation 20 x 30"):
        read(tree)
    assert picture_size(picture(tree)) == (30, 20)


def test_without_a_mask_the_xml_states_the_size(tree):
    extra = "2008_000002"
    (tree / "SegmentationClassAug" / f"{extra}.png").unlink()
    exif_photo(picture(tree, extra), (30, 20), 8)
    assert read(tree, extra).shape == (3, 20, 30)
    (tree / "Annotations" / f"{extra}.xml").write_text(voc_xml(["cat"], (30, 20)))
    assert read(tree, extra).shape == (3, 30, 20)


def test_where_nothing_states_a_size_pixels_stay_as_stored(tree):
    exif_photo(picture(tree, "2008_000006"), (30, 20), 6)
    assert read(tree, "2008_000006").shape == (3, 30, 20)


def test_mirrored_pictures_stay_as_stored(tree):
    exif_photo(picture(tree), (20, 30), 2, seed=5)
    assert np.abs(read(tree).transpose(1, 2, 0) - photo((20, 30), 5)).mean() < 15


def test_damaged_exif_is_no_orientation(tmp_path):
    path = tmp_path / "a.jpg"
    Image.fromarray(photo((20, 30))).save(path, exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    assert decode_picture(path).pixels.shape == (20, 30, 3)
    text = struct.pack("<2sHLHHHL4sL", b"II", 42, 8, 1, 0x0112, 2, 4, b"six\0", 0)  # a number is wanted
    exif = b"Exif\0\0" + text
    Image.fromarray(photo((20, 30))).save(path, exif=exif)
    assert decode_picture(path).pixels.shape == (20, 30, 3) and picture_size(path) == (20, 30)


def test_masks_are_never_turned(tree):
    exif_photo(picture(tree), (20, 30), 6)
    mask = np.zeros((20, 30), np.uint8)
    mask[0, 29] = 7
    save_palette(tree / "SegmentationClass" / f"{KEY}.png", mask)
    assert voc(tree).read_mask(KEY)[0, 29] == 7
