"""Which unit a scene's values are in, on synthetic scenes and on land that is easily mistaken."""

import numpy as np
import pytest

from wsss_adapters.synthetic_scenes import draw_scene
from wsss_toolkit.domain import ChannelTable, Sensor
from wsss_toolkit.images.distribution import quantiles
from wsss_toolkit.images.units import compare

RADAR, OPTICAL = Sensor("radar", ("VV", "VH")), Sensor("optical", ("B02", "B03", "B04", "B08"))
MANY = Sensor("optical", tuple(f"B{number:02d}" for number in range(1, 14)))
PICTURE = Sensor("rgb", ("R", "G", "B"))


def draw(seed):
    return draw_scene(48, np.random.default_rng(seed))


def radar(seed):
    return draw(seed).sentinel1.reshape(2, -1)


def optical(seed, bands=(1, 2, 3, 7)):
    return draw(seed).sentinel2[list(bands)].reshape(len(bands), -1).astype(np.float32)


def joined(values, seeds):
    return quantiles(np.concatenate([values(seed) for seed in seeds], axis=1))


def many(seed):
    return optical(seed, range(13))


def judged(sensor, values, change, seed, training=range(8)):
    return compare(ChannelTable((sensor,)), joined(values, training), quantiles(change(values(seed))))


@pytest.mark.parametrize("seed", range(20, 32))
@pytest.mark.parametrize(("sensor", "values"), [(RADAR, radar), (OPTICAL, optical), (MANY, many)])
def test_other_scenes_of_the_same_kind_are_silent(sensor, values, seed):
    assert judged(sensor, values, lambda pixels: pixels, seed) == ()


@pytest.mark.parametrize(
    ("sensor", "values", "change", "words"),
    [
        (OPTICAL, optical, lambda v: v / 10000, "optical looks divided by 10000: median of B02 0."),
        (MANY, many, lambda v: v / 10000, "and 10 more"),
        (OPTICAL, optical, lambda v: v / 100, "looks divided by 100:"),
        (OPTICAL, optical, lambda v: v * 10000, "looks multiplied by 10000"),
        (OPTICAL, optical, lambda v: v * 40, r"is about [345]\d times too large"),
        (OPTICAL, optical, lambda v: np.clip(v / 3500 * 255, 0, 255).round(), "looks stretched to 8 bits"),
        (OPTICAL, optical, lambda v: np.clip(v / 3500 * 255, 0, 255), "divided by|too small"),
        (OPTICAL, optical, lambda v: v * 0, "is 0 everywhere"),
        (OPTICAL, lambda seed: optical(seed) * (5 if seed == 3 else 1), lambda v: v / 10000, "looks divided by 10000"),
        (MANY, many, lambda v: v + 1000, "looks 1000 too high"),
        (RADAR, radar, lambda v: 10 ** (v / 10), "looks linear instead of decibel: median of VV 0"),
        (RADAR, radar, lambda v: 10 ** ((v + 50) / 20), "is positive where training was negative"),
        (RADAR, radar, lambda v: 100 * v, "looks multiplied by 100"),
        (RADAR, lambda seed: 10 ** (radar(seed) / 10), lambda v: 10 * np.log10(v), "is negative where training was"),
        (PICTURE, lambda seed: optical(seed, (1, 2, 3)) / 16, lambda v: v * 257, "looks multiplied by 255"),
        (PICTURE, lambda seed: optical(seed, (1, 2, 3)) / 16, lambda v: v / 255, "looks divided by 255"),
        (Sensor("t", ("C",)), lambda seed: radar(seed)[:1] + 20, lambda v: v + 273.15, "far outside|too large"),
    ],
)
def test_another_unit_is_named_with_numbers(sensor, values, change, words):
    (line,) = judged(sensor, values, change, 25)
    import re

    assert re.search(words, line), line
    assert "training: " in line


def test_one_linear_polarisation_of_two_is_enough():
    mixed = radar(25)
    mixed[1] = 10 ** (mixed[1] / 10)
    (line,) = compare(ChannelTable((RADAR,)), joined(radar, range(8)), quantiles(mixed))
    assert "looks linear instead of decibel: median of VH" in line


