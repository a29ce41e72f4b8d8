"""How the values of each band are distributed, told by a bounded sample of images and of their pixels."""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from wsss_toolkit.domain import ChannelTable, Sample

LEVELS = (0.0, 0.001, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999, 1.0)
"""The shares of pixels whose values are kept of each band."""

SIDE = 32
"""Rows and columns of pixels that are taken of an image, evenly spaced: 1,024 pixels."""

KEPT = 256
"""Images at most whose pixels are kept; of more, evenly spaced ones."""

Quantiles = tuple[tuple[float, ...], ...]
"""For each channel its values at `LEVELS`, in sensor units; none where no pixel held data."""


def evenly(length: int, count: int) -> NDArray[np.int64]:
    """Return at most `count` evenly spaced positions below `length`.

    >>> evenly(3, 8).tolist(), evenly(100, 4).tolist()
    ([0, 1, 2], [12, 37, 62, 87])
    """
    if length <= count:
        return np.arange(length)
    return ((np.arange(count) + 0.5) * length / count).astype(np.int64)


def stacked(sample: Sample, channels: ChannelTable) -> NDArray[np.float32]:
    """Return the bands of a sample in the order of the channels, float32 `c h w`; NaN for a sensor that it lacks."""
    height, width = sample.size
    parts = []
    for sensor in channels.sensors:
        values = sample.bands.get(sensor.name)
        lacking = np.full((len(sensor.bands), height, width), np.nan, np.float32)
        parts.append(lacking if values is None else values)
    return np.concatenate(parts)


def quantiles(pixels: NDArray[np.float32]) -> Quantiles:
    """Return what values the pixels `c n` of each channel have at `LEVELS`; missing and infinite ones do not count.

    >>> quantiles(np.array([[0.0, 1.0, 2.0, np.nan]], np.float32))[0][5]
    1.0
    """
    found = []
    for band in pixels:
        known = band[np.isfinite(band)].astype(np.float64)
        found.append(tuple(np.quantile(known, LEVELS).tolist()) if known.size else ())
    return tuple(found)


class PixelSample:
    """Looks at images that pass by and keeps some of their pixels.

    Which ones depends on the images' order alone. Memory is bounded: when `KEPT` images are held, every second one is
    forgotten, and of those to come half as many are looked at.
    """

    def __init__(self, channels: ChannelTable) -> None:
        self.channels = channels
        self._kept: list[NDArray[np.float32]] = []
        self._step, self._seen = 1, 0

    def watch(self, samples: Iterable[Sample]) -> Iterator[Sample]:
        """Yield the images as they come."""
        for sample in samples:
            self.add(sample)
            yield sample

    def add(self, sample: Sample) -> None:
        """Look at one image."""
        if self._seen % self._step == 0:
            if len(self._kept) == KEPT:
                self._kept = self._kept[::2]
                self._step *= 2
            if self._seen % self._step == 0:
                rows, columns = (evenly(side, SIDE) for side in sample.size)
                thin = Sample(sample.key, {name: part[:, rows][:, :, columns] for name, part in sample.bands.items()})
                self._kept.append(stacked(thin, self.channels).reshape(len(self.channels), -1))
        self._seen += 1

    def quantiles(self) -> Quantiles | None:
        """Return the distribution of each channel; None where no image was seen."""
        return quantiles(np.concatenate(self._kept, axis=1)) if self._kept else None
