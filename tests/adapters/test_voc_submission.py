import numpy as np
import pytest
from fake_natural import write_voc
from PIL import Image

from wsss_adapters.natural.images import bit_palette
from wsss_adapters.natural.voc import Voc, VocOptions
from wsss_adapters.natural.voc_files import write_submission_mask
from wsss_toolkit.errors import DataError, WsssError


@pytest.fixture
def adapter(tmp_path):
    return Voc(VocOptions.model_validate({"adapter": "voc", "root": write_voc(tmp_path / "data")}))


def test_a_submission_is_what_the_server_takes(adapter, tmp_path):
    mask = (np.arange(600, dtype=np.uint8).reshape(20, 30) % 21).astype(np.uint8)
    path = adapter.write_submission(tmp_path / "out", "2008_000006", mask)
    assert path == tmp_path / "out/results/VOC2012/Segmentation/comp6_test_cls/2008_000006.png"
    with Image.open(path) as picture:
        assert (picture.format, picture.mode, picture.size) == ("PNG", "P", (30, 20))
        assert picture.info == {}, "no transparency, no texts"
        assert np.array_equal(np.array(picture), mask)
        palette = np.array(picture.getpalette()).reshape(-1, 3)
    assert [tuple(color) for color in palette.tolist()][:21] == list(adapter.classes.colors)
    assert tuple(palette[255].tolist()) == (224, 224, 192), "VOC draws void in this colour"


def test_no_palette_colour_repeats():
    assert len(set(bit_palette(256))) == 256


def test_pixels_without_a_class_are_refused(adapter, tmp_path):
    mask = np.zeros((20, 30), np.uint8)
    mask[3, 3] = 255
    with pytest.raises(DataError, match="pixels without a class"):
        adapter.write_submission(tmp_path / "out", "2008_000006", mask)
    mask[3, 3] = 21
    with pytest.raises(ValueError, match="21"):
        adapter.write_submission(tmp_path / "out", "2008_000006", mask)
    with pytest.raises(ValueError, match="int64"):
        write_submission_mask(tmp_path / "out", "2008_000006", np.zeros((20, 30), np.int64))
    assert not list(tmp_path.rglob("comp6_test_cls/*"))


def test_masks_of_another_size_or_image_are_refused(adapter, tmp_path):
    with pytest.raises(ValueError, match="2008_000006 is 20 x 30"):
        adapter.write_submission(tmp_path / "out", "2008_000006", np.zeros((30, 20), np.uint8))
    with pytest.raises(DataError, match="no image is called 'unknown'"):
        adapter.write_submission(tmp_path / "out", "unknown", np.zeros((20, 30), np.uint8))


def test_what_cannot_be_written_is_named(adapter, tmp_path):
    (tmp_path / "out").write_text("a file where a folder is wanted")
    with pytest.raises(WsssError, match="cannot write"):
        adapter.write_submission(tmp_path / "out", "2008_000006", np.zeros((20, 30), np.uint8))
