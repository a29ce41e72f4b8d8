"""Opens rasters for reading: by drivers that read the file itself and nothing else, and within limits.

GDAL takes a file for whatever its first bytes look like: text in a `.tif` can be a VRT or a WMS description, which
reads other files of this machine and calls addresses. So the formats that are opened are listed here, and what a header
claims is compared with limits before memory is asked for. Every raster that others made is opened here.
"""

import os
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from wsss_adapters.xml_text import read_xml
from wsss_toolkit.errors import DataError, UsageError, blamed_on, did_you_mean, public_name, said
from wsss_toolkit.files import no_file

DRIVERS = ("GTiff", "JP2OpenJPEG", "JP2KAK", "JP2ECW", "JP2MrSID", "PNG", "JPEG", "BMP")
"""GDAL's names of the formats that are opened unasked: GeoTIFF and COG, JPEG 2000, and pictures, as labels are."""

REMOTE = re.compile(r"[a-z][a-z0-9+]+://|/vsi", re.IGNORECASE)
"""What begins so is opened by GDAL; this machine's file system does not know it."""

MOST_SIDE = 2**21
"""Rows or columns beyond which a raster is taken for damaged or hostile."""

MOST_BANDS = 2**12
"""Bands beyond which it is."""

MOST_BLOCK = 2**31
"""Bytes of one block (tile or strip), which GDAL unpacks as a whole."""

MOST_VALUES = 2**32
"""Values that are read at once."""

MOST_SPARE = 2**30
"""Bytes unpacked up to which a file may be as small as it likes, as one of a single colour is."""

MOST_SHRUNK = 2000
"""How many times more bytes a larger file may unpack to; deflate reaches a thousand."""

_MARKS = (
    ("VRT", rb"(?:\xef\xbb\xbf)?(?:<\?xml[^>]*>\s*)?<VRTDataset"),
    ("WMS", rb"(?:\xef\xbb\xbf)?(?:<\?xml[^>]*>\s*)?<GDAL_WMS"),
    ("WMTS", rb"(?:\xef\xbb\xbf)?(?:<\?xml[^>]*>\s*)?<GDAL_WMTS"),
    ("WCS", rb"(?:\xef\xbb\xbf)?(?:<\?xml[^>]*>\s*)?<WCS_GDAL"),
    ("MRF", rb"(?:\xef\xbb\xbf)?(?:<\?xml[^>]*>\s*)?<MRF_META"),
    ("HDF5", rb"\x89HDF"),
    ("netCDF", rb"CDF[\x01\x02\x05]"),
    ("HFA", rb"EHFA_HEADER_TAG"),
    ("GIF", rb"GIF8"),
)
"""First bytes of formats that people have, by the name of the driver."""

VRT_BYTES = 2**26
"""Size of a VRT's text."""

VRT_DEPTH = 4
"""VRTs that may name each other in turn."""


def shown(path: str | Path) -> str:
    """Return what messages call a raster: its path, of an address only what is no secret."""
    return public_name(str(path)) if REMOTE.match(str(path)) else str(path)


def parse_drivers(text: str) -> tuple[str, ...]:
    """Return the names of further GDAL drivers, which commas or blanks separate.

    Raises:
        UsageError: If GDAL has no such driver for rasters.
    """
    names = tuple(filter(None, re.split(r"[,\s]+", text)))
    if names:
        from rasterio.env import Env

        with Env() as env:
            known = {name.casefold(): name for name in env.drivers()}
        for name in names:
            if name.casefold() not in known:
                raise UsageError(f"GDAL has no driver {name!r}", fix=did_you_mean(name, known.values(), "e.g. VRT"))
        names = tuple(known[name.casefold()] for name in names)
    return names


