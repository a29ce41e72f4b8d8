"""Reading GeoTIFF: bands with missing pixels as NaN, label rasters, headers."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsss_adapters.geotiff.opening import check_reading, open_dataset
from wsss_adapters.geotiff.validity import Validity, alpha_band, in_float32
from wsss_adapters.geotiff.values import BandValues
from wsss_toolkit.domain import IGNORE_INDEX, Window
from wsss_toolkit.errors import DataError

MISSING_LABEL = np.iinfo(np.int32).min
"""What `read_label` puts where the file says nodata; no label code has this value."""


AS_STORED = BandValues()
"""Values are a file's own numbers."""


@dataclass(frozen=True, slots=True)
class RasterHeader:
    """What a raster says about itself without its pixels."""

    path: Path
    height: int
    width: int
    bands: int
    """Number of bands."""
    descriptions: tuple[str | None, ...]
    """Band descriptions, None where a band has none."""
    crs: Any
    """The coordinate reference system (rasterio's `CRS`), or None."""
    transform: tuple[float, ...]
    """Coefficients ``a b c d e f`` that map column and row to x and y; the identity where the raster says nothing."""
    alpha: int | None
    """The band that says which pixels are valid, if one looks like it (`validity.alpha_band`); None where none does."""
    nodata: tuple[float | None, ...]
    """The value of each band that means "no data", or None."""

    @property
    def georeferenced(self) -> bool:
        """Whether the raster says where it lies."""
        return self.crs is not None or self.transform != (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)

    def data_bands(self, names: int) -> tuple[int, ...] | None:
        """Return the numbers of the bands that so many names are for; None if the file has another number of bands.

        A band more than there are names is no obstacle if it is alpha.
        """
        numbers = range(1, self.bands + 1)
        if self.bands == names:
            return tuple(numbers)
        rest = tuple(number for number in numbers if number != self.alpha)
        return rest if len(rest) == names else None


@contextmanager
def open_raster(path: Path) -> Iterator[Any]:
    """Open a raster for reading; whatever fails while it is open is an error that names the file.

    Raises:
        DataError: If the file is missing, is no raster, one of a format that is not opened unasked (see
            `geotiff.opening`), holds complex numbers or cannot be read to its end.
    """
    # The recipe's pattern names the files: one that ends in .vrt asks for VRTs.
    with open_dataset(path, ("VRT",) if path.suffix.lower() == ".vrt" else ()) as source:
        if any(depth.startswith("complex") for depth in source.dtypes):
            # numpy would drop the imaginary part with a mere warning.
            what = f"holds complex numbers ({source.dtypes[0]}), of which only the real part would be read"
            fix = "convert it to real bands, such as magnitude and phase, or move it away"
            raise DataError(what, where=str(path), fix=fix)
        yield source


def read_header(path: Path) -> RasterHeader:
    """Read size, band count, descriptions, georeference and what is said of missing pixels.

    Raises:
        DataError: If the file is missing or is no raster.
    """
    with open_raster(path) as source:
        size, bands, transform = (source.height, source.width), tuple(source.descriptions), tuple(source.transform)[:6]
        missing = alpha_band(source), tuple(source.nodatavals)
        return RasterHeader(path, *size, source.count, bands, source.crs, transform, *missing)


def read_bands(
    path: Path,
    indexes: Sequence[int],
    window: Window | None = None,
    *,
    named: Collection[int] | None = None,
    values: BandValues = AS_STORED,
    key: str | None = None,
) -> NDArray[np.float32]:
    """Read bands of a raster, by their numbers from 1, or a window of them.

    Args:
        path: The file.
        indexes: Which bands.
        window: The part of it; all of it if None.
        named: The bands that are data because a recipe names them; another may be alpha. None if all are data.
        values: How the file's numbers become values.
        key: The recipe's section that says so, for messages.

    Returns:
        float32 `c h w`; NaN where a pixel is missing (`validity.Validity`) or not finite.

    Raises:
        DataError: If the file cannot be read, has too few bands, or scale tags that nobody said what to do with.
    """
    with open_raster(path) as source:
        if max(indexes) > source.count:
            fix = "check that the recipe's bands are those of the file"
            raise DataError(f"has {source.count} bands, band {max(indexes)} is wanted", where=str(path), fix=fix)
        check_reading(len(indexes) * _size(source, window), str(path))
        alpha = None if named is None else alpha_band(source, named)
        values.check(source, indexes, str(path), key)
        stated = {} if values.nodata is None else dict.fromkeys(indexes, values.nodata)
        stored = Validity.of(source, alpha=alpha, stated=stated).read(source, indexes, _rasterio_window(window))
        return values.apply(in_float32(stored), source, indexes)


