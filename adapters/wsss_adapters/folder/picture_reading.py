"""Pixels of pictures and their masks."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsss_adapters.folder.picture_header import RASTER, RGB, Header
from wsss_toolkit.domain import IGNORE_INDEX, ChannelTable, Sample, Sensor, Window
from wsss_toolkit.errors import DataError


def read_picture(path: Path, key: str, header: Header, channels: ChannelTable) -> Sample:
    """Read the selected bands of a whole picture.

    Ordinary pictures are turned as their EXIF orientation says; grey, palette and CMYK become red, green and blue; NaN
    where a picture is fully transparent. Rasters keep their units; NaN where they say nodata or a value is not finite.

    Args:
        path: The file.
        key: The sample's key.
        header: Its header.
        channels: The bands, of one sensor.

    Raises:
        DataError: If the file cannot be read or lacks a band.
    """
    check_bands(header.sensor, channels, str(path))
    if header.sensor.name == RASTER:
        from wsss_adapters.remote_sensing.geotiff import read_bands

        return Sample(key, {RASTER: read_bands(path, band_numbers(header.sensor, channels))})
    from wsss_adapters.endoscopy.frame_source import FrameSource
    from wsss_adapters.endoscopy.picture_frames import open_picture_scene

    with open_picture_scene(FrameSource(key, str(path), path, "picture"), channels, mask_borders=False) as picture:
        return picture.read(Window(0, 0, picture.height, picture.width))


def check_bands(sensor: Sensor, channels: ChannelTable, where: str) -> None:
    """Refuse bands that a picture does not have.

    Raises:
        DataError: If there are any.
    """
    known = {f"{sensor.name}.{band}" for band in sensor.bands}
    missing = [name for name in channels.names if name not in known]
    if missing:
        wanted = "an ordinary picture" if channels.sensors[0].name == RGB.name else "a file with these bands"
        raise DataError(
            f"has the bands {', '.join(sorted(known))}, not {', '.join(missing)}",
            where=where,
            fix=f"convert it to {wanted}, as those that the recipe was made for",
        )


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


def read_codes(path: Path) -> NDArray[np.int32]:
    """Read a mask's values: int32 `h w`; the indices of a palette, else the values of its only channel.

    Raises:
        DataError: If the file is missing, damaged, a JPEG, or has colours.
    """
    from PIL import Image

    if path.suffix.lower() in (".jpg", ".jpeg"):
        raise DataError("masks cannot be JPEG, which changes their values", where=str(path), fix="use PNG")
    if not path.is_file() or not path.stat().st_size:
        raise DataError("is empty (0 bytes) or missing", where=str(path), fix="copy it again, or move it away")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # remarks on metadata
            with Image.open(path) as mask:
                values = np.asarray(mask)
    except Exception as error:  # Pillow raises many kinds where bytes make no sense
        raise DataError("is no readable mask, truncated or damaged", where=str(path), fix="copy it again") from error
    if values.ndim == 3:
        # Grey stored in colours is a habit of drawing programs; an opaque fourth channel says nothing.
        colors = values[..., :3] if values.shape[2] >= 3 else values[..., :1]
        if (colors != colors[..., :1]).any():
            raise DataError(
                "has colours; masks hold one number for each pixel",
                where=str(path),
                fix="save it as palette or grey PNG",
            )
        values = colors[..., 0]
    whole = values.astype(np.int32)
    if not np.array_equal(whole, values):
        raise DataError("holds fractions; masks hold whole numbers", where=str(path))
    return whole


def read_mask(
    path: Path, size: tuple[int, int], picture: Path, codes: dict[int, int], ignored: Sequence[int]
) -> NDArray[np.uint8]:
    """Read a mask as class indices.

    Args:
        path: The mask.
        size: Height and width of its picture.
        picture: The picture, for errors.
        codes: Class index of each value.
        ignored: Values that become 255.

    Raises:
        DataError: If it cannot be read, is of another size, or holds a value that is neither.
    """
    from wsss_adapters.remote_sensing.geotiff import encode_labels

    values = read_codes(path)
    if values.shape != size:
        raise DataError(
            f"is {values.shape[0]} x {values.shape[1]} pixels, its picture {size[0]} x {size[1]}",
            where=str(path),
            fix=f"resize it to the size of {picture.name}, by the nearest pixel",
        )
    void = () if IGNORE_INDEX in codes else (IGNORE_INDEX,)
    return encode_labels(values, codes, (*ignored, *void), path)
