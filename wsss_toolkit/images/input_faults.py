"""What is wrong with a network's inputs, told by the training images' values and their scaling."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from wsss_toolkit.domain import Sensor
from wsss_toolkit.images.distribution import LEVELS

if TYPE_CHECKING:
    from wsss_toolkit.images.scaling import BandScaling, Preprocessing

P001, P05, P50, P95, P999 = (LEVELS.index(level) for level in (0.001, 0.05, 0.5, 0.95, 0.999))

LARGE = 20.0
"""Scaled values beyond this, in 5 of 100 pixels of every band, are no input: z-scores of 4 are rare."""

FLAT = 0.005
"""What the middle nine tenths of z-scores span at least."""


def input_faults(prepare: "Preprocessing", scales: Sequence[str]) -> list[str]:
    """Return a sentence for each sensor whose bands the recipe's scale makes constant or absurd.

    A band that is constant in the images themselves is none: it harms nobody.

    Args:
        prepare: Scaling and distribution of the training images.
        scales: The recipe's `scale` of each sensor.
    """
    found, start = [], 0
    for sensor, scale in zip(prepare.channels.sensors, scales, strict=True):
        stop = start + len(sensor.bands)
        known = (prepare.quantiles or ())[start:stop]
        rows = [index for index, values in enumerate(known) if values]
        if rows:
            values = np.array([known[index] for index in rows])
            bands = tuple(sensor.bands[index] for index in rows)
            scalings = [prepare.bands[start + index] for index in rows]
            if fault := _fault(Sensor(sensor.name, bands), scale, values, scalings):
                found.append(fault)
        start = stop
    return found


def constant_bands(prepare: "Preprocessing") -> list[str]:
    """Return a sentence for each band that has one value in all training images: it teaches nothing."""
    named = zip(prepare.channels.names, prepare.quantiles or (), strict=False)
    return [
        f"{name} is {values[0]:g} in all training images"
        for name, values in named
        if values and values[0] == values[-1]
    ]


def _fault(sensor: Sensor, scale: str, values: np.ndarray, scalings: "Sequence[BandScaling]") -> str | None:
    scaled = np.array([band(row) for band, row in zip(scalings, values, strict=True)])
    varied, every = values[:, -1] > values[:, 0], np.ones(len(values), np.bool_)
    if not varied.any():
        return _sentence(sensor, scale, values, every, "is the same everywhere in all images")
    constant = (values[:, P999] > values[:, P001]) & (scaled[:, P999] == scaled[:, P001])
    if constant.any():
        return _sentence(sensor, scale, values, constant, "is the same everywhere after scaling")
    spanned = values[:, P95] > values[:, P05]
    if scale == "zscore" and (flat := spanned & (scaled[:, P95] - scaled[:, P05] < FLAT)).any():
        return _sentence(sensor, scale, values, flat, "hardly varies after scaling, for a few extreme values")
    if scale in ("reflectance", "imagenet") and values[:, P999].max() <= 1.5:
        return _sentence(sensor, scale, values, every, "is nearly the same everywhere after scaling")
    beyond = 300 if scale == "imagenet" else np.inf
    if (np.abs(scaled[:, [P05, P95]]).max(axis=1) > LARGE).all() or (values[:, P95] > beyond).all():
        return _sentence(sensor, scale, values, every, "is far too large after scaling")
    return None


def _sentence(sensor: Sensor, scale: str, values: np.ndarray, wrong: np.ndarray, what: str) -> str:
    row = int(np.flatnonzero(wrong)[0])
    low, middle, high = (f"{values[row, place]:.4g}" for place in (P001, P50, P999))
    others = int(wrong.sum()) - 1
    band = f"{sensor.bands[row]} of {sensor.name}" + (f" (and {others} more)" if others else "")
    return (
        f"{band} {what}: values are {low} to {high}, median {middle}, under `scale: {scale}`; {_remedy(scale, values)}"
    )


def _remedy(scale: str, values: np.ndarray) -> str:
    """Say what the values probably are, and what to do about it."""
    if (values[:, 0] == values[:, -1]).all():
        return "check the files, or leave the sensor out"
    if scale == "decibel" and values[:, P001].min() >= 0:
        return "they are not in decibel: convert them (10 log10 of back-scatter), or use `scale: zscore`"
    if scale == "reflectance" and values[:, P999].max() <= 1.5 and values[:, P95].max() > 0:
        return "they are shares of 0..1, wanted are 0..10000: multiply them by 10000, or use `scale: zscore`"
    if scale == "reflectance" and values[:, P95].max() <= 0:
        return "they are negative (decibel?): use `scale: decibel` or `scale: zscore`"
    if scale == "imagenet":
        return "wanted are 8-bit values, 0..255: convert them, or use `scale: zscore`"
    if scale == "zscore":
        return "look for a nodata value that the files do not state, or correct channels.*.statistics"
    return "use `scale: zscore`, or correct the values"
