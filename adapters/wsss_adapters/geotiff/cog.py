"""Cloud-Optimized GeoTIFF from blocks of rows, without ever holding the whole raster."""

import warnings
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from wsss_adapters.geotiff.grid import SceneGrid
from wsss_adapters.geotiff.opening import open_dataset
from wsss_toolkit.domain import IGNORE_INDEX
from wsss_toolkit.errors import DataError
from wsss_toolkit.files import cannot_write, complete_file

TILE = 512
"""Side of the file's tiles in pixels, which is also how many rows are read at a time to check it."""

CACHE_MB = 64
"""GDAL's block cache while writing; its own default is a share of the machine's memory."""

Rows = tuple[int, NDArray[np.uint8]]
"""First row, and pixels `c h w`."""

Colors = Mapping[int, tuple[int, int, int, int]]


@dataclass(frozen=True, slots=True)
class Look:
    """How the bands of a file are described."""

    names: Sequence[str]
    """Description of each band."""
    overviews: Literal["MODE", "AVERAGE"]
    """How reduced copies are made: the most frequent value, or the mean."""
    tags: Mapping[str, str] = field(default_factory=dict)
    colors: Colors | None = None
    """Colour table of the only band, red, green, blue, opacity; None for grey levels."""
    scale: float | None = None
    """What a stored value is multiplied by to get the real one; None where values stand for themselves."""


def write_cog(path: Path, grid: SceneGrid, rows: Callable[[], Iterable[Rows]], look: Look) -> None:
    """Write a uint8 Cloud-Optimized GeoTIFF on the grid, nodata 255; the file is complete or absent.

    GDAL makes such a file by copying another, and reports a full disk in its log only. So the rows, which come in
    blocks from top to bottom, are streamed to a temporary GeoTIFF, that is copied, and the copy's pixels are compared
    with the rows by their checksums.

    Raises:
        ValueError: If the rows are not the grid's, from the first to the last.
        WsssError: If the file cannot be written.
    """
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioError
    from rasterio.shutil import copy

    with complete_file(path) as partial, warnings.catch_warnings(), rasterio.Env(GDAL_CACHEMAX=CACHE_MB):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        plain = partial.with_name(f"{partial.stem}.plain.tif")
        try:
            sums = _write_plain(plain, grid, rows, look)
            options = {"COMPRESS": "DEFLATE", "BLOCKSIZE": str(TILE), "BIGTIFF": "IF_SAFER"}
            copy(plain, partial, driver="COG", OVERVIEW_RESAMPLING=look.overviews, **options)
            found = _checksums(partial, len(look.names))
        except RasterioError as error:
            raise cannot_write(path, str(error.__cause__ or error).splitlines()[0]) from error
        if found != sums:
            raise cannot_write(path, "the file is not what was written to it; the disk may be full")


def _write_plain(path: Path, grid: SceneGrid, rows: Callable[[], Iterable[Rows]], look: Look) -> list[int]:
    """Write a tiled GeoTIFF row block by row block; return the checksum of each band."""
    import rasterio
    from rasterio.enums import ColorInterp
    from rasterio.windows import Window

    bands = len(look.names)
    profile: dict[str, Any] = {"driver": "GTiff", "dtype": "uint8", "count": bands, "nodata": IGNORE_INDEX}
    profile |= {"height": grid.height, "width": grid.width, "crs": grid.rasterio_crs}
    profile |= {"tiled": True, "blockxsize": TILE, "blockysize": TILE}
    profile |= {"compress": "deflate", "zlevel": 1, "BIGTIFF": "IF_SAFER"}
    if grid.crs is not None or grid.affine != rasterio.Affine.identity():
        profile["transform"] = grid.affine
    if look.colors is None:
        profile["photometric"] = "MINISBLACK"
    sums = [0] * bands
    expected = 0
    with rasterio.open(path, "w", **profile) as raster:
        for row, pixels in rows():
            if row != expected or pixels.shape != (bands, pixels.shape[1], grid.width) or pixels.dtype != np.uint8:
                raise ValueError(f"expected row {expected} of {grid.width} pixels, got row {row} of {pixels.shape}")
            raster.write(pixels, window=Window(0, row, grid.width, pixels.shape[1]))
            sums = [zlib.crc32(np.ascontiguousarray(band).data, crc) for band, crc in zip(pixels, sums, strict=True)]
            expected += pixels.shape[1]
        if expected != grid.height:
            raise ValueError(f"the rows end at {expected}, the scene at {grid.height}")
        raster.update_tags(**{**look.tags, "AREA_OR_POINT": "Area"})
        for band, name in enumerate(look.names, start=1):
            raster.set_band_description(band, name)
        if look.colors is not None:
            raster.write_colormap(1, dict(look.colors))
        else:
            raster.colorinterp = [ColorInterp.gray] + [ColorInterp.undefined] * (bands - 1)
        if look.scale is not None:
            raster.scales = [look.scale] * bands
    return sums


def _checksums(path: Path, bands: int) -> list[int]:
    """Return the checksum of each band, reading a strip at a time."""
    import rasterio
    from rasterio.windows import Window

    sums = [0] * bands
    with rasterio.open(path) as raster:
        for row in range(0, raster.height, TILE):
            height = min(TILE, raster.height - row)
            strip = raster.read(window=Window(0, row, raster.width, height))
            sums = [zlib.crc32(np.ascontiguousarray(band).data, crc) for band, crc in zip(strip, sums, strict=True)]
    return sums


def read_tags(path: Path) -> dict[str, str]:
    """Return the metadata of a raster.

    Raises:
        DataError: If the file cannot be read.
    """
    try:
        with open_dataset(path) as raster:
            return {str(key): str(value) for key, value in raster.tags().items()}
    except DataError as error:
        raise DataError("not a readable raster", where=str(path), fix="delete it or use --overwrite") from error
