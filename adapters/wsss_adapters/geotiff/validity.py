"""Which pixels of a raster hold no data: one rule for every path by which pixels are read."""

from collections.abc import Collection, Sequence
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


def valid_view(source: Any, bands: Sequence[int], *, alpha: int | None, nodata: float | None = None) -> Any:
    """Open a view of some bands of a raster, floating, NaN where a pixel is missing; the caller closes it.

    Missing is what equals the band's own nodata value, what GDAL's mask of the band leaves out (internal masks, `.msk`
    files), what the alpha band has as 0, and what equals `nodata`. GDAL's masks by an alpha band don't count: `alpha`
    does, and it may be another band, or none (`alpha_band`). The view is read in place, band by band, warped or not.
    """
    import rasterio
    from rasterio.enums import MaskFlags

    view = _Layers(source, bands)
    flags = [source.mask_flag_enums[band - 1] for band in bands]
    masked = [MaskFlags.all_valid not in flag and MaskFlags.alpha not in flag for flag in flags]
    own = [source.nodatavals[band - 1] for band in bands]
    # A mask hides the nodata value from GDAL, and so does an alpha band.
    hidden = [None if MaskFlags.nodata in flag else value for flag, value in zip(flags, own, strict=True)]
    view.add([_MASK if by_mask else "" for by_mask in masked])
    if any(value is not None for value in hidden):
        view.add(["" if value is None else f"<NODATA>{float(value)!r}</NODATA>" for value in hidden])
    if nodata is not None:
        view.add([f"<NODATA>{float(nodata)!r}</NODATA>"] * len(bands))
    if alpha is not None:
        view.hold_by(alpha)
        view.add([_MASK] * len(bands))
    return rasterio.open(view.text, driver="VRT")


def read_valid(view: Any, bands: Sequence[int] | None = None, window: Any = None) -> NDArray[np.float32]:
    """Read a view (`valid_view`), or a window of it (rasterio's): float32 `c h w`, NaN where missing or not finite."""
    stored = view.read(bands, window=window)
    with np.errstate(over="ignore"):  # a float64 too large for float32 becomes infinite, then missing
        values: NDArray[np.float32] = stored.astype(np.float32)
    values[~np.isfinite(values)] = np.nan
    return values


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