def opened(path: str | Path, allowed: Sequence[str] = ()) -> Any:
    """Return a raster that is open for reading, a context manager itself.

    Rasters without a georeference are legitimate, so that warning is silenced.

    Args:
        path: A path, or one of GDAL's (``/vsicurl/...``).
        allowed: Drivers besides `DRIVERS`.

    Raises:
        DataError: If the file is missing or damaged, has another format, claims a size beyond the limits, or holds
            metadata that are no numbers.
    """
    from rasterio.env import ensure_env_with_credentials
    from rasterio.errors import NotGeoreferencedWarning, RasterioError
    from rasterio.io import DatasetReader

    name, where = str(path), shown(path)
    remote = REMOTE.match(name) is not None
    if not remote:
        _check_file(Path(name))
    # What a VRT names has to be looked into first, which takes a file of this machine.
    drivers = [*DRIVERS, *(driver for driver in allowed if not (remote and driver == "VRT"))]
    if "VRT" in drivers:
        _check_vrt(Path(name), 0)
    with reading(where), warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            # rasterio.open takes one driver only; this is what it calls.
            source = ensure_env_with_credentials(DatasetReader)(name, driver=drivers)
        except RasterioError as error:
            if remote and "VRT" in allowed and "supported file format" in str(error):
                what = "is of no format that is opened at an address; a VRT is read as a file of this machine only"
                raise DataError(what, where=where, fix="download it and the rasters that it names") from error
            raise _other_format(name, where, drivers) or error from error
        try:
            _check_limits(source, where)
        except Exception:
            source.close()
            raise
        return source


def _check_file(path: Path) -> None:
    """Refuse what is no file, and a file beside which lies something else that GDAL would wait for."""
    if not path.is_file():
        kind = no_file(path)
        what = f"is no file, but {kind}" if kind else "no such file"
        raise DataError(what, where=str(path), fix="restore it or correct the data section's root and paths")
    with suppress(OSError):
        for name, kind in _no_files(path.parent, path.parent.stat().st_mtime_ns):
            if re.match(rf"(?i:{re.escape(path.stem)})[._](?!.*(tiff?|jp2|vrt)$)", name):
                fix = "move it away: a raster's metadata are looked for in it"
                raise DataError(f"beside it lies {name}, which is {kind}, no file", where=str(path), fix=fix)


@lru_cache(maxsize=1000)
def _no_files(folder: Path, changed: int) -> tuple[tuple[str, str], ...]:
    """Return the pipes, sockets and devices in a folder, and what each is."""
    with os.scandir(folder) as entries:
        others = [Path(entry) for entry in entries if not entry.is_file(follow_symlinks=False)]
    kinds = {path.name: no_file(path) for path in others}
    return tuple((name, kind) for name, kind in kinds.items() if kind and kind not in ("a folder", "a link to nothing"))


@contextmanager
def open_dataset(path: str | Path, allowed: Sequence[str] = ()) -> Iterator[Any]:
    """Open a raster as `opened` does; whatever fails while it is open, too, is an error that names the file."""
    with reading(shown(path)), opened(path, allowed) as source:
        yield source


@contextmanager
def reading(where: str) -> Iterator[None]:
    """Turn errors of GDAL into one that says that a file is damaged, and others into one that names the file.

    Raises:
        DataError: If anything is raised in the block.
    """
    from rasterio.errors import RasterioError

    with blamed_on(where):
        try:
            yield
        except RasterioError as error:
            fix = "copy or download the file again"
            if "supported file format" in str(error):
                fix += "; a format other than GeoTIFF, JPEG 2000 and pictures has to be converted with gdal_translate"
            what = f"not a readable raster, truncated or damaged ({_cause(error)})"
            raise DataError(what, where=where, fix=fix) from error


def _cause(error: BaseException) -> str:
    """Return what GDAL says, without the kind of the error."""
    return said(error.__cause__ or error).partition(": ")[2] or type(error).__name__


def _other_format(path: str, where: str, drivers: Sequence[str]) -> DataError | None:
    """Return the error for a file of a format that is not opened unasked; None where it is another matter.

    Only the first bytes of the file are looked at: asking GDAL would open what is not to be opened.
    """
    if REMOTE.match(path):
        return None
    try:
        with Path(path).open("rb") as file:
            start = file.read(512).lstrip()
    except OSError:
        return None
    kind = next((kind for kind, mark in _MARKS if re.match(mark, start)), None)
    if kind is None or kind in drivers:
        return None
    what = f"is of the format {kind}, which is not opened unasked: such a file may name other files and addresses"
    fix = f"convert it to GeoTIFF with gdal_translate; or, if you trust it, `wsss pseudolabel --allow-drivers {kind}`"
    return DataError(what, where=where, fix=fix)


