"""The bands of pictures and of rasters, as samples."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsss_adapters.pictures.decoding import decode_picture
from wsss_adapters.pictures.header import RASTER, RGB, Header
from wsss_toolkit.domain import ChannelTable, Sample, Sensor, Window
from wsss_toolkit.errors import DataError


def read_picture(path: Path, key: str, header: Header, channels: ChannelTable) -> Sample:
    """Read the selected bands of a whole picture, which are of one sensor.

    Ordinary pictures are turned as their EXIF orientation says; grey, palette and CMYK become red, green and blue; NaN
    where a picture is fully transparent. Rasters keep their units; NaN where they say nodata or a value is not finite.

    Raises:
        DataError: If the file cannot be read or lacks a band.
    """
    check_bands(header.sensor, channels, str(path))
    if header.sensor.name == RASTER:
        from wsss_adapters.geotiff.reading import read_bands

        return Sample(key, {RASTER: read_bands(path, band_numbers(header.sensor, channels))})
    picture = decode_picture(path)
    return rgb_sample(key, picture.pixels, picture.there, channels)


def rgb_sample(key: str, pixels: NDArray[np.uint8], there: NDArray[np.bool_] | None, channels: ChannelTable) -> Sample:
    """Return the selected colours of decoded pixels `h w 3` as a sample, NaN where `there`, bool `h w`, is False."""
    numbers = [number - 1 for number in band_numbers(RGB, channels)]
    bands = pixels.transpose(2, 0, 1)[numbers].astype(np.float32)
    if there is not None:
        bands[:, ~there] = np.nan
    return Sample(key, {RGB.name: bands})


def check_bands(sensor: Sensor, channels: ChannelTable, where: str) -> None:
    """Raise a DataError for bands that a picture does not have."""
    known = {f"{sensor.name}.{band}" for band in sensor.bands}
    missing = [name for name in channels.names if name not in known]
    if missing:
        wanted = "an ordinary picture" if channels.sensors[0].name == RGB.name else "a file with these bands"
        fix = f"convert it to {wanted}, as those that the recipe was made for"
        raise DataError(f"has the bands {', '.join(sorted(known))}, not {', '.join(missing)}", where=where, fix=fix)


def band_numbers(sensor: Sensor, channels: ChannelTable) -> list[int]:
    """Return the selected bands' places in the file, from 1."""
    return [sensor.bands.index(band) + 1 for chosen in channels.sensors for band in chosen.bands]


def cut(sample: Sample, key: str, window: Window) -> Sample:
    """Return a part of a sample, under a key of its own."""
    rows, columns = window_slices(window)
    return Sample(key, {name: bands[:, rows, columns].copy() for name, bands in sample.bands.items()})


def window_slices(window: Window) -> tuple[slice, slice]:
    """Return a window as slices of rows and columns."""
    return slice(window.row, window.row + window.height), slice(window.column, window.column + window.width)
