"""What a picture's header says: its size, and whether it is an ordinary picture or a raster of bands."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from wsss_adapters.pictures.decoding import AS_STORED, SWAPPED, check_there, open_picture, orientation
from wsss_toolkit.domain import Sensor
from wsss_toolkit.errors import DataError

RGB = Sensor("rgb", ("R", "G", "B"), rgb=("R", "G", "B"))
"""The sensor of ordinary pictures: red, green and blue in 0..255."""

RASTER = "image"
"""The sensor of multi-band and 16-bit files, in the files' own units."""

ORDINARY = (("gray",), ("palette",), ("gray", "alpha"), ("red", "green", "blue"), ("red", "green", "blue", "alpha"))
"""How the bands of an 8-bit TIFF are called that is a picture like any other."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says without its pixels."""

    height: int
    """Rows, upright."""
    width: int
    """Columns, upright."""
    sensor: Sensor
    """`RGB`, or the sensor `image` with the file's bands."""
    depth: str
    """Type of a sample, such as ``uint8``."""
    turned: bool = False
    """Whether its EXIF orientation turns or mirrors the stored pixels."""
    pages: int = 1
    """Pictures in the file, of which the first is read; overviews are none."""

    @property
    def bands(self) -> str:
        """The bands in words, for messages."""
        count = len(self.sensor.bands)
        return (
            "red, green and blue" if self.sensor == RGB else f"{count} x {self.depth}: {', '.join(self.sensor.bands)}"
        )


def read_header(path: Path) -> Header:
    """Read a picture's size and bands.

    Raises:
        DataError: If the file is missing, empty, or no picture.
    """
    check_there(path)
    stat = path.stat()
    return _header(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=100_000)
def _header(path: Path, size: int, time: int) -> Header:
    """Read a header once: Pillow decodes a whole PNG to find its orientation."""
    if path.suffix.lower() in (".tif", ".tiff") or _is_deep_png(path):
        raster, pages = _raster_header(path)
        return raster or replace(_ordinary_header(path), pages=pages)
    return _ordinary_header(path)


def common_sensor(headers: Mapping[str, Header], where: Path) -> Sensor:
    """Return the one sensor of all pictures, whose headers are given by their names.

    Raises:
        DataError: If pictures differ in their bands; it names those that are odd.
    """
    kinds = Counter(header.bands for header in headers.values())
    usual = max(kinds, key=lambda kind: (kinds[kind], kind))
    odd = [f"{name} ({header.bands})" for name, header in headers.items() if header.bands != usual]
    if odd:
        shown = ", ".join(odd[:3]) + (", ..." if len(odd) > 3 else "")
        what = f"{len(odd)} of {len(headers)} pictures have other bands than the rest ({usual}): {shown}"
        raise DataError(what, where=str(where), fix="move them away, or convert them")
    return next(iter(headers.values())).sensor


def pages_notice(headers: Mapping[str, Header]) -> tuple[str, ...]:
    """Return the sentence that files hold more pictures than the one that is read, if any do."""
    several = [name for name, header in headers.items() if header.pages > 1]
    if not several:
        return ()
    number = f"{len(several)} file holds" if len(several) == 1 else f"{len(several)} files hold"
    return (f"{number} several pictures ({several[0]} has {headers[several[0]].pages}); only the first is used.",)


def _is_deep_png(path: Path) -> bool:
    """Return whether a file is a PNG of 16 bits a sample, which Pillow would cut to 8: byte 24 of its header."""
    with path.open("rb") as file:
        start = file.read(26)
    return start.startswith(b"\x89PNG\r\n\x1a\n") and start[24:25] == b"\x10"


def _raster_header(path: Path) -> tuple[Header | None, int]:
    """Return the header of a raster, or None if the file is an ordinary picture after all; and its pages."""
    from wsss_adapters.geotiff.reading import open_raster

    with open_raster(path) as source:
        named = tuple(source.descriptions)
        colors = tuple(color.name for color in source.colorinterp)
        depths = sorted(set(source.dtypes))
        size = source.height, source.width
        pages = len(source.subdatasets) or 1
    if depths == ["uint8"] and not any(named) and colors in ORDINARY:
        return None, pages
    numbered = tuple(f"B{number}" for number in range(1, len(named) + 1))
    bands = tuple(name.strip() for name in named if name and name.strip())
    if len(bands) < len(named) or len(set(bands)) < len(bands):
        bands = numbered
    rgb = None
    if {"red", "green", "blue"} <= set(colors):
        red, green, blue = (bands[colors.index(color)] for color in ("red", "green", "blue"))
        rgb = (red, green, blue)
    return Header(*size, Sensor(RASTER, bands, rgb), "/".join(depths), pages=pages), pages


def _ordinary_header(path: Path) -> Header:
    with open_picture(path) as picture:
        turn = orientation(picture)
        size = (picture.width, picture.height) if turn in SWAPPED else (picture.height, picture.width)
        # MPO holds other views of the same picture; a TIFF's pages are counted without its overviews.
        pages = 1 if picture.format in ("MPO", "TIFF") else int(getattr(picture, "n_frames", 1))
        return Header(*size, RGB, "uint8", turn != AS_STORED, pages)
