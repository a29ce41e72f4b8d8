import errno
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
import rasterio
from fake_tiles import read_tiff, write_tiff

from wsss_adapters.geotiff.mask import write_mask
from wsss_adapters.geotiff.reading import MISSING_LABEL, Window, encode_labels, read_bands, read_label
from wsss_toolkit.domain import ClassTable
from wsss_toolkit.errors import DataError, WsssError

CLASSES = ClassTable(("Forest", "Bog & fen"), ((0, 153, 0), (39, 255, 135)))


@pytest.fixture
def stack(tmp_path):
    pixels = np.arange(3 * 20 * 30, dtype=np.float32).reshape(3, 20, 30)
    return write_tiff(tmp_path / "stack.tif", pixels)


def test_bands_come_in_the_order_asked_for(stack):
    bands = read_bands(stack, [3, 1])
    assert bands.dtype == np.float32
    assert bands.shape == (2, 20, 30)
    assert bands[0, 0, 0] == 1200 and bands[1, 0, 0] == 0


def test_window_is_rows_then_columns(stack):
    part = read_bands(stack, [1], Window(row=2, column=5, height=4, width=6))
    assert part.shape == (1, 4, 6)
    assert part[0, 0, 0] == 2 * 30 + 5


def test_nodata_nan_and_infinity_become_nan(tmp_path):
    pixels = np.ones((1, 2, 3), dtype=np.float64)
    pixels[0, 0] = [np.nan, np.inf, -np.inf]
    pixels[0, 1] = [-9999, 1e300, 5]
    bands = read_bands(write_tiff(tmp_path / "gaps.tif", pixels, nodata=-9999), [1])
    assert np.isnan(bands[0]).tolist() == [[True, True, True], [True, True, False]]
    assert bands[0, 1, 2] == 5


def test_all_nodata_tile_is_all_nan(tmp_path):
    path = write_tiff(tmp_path / "empty.tif", np.zeros((2, 4, 4), dtype=np.uint16), nodata=0)
    assert np.isnan(read_bands(path, [1, 2])).all()


@pytest.mark.parametrize("share", [0.5, 0.02, 0.0])
def test_truncated_file_is_named(stack, share, capfd):
    content = stack.read_bytes()
    stack.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DataError, match=r"stack\.tif: not a readable raster") as caught:
        read_bands(stack, [1, 2, 3])
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_missing_file_and_missing_band_are_named(stack):
    with pytest.raises(DataError, match=r"gone\.tif: no such file"):
        read_bands(stack.with_name("gone.tif"), [1])
    with pytest.raises(DataError, match=r"stack\.tif: has 3 bands, band 4 is wanted"):
        read_bands(stack, [4])


def test_label_nodata_and_negative_codes(tmp_path):
    codes = np.array([[[-1, 0, 1, 7]]], dtype=np.int16)
    found = read_label(write_tiff(tmp_path / "label.tif", codes, nodata=7))
    assert found.tolist() == [[-1, 0, 1, MISSING_LABEL]]


@pytest.mark.parametrize("value", [0.5, np.inf, 1e12])
def test_label_of_fractions_is_refused(tmp_path, value):
    path = write_tiff(tmp_path / "label.tif", np.full((1, 2, 2), value, dtype=np.float64))
    with pytest.raises(DataError, match=r"label\.tif: label rasters hold whole numbers"):
        read_label(path)


@pytest.mark.parametrize("nodata", [np.nan, None, 1.0])
def test_nan_in_a_float_label_is_missing_whatever_the_file_says(nodata, tmp_path):
    pixels = np.array([[[2, np.nan]]], dtype=np.float32)
    assert read_label(write_tiff(tmp_path / "label.tif", pixels, nodata=nodata)).tolist() == [[2, MISSING_LABEL]]


def test_codes_become_mask_values():
    codes = np.array([[1, 9, -1], [0, 1, MISSING_LABEL]], dtype=np.int32)
    mask = encode_labels(codes, {1: 0, 9: 1}, [-1, 0], Path("x.tif"))
    assert mask.dtype == np.uint8
    assert mask.tolist() == [[0, 1, 255], [255, 0, 255]]


