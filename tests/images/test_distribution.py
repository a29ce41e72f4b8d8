import numpy as np

from wsss_toolkit.domain import ChannelTable, Sample, Sensor
from wsss_toolkit.images.distribution import KEPT, LEVELS, SIDE, PixelSample, evenly, quantiles, stacked

ONE = ChannelTable((Sensor("s", ("a",)),))


def flat(value, side=4):
    return Sample("x", {"s": np.full((1, side, side), value, np.float32)})


def test_positions_are_evenly_spaced_and_inside():
    for length in (1, 31, 32, 33, 1000, 100_000):
        found = evenly(length, 32)
        assert len(found) == min(length, 32) and found[0] >= 0 and found[-1] < length
        if length > 32:
            assert np.ptp(np.diff(found)) <= 1 and abs((found[0] + found[-1]) - (length - 1)) <= 1


def test_quantiles_are_numpys_and_leave_missing_pixels_out():
    values = np.array([[3.0, np.nan, 1.0, np.inf, 2.0], [np.nan] * 5], np.float32)
    found = quantiles(values)
    np.testing.assert_allclose(found[0], np.quantile([1, 2, 3], LEVELS))
    assert found[1] == ()


def test_the_sample_is_bounded_in_images_and_pixels_and_the_same_each_time():
    look, again = PixelSample(ONE), PixelSample(ONE)
    for number in range(5 * KEPT):
        look.add(flat(number, 2))
        again.add(flat(number, 2))
    assert len(look._kept) <= KEPT and look.quantiles() == again.quantiles()
    np.testing.assert_allclose(np.array(look.quantiles()[0]), np.quantile(np.arange(5 * KEPT), LEVELS), rtol=0, atol=10)
    large = PixelSample(ONE)
    large.add(flat(1, 500))
    assert large._kept[0].shape == (1, SIDE * SIDE)


def test_a_lacking_sensor_is_missing_and_no_image_has_no_distribution():
    both = ChannelTable((Sensor("s", ("a",)), Sensor("t", ("b", "c"))))
    found = stacked(flat(5, 2), both)
    assert found.shape == (3, 2, 2) and (found[0] == 5).all() and np.isnan(found[1:]).all()
    assert PixelSample(ONE).quantiles() is None
