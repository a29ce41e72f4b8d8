"""Layers that say where clouds are, such as the scene classification (SCL) of Sentinel-2's level 2A."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from wsss_adapters.geotiff.grid import grid_of
from wsss_adapters.geotiff.reading import open_raster
from wsss_adapters.geotiff.sites import GRID_TOLERANCE, corner_distance
from wsss_toolkit.domain import Window
from wsss_toolkit.errors import DataError

CloudCode = Annotated[int, Field(ge=0, le=2**16 - 1)]

SCL_MISSING = (0, 1, 3, 8, 9, 10)
"""Codes of SCL that are no ground: no data, defective, cloud shadow, clouds of medium and high probability, cirrus."""


@contextmanager
def on_grid_of(layer: Any, reference: Any, where: str) -> Iterator[Any]:
    """Give a view of an open layer on the grid of another raster: each pixel has the code of the nearest.

    Raises:
        DataError: If it cannot be brought there.
    """
    from rasterio.enums import Resampling
    from rasterio.errors import RasterioError
    from rasterio.vrt import WarpedVRT

    size = (layer.height, layer.width) == (reference.height, reference.width)
    alike = (
        layer.crs == reference.crs and size and corner_distance(grid_of(layer), grid_of(reference)) <= GRID_TOLERANCE
    )
    if alike or (size and layer.crs is None and layer.transform.is_identity):
        yield layer
        return
    if None in (layer.crs, reference.crs):
        fix = "assign a coordinate reference system with gdal_edit.py -a_srs, or bring it to the images' grid"
        raise DataError("is a cloud layer on another grid, and it or the images lie nowhere", where=where, fix=fix)
    try:
        with WarpedVRT(
            layer,
            crs=reference.crs,
            transform=reference.transform,
            width=reference.width,
            height=reference.height,
            resampling=Resampling.nearest,
        ) as view:
            yield view
    except RasterioError as error:
        raise DataError(f"is a cloud layer that cannot be read ({error})", where=where) from error


def covered(view: Any, classes: tuple[int, ...], window: Window | None) -> NDArray[np.bool_]:
    """Return which pixels of a window have one of the codes, bool `h w`."""
    from rasterio.windows import Window as RasterioWindow

    area = None if window is None else RasterioWindow(window.column, window.row, window.width, window.height)
    return np.isin(view.read(1, window=area), classes)


def read_clouds(path: Path, classes: tuple[int, ...], image: Path, window: Window | None = None) -> NDArray[np.bool_]:
    """Return where a layer has one of the codes, on the grid of an image or of a window of it, bool `h w`.

    Raises:
        DataError: If a file cannot be read, or the two lie on grids that cannot be joined.
    """
    with open_raster(path) as layer, open_raster(image) as reference, on_grid_of(layer, reference, str(path)) as view:
        return covered(view, classes, window)