def test_unknown_codes_are_all_listed():
    with pytest.raises(DataError, match=r"^x\.tif: unknown label codes 5, 6; known are 0, 1$"):
        encode_labels(np.array([[6, 1, 5, 0]], dtype=np.int32), {1: 0}, [0], Path("x.tif"))


def test_mask_keeps_georeference_colours_names_and_tags(stack, tmp_path):
    mask = np.zeros((20, 30), dtype=np.uint8)
    mask[3:, 4:] = 1
    mask[0, 0] = 255
    path = write_mask(
        tmp_path / "out" / "a.b",
        mask,
        like=stack,
        window=None,
        classes=CLASSES,
        confidence=mask,
        tags={"RUN": "r1"},
    )
    assert path == tmp_path / "out" / "a.b.tif"
    with rasterio.open(path) as written, rasterio.open(stack) as source:
        assert (written.crs, written.transform, written.shape) == (source.crs, source.transform, source.shape)
        assert (written.dtypes, written.nodata) == (("uint8",), 255)
        assert written.profile["tiled"] and written.profile["compress"] == "deflate"
        assert written.colormap(1)[0] == (0, 153, 0, 255)
        assert written.colormap(1)[1] == (39, 255, 135, 255)
        assert written.colormap(1)[255][3] == 0
        tags = written.tags()
        assert (tags["CLASS_0"], tags["CLASS_1"], tags["RUN"]) == ("Forest", "Bog & fen", "r1")
        assert np.array_equal(written.read(1), mask)
    names = ElementTree.parse(f"{path}.aux.xml").findall(".//Category")
    assert [name.text for name in names] == ["Forest", "Bog & fen"]
    assert sorted(file.name for file in path.parent.iterdir()) == [
        "a.b.confidence.tif",
        "a.b.tif",
        "a.b.tif.aux.xml",
    ]
    assert np.array_equal(read_tiff(path.parent / "a.b.confidence.tif"), mask)


def test_mask_of_a_window_has_the_windows_transform(stack, tmp_path):
    window = Window(row=4, column=10, height=8, width=8)
    mask = np.zeros((8, 8), dtype=np.uint8)
    path = write_mask(tmp_path / "part", mask, like=stack, window=window, classes=CLASSES, confidence=None, tags={})
    with rasterio.open(path) as written, rasterio.open(stack) as source:
        assert written.crs == source.crs
        assert tuple(written.transform)[:6] == (10, 0, 500_100, 0, -10, 4_999_960)


def test_mask_without_georeference_is_written_quietly(tmp_path):
    like = write_tiff(tmp_path / "plain.tif", np.ones((1, 6, 6), dtype=np.uint8), crs=None)
    mask = np.ones((6, 6), dtype=np.uint8)
    path = write_mask(tmp_path / "plain_mask", mask, like=like, window=None, classes=CLASSES, confidence=None, tags={})
    assert path.is_file()


@pytest.mark.parametrize("mask", [np.zeros((20, 29), np.uint8), np.zeros((20, 30), np.int64)])
def test_mask_of_wrong_size_or_type_is_refused(stack, tmp_path, mask):
    with pytest.raises(ValueError, match=r"is uint8 \(20, 30\)"):
        write_mask(tmp_path / "m", mask, like=stack, window=None, classes=CLASSES, confidence=None, tags={})


def test_full_disk_leaves_the_older_mask_and_no_partial_file(stack, tmp_path, monkeypatch):
    folder = tmp_path / "out"
    mask = np.zeros((20, 30), dtype=np.uint8)
    path = write_mask(folder / "m", mask, like=stack, window=None, classes=CLASSES, confidence=None, tags={})
    older = path.read_bytes()

    def full(self, target):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(WsssError, match="cannot write: No space left on device; free disk space"):
        write_mask(folder / "m", mask + 1, like=stack, window=None, classes=CLASSES, confidence=None, tags={})
    assert path.read_bytes() == older
    assert sorted(file.name for file in folder.iterdir()) == ["m.tif", "m.tif.aux.xml"]
