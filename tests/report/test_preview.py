import numpy as np

from wsss_toolkit.domain import ClassTable, Sample, Sensor
from wsss_toolkit.report.preview import PreviewRow, draw_preview, natural_colors

RADAR, OPTICAL = Sensor("s1", ("VV",)), Sensor("s2", ("B02", "B03", "B04"), ("B04", "B03", "B02"))
CLASSES = ClassTable(("Water", "Trees", "Snow"), ((0, 0, 200), (0, 150, 0), (240, 10, 240)))


def test_pictures_use_the_bands_of_natural_colour_and_leave_missing_pixels_dark():
    ramp = np.linspace(0, 3000, 64, dtype=np.float32).reshape(8, 8)
    optical = np.stack([ramp, np.zeros_like(ramp), ramp[::-1]])
    optical[:, 0, 0] = np.nan
    sample = Sample("a", {"s1": np.full((1, 8, 8), -12, np.float32), "s2": optical})
    picture = natural_colors(sample, (RADAR, OPTICAL))
    assert picture.shape == (8, 8, 3) and picture.dtype == np.uint8
    assert picture[7, 7, 2] == 255 and picture[0, 7, 0] > 200, "red is B04, blue is B02"
    assert picture[0, 0].tolist() == [0, 0, 0]


def test_pictures_of_8_bits_are_shown_as_they_are():
    camera = Sensor("rgb", ("R", "G", "B"), ("R", "G", "B"))
    values = np.array([[[10, 20]], [[30, 40]], [[50, np.nan]]], np.float32)
    picture = natural_colors(Sample("a", {"rgb": values}), (camera,), {"rgb"})
    assert picture.tolist() == [[[10, 30, 50], [20, 40, 0]]] and picture.dtype == np.uint8


def test_a_sample_without_the_optical_sensor_is_shown_in_grey():
    picture = natural_colors(
        Sample("a", {"s1": np.random.default_rng(0).normal(size=(1, 4, 4)).astype(np.float32)}), (RADAR, OPTICAL)
    )
    assert (picture[..., 0] == picture[..., 1]).all() and picture.max() == 255


def test_masks_are_drawn_in_their_classes_colours_and_absent_classes_are_not_in_the_legend():
    mask = np.zeros((4, 4), np.uint8)
    mask[2:] = 1
    row = PreviewRow(np.full((4, 4, 3), 99, np.uint8), (mask, None))
    drawn = np.asarray(draw_preview([row], ("image", "truth", "mask"), CLASSES, "Synthetic data."))
    colors = {tuple(color) for color in drawn.reshape(-1, 3).tolist()}
    assert {(0, 0, 200), (0, 150, 0), (99, 99, 99)} <= colors
    assert (240, 10, 240) not in colors
    taller = draw_preview([row, row], ("image", "truth", "mask"), CLASSES, "")
    assert taller.height > drawn.shape[0]
