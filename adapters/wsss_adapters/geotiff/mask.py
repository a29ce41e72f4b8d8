"""Writing masks as GeoTIFF with the georeference of their source, complete or not at all."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray

from wsss_adapters.geotiff.reading import open_raster
from wsss_toolkit.domain import IGNORE_INDEX, ClassTable, Window
from wsss_toolkit.files import write_bytes


def write_mask(
    path: Path,
    mask: NDArray[np.uint8],
    *,
    like: Path,
    window: Window | None,
    classes: ClassTable,
    confidence: NDArray[np.uint8] | None,
    tags: Mapping[str, str],
) -> Path:
    """Write a mask as GeoTIFF: uint8, tiled, deflate, nodata 255, colour table, class names in the metadata.

    Class names are stored as the tags ``CLASS_0=Forest`` ... in the file and, for QGIS and GDAL, as category names in
    ``NAME.tif.aux.xml``. A confidence layer goes to ``NAME.confidence.tif``. Every file is complete or absent.

    Args:
        path: Where to write, without the suffix ``.tif``.
        mask: uint8 `h w`, class indices and 255.
        like: The source raster, whose CRS and transform (shifted by `window`) are taken over.
        window: The part of the source that the mask covers; all of it if None.
        classes: Names and colours.
        confidence: uint8 `h w`, or None.
        tags: Provenance to store in the file.

    Raises:
        ValueError: If the mask is not uint8 of the source's (or the window's) size.
        DataError: If the source cannot be read.
        WsssError: If the file cannot be written.
    """
    with open_raster(like) as source:
        size = (window.height, window.width) if window else (source.height, source.width)
        profile: dict[str, Any] = {"driver": "GTiff", "dtype": "uint8", "count": 1, "height": size[0], "width": size[1]}
        profile |= {"tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "deflate"}
        profile |= {"crs": source.crs, "transform": _shifted(source.transform, window)}
    for layer in (mask,) if confidence is None else (mask, confidence):
        if layer.dtype != np.uint8 or layer.shape != size:
            raise ValueError(f"a mask of {like} is uint8 {size}, got {layer.dtype} {layer.shape}")

    target = path.with_name(f"{path.name}.tif")
    names = {f"CLASS_{index}": name for index, name in enumerate(classes.names)}
    colors = {index: (*color, 255) for index, color in enumerate(classes.colors)} | {IGNORE_INDEX: (0, 0, 0, 0)}
    if confidence is not None:
        write_bytes(path.with_name(f"{path.name}.confidence.tif"), _encode(confidence, profile, dict(tags), None))
    write_bytes(target.with_name(f"{target.name}.aux.xml"), _category_names(classes).encode())
    write_bytes(target, _encode(mask, {**profile, "nodata": IGNORE_INDEX}, {**tags, **names}, colors))
    return target


def _encode(
    layer: NDArray[np.uint8],
    profile: Mapping[str, Any],
    tags: Mapping[str, str],
    colors: Mapping[int, tuple[int, int, int, int]] | None,
) -> bytes:
    """Return the bytes of a one-band GeoTIFF.

    GDAL reports a full disk in its log only, so the file is made in memory; Python, which raises, writes it.
    """
    from rasterio.errors import NotGeoreferencedWarning
    from rasterio.io import MemoryFile

    with warnings.catch_warnings(), MemoryFile() as memory:
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with memory.open(**profile) as raster:
            raster.write(layer, 1)
            raster.update_tags(**tags)
            if colors is not None:
                raster.write_colormap(1, dict(colors))
        return bytes(memory.read())


def _category_names(classes: ClassTable) -> str:
    """Return GDAL's auxiliary metadata that names the mask values."""
    names = "".join(f"<Category>{escape(name)}</Category>" for name in classes.names)
    band = f'<PAMRasterBand band="1"><CategoryNames>{names}</CategoryNames></PAMRasterBand>'
    return f"<PAMDataset>{band}</PAMDataset>\n"


def _shifted(transform: Any, window: Window | None) -> Any:
    """Return the transform of a window: the same pixels, with the origin at the window's corner.

    Spelled out because rasterio's own uses a notation that the `affine` package is about to drop.
    """
    if window is None:
        return transform
    a, b, c, d, e, f = tuple(transform)[:6]
    x = c + a * window.column + b * window.row
    y = f + d * window.column + e * window.row
    return type(transform)(a, b, x, d, e, y)