def test_a_sensor_without_data_says_nothing_and_the_other_is_judged():
    table = ChannelTable((RADAR, OPTICAL))
    training = (*joined(radar, range(8)), *joined(optical, range(8)))
    seen = (*quantiles(np.full((2, 9), np.nan, np.float32)), *quantiles(optical(25) / 10000))
    (line,) = compare(table, training, seen)
    assert line.startswith("optical looks divided by 10000")


def bright(values, level):
    """Return pixels of one bright ground: `level` per band, half as bright in the shade."""
    shade = np.random.default_rng(0).uniform(0.5, 1.0, values.shape[1])
    return np.asarray(level, np.float32)[:, None] * shade


@pytest.mark.parametrize(
    "level",
    [
        [9000, 8700, 8500, 8000],  # snow
        [1700, 2300, 3200, 4200],  # desert
        [9500, 9300, 9200, 9400],  # cloud everywhere
        [700, 400, 250, 60],  # clear water
    ],
)
def test_bright_and_dark_ground_is_no_other_unit(level):
    assert judged(OPTICAL, optical, lambda values: bright(values, level), 25) == ()


def test_clouds_in_parts_are_no_other_unit():
    def cloudy(values):
        values = values.copy()
        values[:, ::2] = 0.2 * values[:, ::2] + 8000
        return values

    assert judged(OPTICAL, optical, cloudy, 25) == ()
    assert judged(MANY, many, cloudy, 25) == ()


def test_training_that_saw_both_kinds_of_products_accepts_both():
    def either(seed):
        return optical(seed) + 1000 * (seed % 2)

    training = joined(either, range(8))
    for offset in (0, 1000):
        assert compare(ChannelTable((OPTICAL,)), training, quantiles(optical(25) + offset)) == ()


def test_the_offset_is_found_both_ways():
    low, high = joined(many, range(8)), quantiles(many(25))
    raised = tuple(tuple(value + 1000 for value in band) for band in low)
    (line,) = compare(ChannelTable((MANY,)), raised, high)
    assert "looks 1000 too low" in line


def test_the_offset_shows_by_the_dark_end_of_all_bands_where_training_has_two_grounds():
    dark = np.random.default_rng(0).normal(300, 50, (4, 2000))
    dark[3, :1700] += 3100
    bright = dark + np.array([[900], [1100], [1900], [-600]])
    bright[3] = np.maximum(bright[3], dark[3].min())
    learnt = quantiles(np.concatenate([dark, bright], axis=1).astype(np.float32))
    table = ChannelTable((OPTICAL,))
    assert compare(table, learnt, quantiles(dark.astype(np.float32))) == ()
    (line,) = compare(table, learnt, quantiles((dark + 1000).astype(np.float32)))
    assert "looks 1000 too high" in line


@pytest.mark.parametrize(("sensor", "values"), [(RADAR, radar), (OPTICAL, optical)])
@pytest.mark.parametrize("number", [-9999, -32768, -3.4e38])
def test_a_nodata_value_that_no_file_states_is_named(sensor, values, number):
    def filled(pixels):
        pixels = pixels.copy()
        pixels[:, : pixels.shape[1] // 20] = number
        return pixels

    (line,) = judged(sensor, values, filled, 25)
    assert f"holds {number:.6g} in many pixels (a nodata value that the file does not state?)" in line


def test_dark_pixels_that_share_a_zero_are_no_nodata_value():
    dark = optical(25)
    dark[3, :200] = 0
    narrow = joined(lambda seed: np.concatenate([optical(seed)[:3], 6 + optical(seed)[3:] / 1e4]), range(8))
    dark[3, 200:] = 6.2
    assert compare(ChannelTable((OPTICAL,)), narrow, quantiles(dark)) == ()


def test_one_odd_pixel_is_no_nodata_value():
    odd = optical(25)
    odd[:, 7] = -9999
    assert compare(ChannelTable((OPTICAL,)), joined(optical, range(8)), quantiles(odd)) == ()


def test_a_band_of_one_value_is_named_alone():
    flat = optical(25)
    flat[2] = 1500
    (line,) = compare(ChannelTable((OPTICAL,)), joined(optical, range(8)), quantiles(flat))
    assert line.startswith("optical has one value everywhere: median of B04 1500 (training: ") and "B02" not in line