def read_label(path: Path, window: Window | None = None, *, band: int | None = None) -> NDArray[np.int32]:
    """Read the codes of a label raster, or a window of it: int32 `h w`, `MISSING_LABEL` where a pixel is missing.

    A pixel is missing as in `read_bands`; so are those that are NaN. `band` says which band holds the codes; without
    it the raster has one band, and perhaps an alpha band.

    Raises:
        DataError: If the file cannot be read, has several bands, or holds something other than whole numbers.
    """
    with open_raster(path) as source:
        check_reading(_size(source, window), str(path))
        alpha = alpha_band(source)
        number = label_band(path, source.count, alpha, band)
        validity = Validity.of(source, alpha=None if alpha == number else alpha, stated={})
        [values] = validity.read(source, [number], _rasterio_window(window))
    missing = np.isnan(values)
    whole = np.where(missing, 0, values).astype(np.float64)
    if (whole != np.rint(whole)).any() or (np.abs(whole) > np.iinfo(np.int32).max).any():
        raise DataError("label rasters hold whole numbers; this one does not", where=str(path))
    codes: NDArray[np.int32] = whole.astype(np.int32)
    codes[missing] = MISSING_LABEL
    return codes


def label_band(path: Path, count: int, alpha: int | None, band: int | None) -> int:
    """Return the number of the band that holds a label raster's codes.

    Raises:
        DataError: If there are several and `band` doesn't say it, or there is no such band.
    """
    data = [number for number in range(1, count + 1) if number != alpha]
    if band is None and len(data) > 1:
        fix = "say which one in data.labels.band, or make one band of codes of them (one-hot layers, colours)"
        raise DataError(f"has {count} bands; one of them must hold the codes of the classes", where=str(path), fix=fix)
    if band is not None and band > count:
        raise DataError(
            f"has {count} bands, data.labels.band is {band}", where=str(path), fix="correct data.labels.band"
        )
    return band or data[0]


def encode_labels(
    codes: NDArray[Any], classes: Mapping[int, int], ignored: Collection[int], path: Path, fix: str | None = None
) -> NDArray[np.uint8]:
    """Turn label codes into mask values: uint8 `h w`, class indices and 255.

    Args:
        codes: Whole numbers `h w`, such as `read_label` returns.
        classes: Mask value of each label code.
        ignored: Codes that become 255, as missing pixels do.
        path: The file that the codes come from, for the error.
        fix: What to do about codes in neither; None lists those that are known.

    Raises:
        DataError: If a code is in neither; the error lists all such codes.
    """
    found = np.unique(codes)
    known = {**dict.fromkeys(ignored, IGNORE_INDEX), **classes, int(MISSING_LABEL): IGNORE_INDEX}
    unknown = [int(code) for code in found if int(code) not in known]
    if unknown:
        shown = ", ".join(map(str, unknown[:10])) + (", ..." if len(unknown) > 10 else "")
        listed = ", ".join(map(str, sorted(code for code in known if code != MISSING_LABEL)))
        raise DataError(f"unknown label codes {shown}", where=str(path), fix=fix or f"known are {listed}")
    values = np.array([known[int(code)] for code in found], dtype=np.uint8)
    mask: NDArray[np.uint8] = values[np.searchsorted(found, codes)]
    return mask


def _size(source: Any, window: Window | None) -> int:
    """Return the number of pixels of a window, or of the whole raster."""
    return int(source.height * source.width) if window is None else window.height * window.width


def _rasterio_window(window: Window | None) -> Any:
    """Return the window as rasterio's own type."""
    if window is None:
        return None
    from rasterio.windows import Window as RasterioWindow

    return RasterioWindow(window.column, window.row, window.width, window.height)
