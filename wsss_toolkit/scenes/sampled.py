"""A sample of a scene's values, taken while it is read for labelling, and what it says about their unit."""

from math import ceil, sqrt

import numpy as np
from numpy.typing import NDArray

from wsss_toolkit.domain import ChannelTable, Sample, Scene, Window
from wsss_toolkit.images.distribution import quantiles, stacked
from wsss_toolkit.images.scaling import Preprocessing
from wsss_toolkit.images.units import compare

SAMPLED = 2**16
"""Pixels of a scene that are looked at, about; they lie on a regular grid."""

VALUES_TAG = "wsss_values"
"""The tag of a mask that says how the scene's values compare with those of training."""

ALIKE = "as in training"
"""What it says where nothing is wrong."""

UNKNOWN = "not compared"
"""What it says where the run does not know its training images' values."""


class SampledScene:
    """A scene that keeps the values of some of its pixels when they are read; see `wsss_toolkit.domain.Scene`.

    Which ones depends on the scene's size alone, so that blocks of it, read anywhere, together hold the same.
    """

    def __init__(self, scene: Scene, channels: ChannelTable) -> None:
        self._scene, self._channels = scene, channels
        self.height, self.width, self.frame_height = scene.height, scene.width, scene.frame_height
        self.sensors, self.notices = scene.sensors, scene.notices
        step = ceil(sqrt(self.height * self.width / SAMPLED))
        self._rows, self._columns = (
            np.arange(min(step // 2, (side - 1) // 2), side, step) for side in (self.height, self.width)
        )
        self._values = np.full((len(channels), len(self._rows), len(self._columns)), np.nan, np.float32)

    def read(self, window: Window) -> Sample:
        """Read a window, and keep what is wanted of it."""
        sample = self._scene.read(window)
        top, bottom = np.searchsorted(self._rows, (window.row, window.row + window.height))
        left, right = np.searchsorted(self._columns, (window.column, window.column + window.width))
        if bottom > top and right > left:
            rows = self._rows[top:bottom] - window.row
            columns = self._columns[left:right] - window.column
            thin = Sample(sample.key, {name: bands[:, rows][:, :, columns] for name, bands in sample.bands.items()})
            self._values[:, top:bottom, left:right] = stacked(thin, self._channels)
        return sample

    def values(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return the kept values `c n` of the rows from `start` to before `stop`, NaN where nothing was read."""
        top, bottom = np.searchsorted(self._rows, (start, stop))
        return self._values[:, top:bottom].reshape(len(self._values), -1)


def judge(prepare: Preprocessing, values: NDArray[np.float32]) -> str:
    """Return the text of `VALUES_TAG` for the kept values `c n` of a scene."""
    if prepare.quantiles is None:
        return UNKNOWN
    return "; ".join(compare(prepare.channels, prepare.quantiles, quantiles(values))) or ALIKE


def doubtful(tag: str | None) -> str | None:
    """Return what a mask's `VALUES_TAG` finds wrong; None where nothing is, or nobody looked."""
    return None if tag in (None, ALIKE, UNKNOWN) else tag
