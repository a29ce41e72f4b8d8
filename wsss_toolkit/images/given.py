"""Images that a program hands over, as an adapter would have read them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from wsss_toolkit.domain import ChannelTable, Sample
from wsss_toolkit.errors import UsageError


def sample_of(image: Any, channels: ChannelTable, key: str) -> Sample:
    """Return an image as an adapter would have read it.

    Args:
        image: An array `c h w`, channels in the order of `channels`; pixels that are NaN or masked are missing.
        channels: The bands that the model sees.
        key: What messages call it.

    Raises:
        UsageError: If it is no such array.

    >>> from wsss_toolkit.domain import Sensor
    >>> channels = ChannelTable((Sensor("camera", ("red", "green", "blue")),))
    >>> sample_of(np.zeros((3, 4, 5), np.uint8), channels, "a").size
    (4, 5)
    >>> sample_of(np.zeros((4, 5, 3), np.uint8), channels, "a")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    wsss_toolkit.errors.UsageError: expected an array c h w of 3 channels (camera.red, ...), got 4 x 5 x 3; ...
    """
    try:
        values = np.ma.filled(np.ma.asarray(image, np.float32), np.nan)
    except (TypeError, ValueError) as error:
        raise UsageError(f"image {key} is no array of numbers ({error})", fix="give an array c h w") from error
    if values.ndim != 3 or len(values) != len(channels) or not values.size:
        names, shape = ", ".join(channels.names), " x ".join(map(str, values.shape)) or "a number"
        swapped = values.ndim == 3 and values.shape[-1] == len(channels)
        fix = "channels come first: image.transpose(2, 0, 1)" if swapped else "give one array per image"
        raise UsageError(f"expected an array c h w of {len(channels)} channels ({names}), got {shape}", fix=fix)
    ends = np.cumsum([len(sensor.bands) for sensor in channels.sensors])
    parts = np.split(values, ends[:-1])
    return Sample(key, {sensor.name: part for sensor, part in zip(channels.sensors, parts, strict=True)})


@dataclass(frozen=True)
class GivenImages:
    """Images that are read when they are asked for, by key; what `ImageDataset` needs of an adapter."""

    readers: Mapping[str, Callable[[], Sample]]

    def read(self, key: str, channels: ChannelTable) -> Sample:
        """Read one image; its channels are those that it was given with."""
        return self.readers[key]()
