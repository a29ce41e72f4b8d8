"""Reads pictures and rasters: what their headers say, and their bands as samples."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsss_adapters.pictures.decoding import AS_STORED, SWAPPED, check_there, decode_picture, open_picture, orientation
from wsss_adapters.pictures.kinds import kind_of
from wsss_toolkit.domain import ChannelTable, Sample, Sensor, Window
from wsss_toolkit.errors import DataError

RGB = Sensor("rgb", ("R", "G", "B"), rgb=("R", "G", "B"))
"""The sensor of ordinary pictures: red, green and blue in 0..255."""

RASTER = "image"
"""The sensor of multi-band and 16-bit files, in the files' own units."""

ORDINARY = (("gray",), ("palette",), ("gray", "alpha"), ("red", "green", "blue"), ("red", "green", "blue", "alpha"))
"""How the bands of an 8-bit TIFF are called that is a picture like any other."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says without its pixels."""

    height: int
    """Rows, upright."""
    width: int
    """Columns, upright."""
    sensor: Sensor
    """`RGB`, or the sensor `image` with the file's bands."""
    depth: str
    """Type of a sample, such as ``uint8``."""
    turned: bool = False
    """Whether its EXIF orientation turns or mirrors the stored pixels."""
    pages: int = 1
    """Pictures in the file, of which the first is read; overviews are none."""

    @property
    def bands(self) -> str:
        """The bands in words, for messages."""
        count = len(self.sensor.bands)
        return (
            "red, green and blue" if self.sensor == RGB else f"{count} x {self.depth}: {', '.join(self.sensor.bands)}"
        )


def read_header(path: Path) -> Header:
    """Read a picture's size and bands.

    Raises:
        DataError: If the file is missing, empty, or no picture.
    """
    check_there(path)
    stat = path.stat()
    return _header(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=100_000)
def _header(path: Path, size: int, time: int) -> Header:
    """Read a header once: Pillow decodes a whole PNG to find its orientation."""
    if kind_of(path) in ("TIFF", "JPEG 2000") or _is_deep_png(path):
        raster, pages = _raster_header(path)
        return raster or replace(_ordinary_header(path), pages=pages)
    return _ordinary_header(path)


def common_sensor(headers: Mapping[str, Header], where: Path) -> Sensor:
    """Return the one sensor of all pictures, whose headers are given by their names.

    Raises:
        DataError: If pictures differ in their bands; it names those that are odd.
    """
    kinds = Counter(header.bands for header in headers.values())
    usual = max(kinds, key=lambda kind: (kinds[kind], kind))
    odd = [f"{name} ({header.bands})" for name, header in headers.items() if header.bands != usual]
    if odd:
        shown = ", ".join(odd[:3]) + (", ..." if len(odd) > 3 else "")
        what = f"{len(odd)} of {len(headers)} pictures have other bands than the rest ({usual}): {shown}"
        raise DataError(what, where=str(where), fix="move them away, or convert them")
    return next(iter(headers.values())).sensor


def pages_notice(headers: Mapping[str, Header]) -> tuple[str, ...]:
    """Return the sentence that files hold more pictures than the one that is read, if any do."""
    several = [name for name, header in headers.items() if header.pages > 1]
    if not several:
        return ()
    number = f"{len(several)} file holds" if len(several) == 1 else f"{len(several)} files hold"
    return (f"{number} several pictures ({several[0]} has {headers[several[0]].pages}); only the first is used.",)


def _is_deep_png(path: Path) -> bool:
    """Return whether a file is a PNG of 16 bits a sample, which Pillow would cut to 8: byte 24 of its header."""
    with path.open("rb") as file:
        start = file.read(26)
    return start.startswith(b"\x89PNG\r\n\x1a\n") and start[24:25] == b"\x10"


def _raster_header(path: Path) -> tuple[Header | None, int]:
    """Return the header of a raster, or None if the file is an ordinary picture after all; and its pages."""
    from wsss_adapters.geotiff.reading import open_raster

    with open_raster(path) as source:
        named = tuple(source.descriptions)
        colors = tuple(color.name for color in source.colorinterp)
        depths = sorted(set(source.dtypes))
        size = source.height, source.width
        pages = len(source.subdatasets) or 1
    if depths == ["uint8"] and not any(named) and colors in ORDINARY:
        return None, pages
    numbered = tuple(f"B{number}" for number in range(1, len(named) + 1))
    bands = tuple(name.strip() for name in named if name and name.strip())
    if len(bands) < len(named) or len(set(bands)) < len(bands):
        bands = numbered
    rgb = None
    if {"red", "green", "blue"} <= set(colors):
        red, green, blue = (bands[colors.index(color)] for color in ("red", "green", "blue"))
        rgb = (red, green, blue)
    return Header(*size, Sensor(RASTER, bands, rgb), "/".join(depths), pages=pages), pages


def _ordinary_header(path: Path) -> Header:
    with open_picture(path) as picture:
        turn = orientation(picture)
        size = (picture.width, picture.height) if turn in SWAPPED else (picture.height, picture.width)
        # MPO holds other views of the same picture; a TIFF's pages are counted without its overviews.
        pages = 1 if picture.format in ("MPO", "TIFF") else int(getattr(picture, "n_frames", 1))
        return Header(*size, RGB, "uint8", turn != AS_STORED, pages)


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

        numbers = band_numbers(header.sensor, channels)
        return Sample(key, {RASTER: read_bands(path, numbers, named=numbers)})
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