def _check_limits(source: Any, where: str) -> None:
    """Refuse claims that no raster fulfils, before memory is asked for."""
    fix = "copy or download it again; the header may be damaged"
    if max(source.height, source.width) > MOST_SIDE:
        what = f"claims {source.height} x {source.width} pixels; at most {MOST_SIDE} rows and columns are read"
        raise DataError(what, where=where, fix=fix)
    if source.count > MOST_BANDS:
        raise DataError(f"claims {source.count} bands; at most {MOST_BANDS} are read", where=where, fix=fix)
    for (height, width), kind in zip(source.block_shapes, source.dtypes, strict=True):
        if height * width * _bytes(kind) > MOST_BLOCK:
            what = f"is stored in blocks of {height} x {width} pixels; blocks hold at most {MOST_BLOCK >> 20} MiB"
            raise DataError(what, where=where, fix="store it in tiles, e.g. gdal_translate -co TILED=YES")
    unpacked = source.height * source.width * sum(map(_bytes, source.dtypes))
    file = Path(source.name)
    if source.driver == "GTiff" and unpacked > MOST_SPARE and file.is_file():
        stored = file.stat().st_size
        if unpacked > MOST_SHRUNK * stored:
            what = f"claims {source.height} x {source.width} pixels in {source.count} bands, and has {stored} bytes"
            raise DataError(what, where=where, fix=f"{fix}, or most of it was never written")
    a, b, c, d, e, f = tuple(source.transform)[:6]
    if not np.isfinite([a, b, c, d, e, f]).all():
        raise DataError(f"has a transform that is not finite: {(a, b, c, d, e, f)}", where=where, fix=fix)
    if a * e == b * d:
        fix = "assign the right one, e.g. with gdal_edit.py -a_ullr"
        raise DataError(f"has a transform whose pixels have no area: {(a, b, c, d, e, f)}", where=where, fix=fix)
    if not (np.isfinite(source.scales).all() and np.isfinite(source.offsets).all()):
        what = f"has a scale or an offset that is not finite: {source.scales}, {source.offsets}"
        raise DataError(what, where=where, fix="correct it, e.g. with gdal_edit.py -scale 1 -offset 0")


def _bytes(kind: str) -> int:
    return 16 if kind.startswith("complex") else int(np.dtype(kind).itemsize)


def check_reading(values: int, where: str) -> None:
    """Refuse to read more values at once than fit: a small file can claim any size.

    Raises:
        DataError: If there are more than `MOST_VALUES`.
    """
    if values > MOST_VALUES:
        what = f"would be {values} values in memory; at most {MOST_VALUES} are read at once"
        raise DataError(what, where=where, fix="cut it into smaller files")


def _check_vrt(path: Path, depth: int) -> None:
    """Refuse a VRT that names an address, a GDAL path or a file of another format; other files pass unread."""
    for source in vrt_sources(path):
        where, name = str(path), str(source)
        if REMOTE.match(name) or re.match(r"[A-Za-z0-9_]{2,}:|\s*<", name):
            what = f"names {public_name(name)!r}; sources of a VRT are plain files of this machine"
            raise DataError(what, where=where, fix="give the address itself, or make a VRT of files")
        if depth >= VRT_DEPTH:
            raise DataError("names VRTs that name VRTs in turn", where=where, fix="make one VRT of plain rasters")
        if not Path(name).is_file():
            raise DataError(f"names {name}, which is not there", where=where, fix="restore it, or make the VRT anew")
        _check_vrt(Path(name), depth + 1)
        if not vrt_sources(Path(name)):
            opened(name).close()  # a raster of a format that is opened unasked, or an error that names it


def vrt_sources(path: Path) -> list[Path | str]:
    """Return the files that a VRT names, an empty list where the file is none.

    Names that are no plain files (addresses, GDAL's own paths, whole data sets as text) are returned as they are.

    Raises:
        DataError: If its text is damaged, declares entities or is too large.
    """
    with path.open("rb") as file:
        start = file.read(512)
        if not re.match(_MARKS[0][1], start.lstrip()):
            return []
        content = start + file.read(VRT_BYTES)
    found: list[Path | str] = []
    for element in read_xml(content, str(path), most=VRT_BYTES).iter():
        if element.tag not in ("SourceFilename", "SourceDataset") or not (element.text or "").strip():
            continue
        name = (element.text or "").strip()
        if REMOTE.match(name) or re.match(r"[A-Za-z0-9_]{2,}:|\s*<", name):
            found.append(name)
        else:
            relative = element.get("relativeToVRT", element.get("relativetoVRT", "0")) == "1"
            found.append(path.parent / name if relative else Path(name))
    return list(dict.fromkeys(found))
