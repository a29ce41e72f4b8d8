"""Scales that make a network's inputs constant or absurd, refused where the training images are looked at."""

import numpy as np
import pytest

from wsss_toolkit.domain import ChannelTable, Sample, Sensor
from wsss_toolkit.errors import DataError
from wsss_toolkit.images.input_faults import constant_bands
from wsss_toolkit.images.scaling import preprocessing
from wsss_toolkit.recipe.schema import Channels

SENSOR = Sensor("s", ("a", "b", "c"))


def prepared(values, scale, **more):
    """Look at an image of 3 bands under a scale."""
    image = Sample("x", {"s": np.asarray(values, np.float32).reshape(3, 20, 20)})
    section = Channels.model_validate({"s": {"scale": scale, **more}})
    return preprocessing(section, ChannelTable((SENSOR,)), [image])


def uniform(low, high):
    return np.random.default_rng(0).uniform(low, high, (3, 400))


@pytest.mark.parametrize(
    ("values", "scale", "words"),
    [
        (uniform(0.001, 1.2), "decibel", r"^a of s \(and 2 more\) is the same everywhere after scaling: .*10 log10"),
        (uniform(20, 400), "decibel", "they are not in decibel"),
        (uniform(0.0, 0.6), "reflectance", "nearly the same everywhere .*multiply them by 10000"),
        (uniform(-25, -2), "reflectance", "same everywhere after scaling.*use `scale: decibel`"),
        (uniform(20_000, 60_000), "reflectance", "same everywhere after scaling"),
        (uniform(0.0, 1.0), "imagenet", "wanted are 8-bit values"),
        (uniform(0, 60_000), "imagenet", "far too large after scaling.*wanted are 8-bit values"),
        (uniform(7, 7), "zscore", "same everywhere in all images.*leave the sensor out"),
    ],
)
def test_a_scale_that_does_not_fit_is_refused_with_values_and_remedy(values, scale, words):
    with pytest.raises(DataError, match=words):
        prepared(values, scale)


def test_given_statistics_of_another_unit_are_refused():
    given = {"mean": [1300, 1200, 1100], "std": [400, 400, 400]}
    with pytest.raises(DataError, match="hardly varies after scaling"):
        prepared(uniform(0, 0.5), "zscore", statistics=given)
    with pytest.raises(DataError, match="far too large after scaling"):
        prepared(uniform(500, 3000), "zscore", statistics={"mean": [0.13] * 3, "std": [0.04] * 3})


def test_an_unstated_nodata_value_that_flattens_zscores_is_refused():
    values = uniform(500, 3000)
    values[1, 7] = -3.4e38
    with pytest.raises(DataError, match=r"^b of s hardly varies .*nodata value that the files do not state"):
        prepared(values, "zscore")


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        (uniform(5, 40), "reflectance"),  # the cirrus band without clouds
        (uniform(0, 12_000), "reflectance"),
        (uniform(-28, -14), "decibel"),
        (uniform(-12, 3), "decibel"),
        (uniform(2, 9), "imagenet"),  # a dark room
        (uniform(0, 1), "zscore"),
        (uniform(0, 1e-6), "zscore"),
        (uniform(-1e6, 1e6), "minmax"),
    ],
)
def test_scales_that_fit_pass(values, scale):
    assert prepared(values, scale).quantiles


def test_one_constant_band_is_named_and_not_refused():
    values = uniform(500, 3000)
    values[2] = 4
    assert constant_bands(prepared(values, "zscore")) == ["s.c is 4 in all training images"]
    assert constant_bands(prepared(uniform(0, 9), "zscore")) == []
