"""Reading GeoTIFF: bands with missing pixels as NaN, label rasters, headers."""

import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

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

    @property
    def georeferenced(self) -> bool:
        """Whether the raster says where it lies."""
        return self.crs is not None or self.transform != (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


@contextmanager
def open_raster(path: Path) -> Iterator[Any]:
    """Open a raster for reading; whatever fails while it is open is an error that names the file.

    Tiles without a georeference are legitimate (TorchGeo's copy of DFC2020), so that warning is silenced.

    Raises:
        DataError: If the file is missing, is no raster, holds complex numbers or cannot be read to its end.
    """
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    if not path.is_file():
        raise DataError("no such file", where=str(path), fix="restore it or correct the data section's root and paths")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            source = rasterio.open(path)
        with source:
            if any(depth.startswith("complex") for depth in source.dtypes):
                # numpy would drop the imaginary part with a mere warning.
                what = f"holds complex numbers ({source.dtypes[0]}), of which only the real part would be read"
                fix = "convert it to real bands, such as magnitude and phase, or move it away"
                raise DataError(what, where=str(path), fix=fix)
            yield source
    except RasterioError as error:
        cause = str(error.__cause__ or error).splitlines()[0]
        fix = "copy or download the file again"
        raise DataError(f"not a readable raster, truncated or damaged ({cause})", where=str(path), fix=fix) from error


def read_header(path: Path) -> RasterHeader:
    """Read size, band count, descriptions and georeference of a raster.

    Raises:
        DataError: If the file is missing or is no raster.
    """
    with open_raster(path) as source:
        bands, transform = tuple(source.descriptions), tuple(source.transform)[:6]
        return RasterHeader(path, source.height, source.width, source.count, bands, source.crs, transform)


def read_bands(
    path: Path,
    indexes: Sequence[int],
    window: Window | None = None,
    values: BandValues = AS_STORED,
    key: str | None = None,
) -> NDArray[np.float32]:
    """Read bands of a raster, by their numbers from 1, or a window of them.

    Args:
        path: The file.
        indexes: The bands.
        window: A part of the image; None reads all of it.
        values: How the file's numbers become values.
        key: The recipe's section that says so, for messages.

    Returns:
        float32 `c h w`; NaN where the file says nodata or a value is not finite.

    Raises:
        DataError: If the file cannot be read, has too few bands, or scale tags that nobody said what to do with.
    """
    with open_raster(path) as source:
        if max(indexes) > source.count:
            fix = "check that the recipe's bands are those of the file"
            raise DataError(f"has {source.count} bands, band {max(indexes)} is wanted", where=str(path), fix=fix)
        values.check(source, indexes, str(path), key)
        stored = source.read(list(indexes), window=_rasterio_window(window), masked=True)
        with np.errstate(over="ignore"):  # a float64 too large for float32 becomes infinite, then missing
            numbers: NDArray[np.float32] = np.array(stored.data, dtype=np.float32)
        numbers[np.ma.getmaskarray(stored) | ~np.isfinite(numbers)] = np.nan
        if values.nodata is not None:
            numbers[numbers == np.float32(values.nodata)] = np.nan
        return values.apply(numbers, source, indexes)


def read_label(path: Path, window: Window | None = None) -> NDArray[np.int32]:
    """Read the first band of a label raster, or a window of it: int32 `h w`, `MISSING_LABEL` where there is nodata.

    Raises:
        DataError: If the file cannot be read or holds something other than whole numbers.
    """
    with open_raster(path) as source:
        stored = source.read(1, window=_rasterio_window(window), masked=True)
    values = stored.filled(0) if stored.mask is not np.ma.nomask else stored.data
    whole = np.nan_to_num(np.asarray(values, dtype=np.float64), nan=0.5)
    if (whole != np.rint(whole)).any() or (np.abs(whole) > np.iinfo(np.int32).max).any():
        raise DataError("label rasters hold whole numbers; this one does not", where=str(path))
    codes: NDArray[np.int32] = whole.astype(np.int32)
    codes[np.ma.getmaskarray(stored)] = MISSING_LABEL
    return codes


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


def _rasterio_window(window: Window | None) -> Any:
    """Return the window as rasterio's own type."""
    if window is None:
        return None
    from rasterio.windows import Window as RasterioWindow

    return RasterioWindow(window.column, window.row, window.width, window.height)
