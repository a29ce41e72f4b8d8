import json
from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from wsss_toolkit.domain import ChannelTable, Sample, Sensor
from wsss_toolkit.errors import DataError
from wsss_toolkit.images.distribution import LEVELS
from wsss_toolkit.images.scaling import Preprocessing, measure_statistics, preprocessing
from wsss_toolkit.recipe.schema import Channels

S1, S2 = Sensor("s1", ("VV", "VH")), Sensor("s2", ("B04", "B03", "B02"))
CHANNELS = ChannelTable((S2, S1))


def sample(key="a", s1=True, seed=0):
    random = np.random.default_rng(seed)
    bands = {"s2": random.uniform(0, 12000, (3, 6, 5)).astype(np.float32)}
    if s1:
        bands["s1"] = random.uniform(-30, 3, (2, 6, 5)).astype(np.float32)
    return Sample(key, bands)


def channels(s2="reflectance", s1="decibel", **more):
    return Channels.model_validate({"s2": {"scale": s2}, "s1": {"scale": s1}, **more})


def test_reflectance_and_decibel_formulas():
    prepare = preprocessing(channels(), CHANNELS, ())
    one = sample()
    image, valid, present = prepare(one)
    np.testing.assert_allclose(image[:3], np.clip(one.bands["s2"], 0, 10000) / 10000, rtol=1e-6)
    np.testing.assert_allclose(image[3:], np.clip(one.bands["s1"], -25, 0) / 25 + 1, atol=1e-6)
    assert image.dtype == np.float32 and valid.all() and present.all()


def test_missing_and_infinite_pixels_become_zero_and_invalid():
    prepare = preprocessing(channels("zscore", "zscore"), CHANNELS, [sample()])
    one = sample()
    one.bands["s2"][0, 0, 0] = np.nan
    one.bands["s1"][1, 0, 0] = np.inf
    one.bands["s2"][:, 1, 1] = np.nan
    image, valid, present = prepare(one)
    assert image[0, 0, 0] == 0 and image[4, 0, 0] == 0 and np.isfinite(image).all()
    assert not valid[0, 0]
    assert valid[1, 1], "the other sensor still sees this pixel"
    assert present.all()


def test_measured_statistics_equal_numpy_over_all_pixels_and_skip_missing_ones():
    samples = [sample(seed=i) for i in range(4)]
    samples[1].bands["s2"][:, :3] = np.nan
    found = measure_statistics([S2], samples)["s2"]
    pixels = np.concatenate([s.bands["s2"].reshape(3, -1) for s in samples], axis=1).astype(np.float64)
    np.testing.assert_allclose(found["mean"], np.nanmean(pixels, axis=1))
    np.testing.assert_allclose(found["std"], np.nanstd(pixels, axis=1))
    np.testing.assert_allclose(found["min"], np.nanmin(pixels, axis=1))
    np.testing.assert_allclose(found["max"], np.nanmax(pixels, axis=1))


def test_zscore_measured_standardises_and_minmax_maps_to_the_unit_interval():
    samples = [sample(seed=i) for i in range(3)]
    prepare = preprocessing(channels("zscore", "minmax"), CHANNELS, samples)
    images = np.stack([prepare(s)[0] for s in samples])
    # The outermost thousandths are clipped, of 90 pixels these are parts of the two extremes.
    np.testing.assert_allclose(images[:, :3].mean(axis=(0, 2, 3)), 0, atol=1e-3)
    np.testing.assert_allclose(images[:, :3].std(axis=(0, 2, 3)), 1, atol=1e-3)
    np.testing.assert_allclose(images[:, 3:].min(axis=(0, 2, 3)), 0, atol=1e-6)
    np.testing.assert_allclose(images[:, 3:].max(axis=(0, 2, 3)), 1, atol=1e-6)


def test_given_statistics_are_not_measured():
    given = {"scale": "zscore", "statistics": {"mean": [1, 2, 3], "std": [1, 2, 4]}}
    section = Channels.model_validate({"s2": given, "s1": {"scale": "decibel"}})

    prepare = preprocessing(section, CHANNELS, ())
    assert [(b.offset, b.scale) for b in prepare.bands[:3]] == [(1, 1), (2, 2), (3, 4)]


def test_imagenet_scaling_is_for_three_bands():
    with pytest.raises(DataError, match="scale imagenet is for 3 bands"):
        preprocessing(channels(s1="imagenet"), CHANNELS, ())


