"""Monochrome frames are rescaled, windowed and inverted as their header asks for."""

import numpy as np
import pytest
from fake_frames import native, read_frames
from pydicom.dataset import Dataset

from wsss_toolkit.errors import DataError


def greys(path, values, photometric="MONOCHROME2", **attributes):
    values = np.asarray(values)
    frames, _ = read_frames(native(path, values.reshape(1, 1, -1), photometric, **attributes))
    assert (frames[..., 0] == frames[..., 1]).all() and (frames[..., 0] == frames[..., 2]).all()
    return frames[0, 0, :, 0].tolist()


def test_greys(tmp_path):
    path = tmp_path / "a.dcm"
    eight, deep = np.array([0, 1, 254, 255], np.uint8), np.array([0, 1000, 4000, 4095], np.uint16)
    assert greys(path, eight) == [0, 1, 254, 255]
    assert greys(path, eight, "MONOCHROME1") == [255, 254, 1, 0]
    assert greys(path, deep, BitsStored=12, HighBit=11) == [0, 62, 249, 255]
    assert greys(path, np.array([-128, 0, 127, 5], np.int8)) == [0, 128, 255, 133]
    # PS3.3 C.11.2.1.2.1: ((x - (c - 0.5)) / (w - 1) + 0.5) * 255 between c - 0.5 -+ (w - 1) / 2.
    window = {"WindowCenter": 2000, "WindowWidth": 1001}
    assert greys(path, np.array([1499, 1750, 2000, 2249, 2600], np.uint16), **window) == [0, 64, 128, 191, 255]
    exact = {**window, "VOILUTFunction": "LINEAR_EXACT", "WindowWidth": 1000}
    assert greys(path, np.array([1500, 1750, 2000, 2500], np.uint16), **exact) == [0, 64, 128, 255]
    sigmoid = {**window, "VOILUTFunction": "SIGMOID"}
    assert greys(path, np.array([0, 2000, 4000], np.uint16), **sigmoid) == [0, 128, 255]
    # The window is in rescaled units.
    rescaled = {"RescaleSlope": 2, "RescaleIntercept": -1000, "WindowCenter": 0.5, "WindowWidth": 1001}
    assert greys(path, np.array([250, 500, 750], np.uint16), **rescaled) == [0, 128, 255]
    assert greys(path, eight, RescaleSlope=-1, RescaleIntercept=255) == [255, 254, 1, 0]


def test_windows_of_single_frames(tmp_path):
    def group(center):
        item, window = Dataset(), Dataset()
        window.WindowCenter, window.WindowWidth = center, 1
        item.FrameVOILUTSequence = [window]
        return item

    values = np.full((2, 1, 2), [10, 30], np.uint8)
    path = native(tmp_path / "a.dcm", values, "MONOCHROME2", PerFrameFunctionalGroupsSequence=[group(5), group(20)])
    frames, _ = read_frames(path)
    assert frames[..., 0].tolist() == [[[255, 255]], [[0, 255]]]


def test_tables_of_values_of_interest(tmp_path):
    table = Dataset()
    table.LUTDescriptor, table.LUTData = [4, 10, 8], np.array([0, 50, 100, 255], "<u2").tobytes()
    assert greys(tmp_path / "a.dcm", np.array([9, 10, 11, 12, 13, 20], np.uint8), VOILUTSequence=[table]) == [
        0, 0, 50, 100, 255, 255,
    ]  # fmt: skip


@pytest.mark.parametrize("wrong", [{"WindowCenter": 1, "WindowWidth": 0}, {"RescaleSlope": 0}])
def test_windows_that_make_no_sense(tmp_path, wrong):
    with pytest.raises(DataError, match="its rescaling, window or lookup table makes no sense"):
        greys(tmp_path / "a.dcm", np.array([1, 2], np.uint8), **wrong)
