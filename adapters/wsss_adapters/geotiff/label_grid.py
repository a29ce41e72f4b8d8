"""Label rasters on the grid of an image: as they are, or resampled from another grid, resolution or CRS."""

from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsss_adapters.geotiff.grid import SceneGrid, in_pixels, warp_crs
from wsss_adapters.geotiff.reading import RasterHeader, encode_labels, label_band, read_header, read_label
from wsss_adapters.geotiff.sites import grid_difference, not_on_the_grid
from wsss_toolkit.domain import IGNORE_INDEX, Window
from wsss_toolkit.errors import DataError

FINER = 1.5
"""Label pixels per image pixel from which the class that covers most of it counts, and not the nearest label pixel."""

STRIP = 2**22
"""Label pixels that are read at a time."""


def check_label(
    path: Path, image: RasterHeader, site: str, *, codes: Collection[int], band: int | None
) -> RasterHeader | None:
    """Check what a label raster says without its pixels; return its header if it has to be resampled, else None.

    A raster without any georeference, such as a PNG, lies on the image pixel by pixel if it has its size: people draw
    masks in programs that know no maps.

    Raises:
        DataError: If it has several bands, its nodata value is the code of a class, or nobody knows where it lies.
    """
    header = read_header(path)
    number = label_band(path, header.bands, header.alpha, band)
    nodata = header.nodata[number - 1]
    if nodata is not None and nodata in codes:
        what = f"code {int(nodata)}, which data.labels.codes gives a class, is the file's nodata value"
        fix = "take the value away (gdal_edit.py -unsetnodata) if it is a class, else the code out of data.labels.codes"
        raise DataError(what, where=str(path), fix=fix)
    difference = grid_difference(header, image)
    if difference is None:
        return None
    if not header.georeferenced and (header.height, header.width) == (image.height, image.width):
        return None
    if header.crs is None or image.crs is None:
        raise not_on_the_grid(header, image, difference, site)
    _part(header, image)
    return header


def resampled(
    label: RasterHeader, image: RasterHeader, classes: Mapping[int, int], ignored: Collection[int], band: int | None
) -> NDArray[np.uint8]:
    """Read a label raster on the grid of an image: uint8 `h w`, class indices and 255, also where the raster ends.

    Each pixel takes the class of the nearest label pixel; where label pixels are finer, the class that covers most of
    it, and 255 if most of it is missing.

    Raises:
        DataError: As `reading.read_label`, `reading.encode_labels`, and if the two have no ground in common.
    """
    from rasterio import Affine
    from rasterio.enums import Resampling
    from rasterio.warp import reproject

    window, finer = _part(label, image)
    source = np.empty((window.height, window.width), np.uint8)
    step = max(1, STRIP // window.width)
    for row in range(0, window.height, step):
        height = min(step, window.height - row)
        codes = read_label(label.path, Window(window.row + row, window.column, height, window.width), band=band)
        source[row : row + height] = encode_labels(codes, classes, ignored, label.path)
    a, b, c, d, e, f = label.transform
    corner = c + a * window.column + b * window.row, f + d * window.column + e * window.row
    mask = np.full((image.height, image.width), IGNORE_INDEX, np.uint8)
    reproject(
        source,
        mask,
        src_transform=Affine(a, b, corner[0], d, e, corner[1]),
        src_crs=warp_crs(scene_grid(label), scene_grid(image)),
        dst_transform=Affine(*image.transform),
        dst_crs=image.crs,
        resampling=Resampling.mode if finer > FINER else Resampling.nearest,
        init_dest_nodata=False,
        tolerance=0,
    )
    return mask


def _part(label: RasterHeader, image: RasterHeader) -> tuple[Window, float]:
    """Return the part of a label raster that an image needs, and how many label pixels an image pixel covers."""
    outline = in_pixels(scene_grid(label), image.crs, np.array(scene_grid(image).outline()).T)
    if outline is None or not np.isfinite(outline).all():
        what = f"no transformation leads from its coordinate reference system to that of {image.path}"
        raise DataError(what, where=str(label.path), fix="bring both to one system, e.g. with gdalwarp")
    margin = 2
    first = np.floor(outline.min(axis=1)).astype(int) - margin
    last = np.ceil(outline.max(axis=1)).astype(int) + margin
    first, last = np.maximum(first, 0), np.minimum(last, [label.width, label.height])
    inside = np.minimum(outline.max(axis=1), [label.width, label.height]) - np.maximum(outline.min(axis=1), 0)
    if (inside <= 0).any():
        fix = "correct data.labels.path, or the files' coordinates"
        raise DataError(f"does not overlap {image.path}", where=str(label.path), fix=fix)
    (columns, rows), (next_columns, next_rows) = outline, np.roll(outline, -1, axis=1)
    covered = abs(float((columns * next_rows - next_columns * rows).sum())) / 2
    (column, row), (right, low) = first.tolist(), last.tolist()
    return Window(row, column, low - row, right - column), covered / (image.height * image.width)


def scene_grid(header: RasterHeader) -> SceneGrid:
    """Return a raster's grid."""
    wkt = header.crs.to_wkt() if header.crs else None
    return SceneGrid(header.height, header.width, wkt, header.transform, None, ())
