"""Which pixels of a raster hold no data: one rule for every path by which pixels are read."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray

ALPHA_NAMES = ("alpha", "alpha band", "alphaband", "transparency", "opacity")


def alpha_band(source: Any, named: Collection[int] = ()) -> int | None:
    """Return the number of the band that says which pixels are valid, or None.

    GDAL calls the fourth band of whole bytes alpha, whatever it is. So a band that a name describes, or that is among
    the numbers `named` because the recipe names it, is data.
    """
    from rasterio.enums import ColorInterp

    found = []
    for band, (kind, text) in enumerate(zip(source.colorinterp, source.descriptions, strict=True), start=1):
        says_alpha = (text or "").strip().lower() in ALPHA_NAMES
        if band not in named and (says_alpha or (kind == ColorInterp.alpha and not (text or "").strip())):
            found.append(band)
    return found[-1] if found and source.count > 1 else None


@dataclass(frozen=True, slots=True)
class Validity:
    """What leaves out pixels of a raster's bands, found once for an open raster.

    Missing is what equals a band's own nodata value, what GDAL's mask of the band leaves out (internal masks, `.msk`
    files), what the alpha band has as 0, and what equals a value that a recipe or a product names; when read, also what
    is not finite. GDAL's masks by an alpha band don't count: `alpha` does, and it may be another band, or none.
    """

    alpha: int | None
    """The band that says which pixels are valid, or None (`alpha_band`)."""
    stated: Mapping[int, float]
    """What a recipe or a product says means "no data", by the number of the band."""
    masked: tuple[bool, ...]
    """Whether GDAL has a mask of each band of the raster that is neither its nodata value nor alpha."""
    shared: bool
    """Whether that mask is the same for all bands."""
    nodata: tuple[float | None, ...]
    """The nodata value of each band of the raster."""

    @classmethod
    def of(cls, source: Any, *, alpha: int | None, stated: Mapping[int, float]) -> "Validity":
        """Look at an open raster."""
        from rasterio.enums import MaskFlags

        flags = source.mask_flag_enums
        none = MaskFlags.all_valid, MaskFlags.alpha, MaskFlags.nodata
        masked = tuple(not any(flag in band for flag in none) for band in flags)
        shared = all(MaskFlags.per_dataset in band for band in flags)
        return cls(alpha, stated, masked, shared, tuple(source.nodatavals))

    def read(self, source: Any, bands: Sequence[int], window: Any = None) -> NDArray[Any]:
        """Read bands of the raster, or a window of them (rasterio's): floating `c h w`, NaN where a pixel is missing.

        They are float32 where that holds the stored numbers, float64 elsewhere.
        """
        stored = source.read(
            list(bands), window=window, out_dtype=np.result_type(*(source.dtypes[b - 1] for b in bands))
        )
        missing = np.zeros(stored.shape, np.bool_)
        for place, band in enumerate(bands):
            for value in (self.nodata[band - 1], self.stated.get(band)):
                if value is not None:
                    missing[place] |= stored[place] == _as_stored(value, stored.dtype)
        hidden = [place for place, band in enumerate(bands) if self.masked[band - 1]]
        if hidden and self.shared:
            missing[hidden] |= source.read_masks(bands[hidden[0]], window=window) == 0
        elif hidden:
            missing[hidden] |= source.read_masks([bands[place] for place in hidden], window=window) == 0
        if self.alpha is not None:
            missing |= source.read(self.alpha, window=window) == 0
        values: NDArray[Any] = stored.astype(np.result_type(stored.dtype, np.float32), copy=False)
        values[missing] = np.nan
        return values

    def view(self, source: Any, bands: Sequence[int]) -> Any:
        """Open the raster as one of some bands, floating, NaN where a pixel is missing, for GDAL to warp.

        It is read in place; the caller closes it. Reading it takes several times as long as `read`.
        """
        import rasterio

        view = _Layers(source, bands)
        masked = [self.masked[band - 1] for band in bands]
        own = [self.nodata[band - 1] for band in bands]
        view.add([_MASK if by_mask else _nodata(value) for by_mask, value in zip(masked, own, strict=True)])
        if any(by_mask and value is not None for by_mask, value in zip(masked, own, strict=True)):
            view.add([_nodata(value) for value in own])  # a mask hides it from GDAL
        if not self.stated.keys().isdisjoint(bands):
            view.add([_nodata(self.stated.get(band)) for band in bands])
        if self.alpha is not None:
            view.hold_by(self.alpha)
            view.add([_MASK] * len(bands))
        return rasterio.open(view.text, driver="VRT")


def in_float32(values: NDArray[Any]) -> NDArray[np.float32]:
    """Return values as float32, NaN where they are missing or not finite."""
    with np.errstate(over="ignore"):  # a float64 too large for float32 becomes infinite, then missing
        found: NDArray[np.float32] = values.astype(np.float32, copy=False)
    found[~np.isfinite(found)] = np.nan
    return found


def _as_stored(value: float, dtype: np.dtype[Any]) -> Any:
    """Return a number as a raster of a type has it, so that -3.4e38 is found among float32."""
    with np.errstate(over="ignore"):
        return dtype.type(value) if dtype.kind == "f" else value


def _nodata(value: float | None) -> str:
    return "" if value is None else f"<NODATA>{float(value)!r}</NODATA>"


_MASK = "<UseMaskBand>true</UseMaskBand>"


class _Layers:
    """GDAL's virtual rasters, one upon the other: each leaves out more pixels."""

    def __init__(self, source: Any, bands: Sequence[int]) -> None:
        self.name, self.below, self.bands = source.name, source.name, list(bands)
        self.size = f'rasterXSize="{source.width}" rasterYSize="{source.height}"'
        a, b, c, d, e, f = tuple(source.transform)[:6]
        self.place = "<GeoTransform>" + ",".join(repr(float(value)) for value in (c, a, b, f, d, e)) + "</GeoTransform>"
        small = all(np.dtype(source.dtypes[band - 1]).itemsize < 4 for band in bands)
        same = all(source.dtypes[band - 1] == "float32" for band in bands)
        self.kind = "Float32" if small or same else "Float64"

    def add(self, rules: Sequence[str]) -> None:
        """Lay a raster upon the others that leaves out what the rules say of each band."""
        self._lay([f"<ComplexSource>{self._source(band)}{rule}</ComplexSource>" for band, rule in self._rules(rules)])

    def hold_by(self, alpha: int) -> None:
        """Give the uppermost raster a mask: a band of the file itself."""
        mask = f"<SimpleSource>{_file(self.name)}<SourceBand>{alpha}</SourceBand></SimpleSource>"
        self._lay(
            [f"<SimpleSource>{self._source(band)}</SimpleSource>" for band in self.bands],
            f'<MaskBand><VRTRasterBand dataType="Byte">{mask}</VRTRasterBand></MaskBand>',
        )

    def _rules(self, rules: Sequence[str]) -> list[tuple[int, str]]:
        return list(zip(self.bands, rules, strict=True))

    def _source(self, band: int) -> str:
        return f"{_file(self.below)}<SourceBand>{band}</SourceBand>"

    def _lay(self, sources: Sequence[str], more: str = "") -> None:
        bands = "".join(
            f'<VRTRasterBand dataType="{self.kind}" band="{band}"><NoDataValue>nan</NoDataValue>{text}</VRTRasterBand>'
            for band, text in enumerate(sources, start=1)
        )
        self.text = f"<VRTDataset {self.size}>{self.place}{bands}{more}</VRTDataset>"
        self.below, self.bands = self.text, list(range(1, len(sources) + 1))


def _file(name: str) -> str:
    return f'<SourceFilename relativeToVRT="0">{escape(name)}</SourceFilename>'