def test_a_missing_sensor_needs_per_sensor_fusion():
    with pytest.raises(DataError, match=r"^a: image has no s1 bands; use `fusion: per_sensor`"):
        preprocessing(channels(), CHANNELS, ())(sample(s1=False))
    image, valid, present = preprocessing(channels(fusion="per_sensor"), CHANNELS, ())(sample(s1=False))
    assert present.tolist() == [True, False] and not image[3:].any() and valid.all()


def test_a_split_without_data_cannot_be_measured():
    empty = Sample("a", {"s2": np.full((3, 2, 2), np.nan, np.float32), "s1": np.zeros((2, 2, 2), np.float32)})
    with pytest.raises(DataError, match="no pixel of sensor s2 holds data"):
        preprocessing(channels("zscore"), CHANNELS, [empty])


def test_preprocessing_round_trip(tmp_path):
    prepare = preprocessing(channels("zscore", "minmax", fusion="per_sensor"), CHANNELS, [sample()])
    prepare.save(tmp_path / "p.json")
    assert Preprocessing.load(tmp_path / "p.json") == prepare and prepare.quantiles is not None


def test_an_older_file_without_quantiles_or_with_other_levels_opens(tmp_path):
    prepare = preprocessing(channels("zscore"), CHANNELS, [sample()])
    prepare.save(tmp_path / "p.json")
    stored = json.loads((tmp_path / "p.json").read_text())
    older = {key: value for key, value in stored.items() if not key.startswith("quantile")}
    for contents in (older, {**stored, "quantile_levels": [0, 1]}):
        (tmp_path / "p.json").write_text(json.dumps(contents))
        assert Preprocessing.load(tmp_path / "p.json") == replace(prepare, quantiles=None)


@pytest.mark.parametrize("scale", ["zscore", "minmax", "reflectance"])
def test_every_scale_keeps_the_quantiles_of_the_training_images(scale):
    images = [sample(seed=i) for i in range(3)]
    found = preprocessing(channels(scale), CHANNELS, images).quantiles
    pixels = np.concatenate([s.bands["s2"].reshape(3, -1) for s in images], axis=1).astype(np.float64)
    np.testing.assert_allclose(found[:3], np.quantile(pixels, LEVELS, axis=1).T)


def test_zscores_are_clipped_at_the_outer_thousandths_of_training():
    ramp = np.arange(1001, dtype=np.float32)
    line = Sample("a", {"s2": np.stack([ramp, 2 * ramp, ramp - 500])[:, :, None]})
    # An image one pixel wide gives 32 rows; many images give all.
    rows = [Sample(str(row), {"s2": line.bands["s2"][:, row : row + 1]}) for row in range(1001)]
    optical = ChannelTable((S2,))
    section = Channels.model_validate({"s2": {"scale": "zscore"}})
    prepare = preprocessing(section, optical, rows[:200] + rows[-50:])
    values = np.array([*range(200), *range(951, 1001)], np.float64)
    low, high = np.quantile(values, (0.001, 0.999))
    assert (prepare.bands[0].low, prepare.bands[0].high) == pytest.approx((low, high))
    saturated = Sample("b", {"s2": np.full((3, 1, 1), 1e30, np.float32)})
    assert prepare(saturated)[0][0, 0, 0] == pytest.approx((high - values.mean()) / values.std())


def test_a_band_that_is_nearly_always_alike_keeps_its_extremes():
    pixels = np.zeros((3, 40, 40), np.float32)
    pixels[:, 0, 0] = 7
    rare = [Sample("a", {"s2": pixels[:, :1, :1]})] + [Sample(str(i), {"s2": pixels[:, 1:33, 1:33]}) for i in range(3)]
    section = Channels.model_validate({"s2": {"scale": "zscore"}})
    prepare = preprocessing(section, ChannelTable((S2,)), rare)
    assert (prepare.bands[0].low, prepare.bands[0].high) == (0, 7)


@pytest.mark.parametrize(
    "sensor",
    [
        {"scale": "decibel", "statistics": {"mean": [1], "std": [1]}},
        {"scale": "zscore", "statistics": {"mean": [1]}},
        {"scale": "zscore", "statistics": {"mean": [1, 2], "std": [1]}},
        {"scale": "minmax", "statistics": {"min": [1], "max": [1]}},
        {"scale": "zscore", "bands": ["VV"], "statistics": {"mean": [1, 2], "std": [1, 2]}},
    ],
)
def test_contradicting_statistics_are_refused(sensor):
    with pytest.raises(ValidationError):
        Channels.model_validate({"s1": sensor})
