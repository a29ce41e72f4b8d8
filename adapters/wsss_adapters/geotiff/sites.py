"""Sites: the co-registered files of one place, found by pattern, checked and cut into crops."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wsss_adapters.geotiff.band_names import contradiction
from wsss_adapters.geotiff.grid import SceneGrid
from wsss_adapters.geotiff.reading import RasterHeader, read_header
from wsss_toolkit.domain import Window
from wsss_toolkit.errors import DataError
from wsss_toolkit.files import no_file

GRID_TOLERANCE = 0.01
"""Pixels by which corners of co-registered files may differ: what rounding in other software leaves."""


@dataclass(frozen=True, slots=True)
class Site:
    """One place."""

    key: str
    """Its name, safe as a file name; after its split where folders say that."""
    name: str
    split: str
    """The split whose folder it lies in, or "" where folders don't say."""
    files: Mapping[str, Path]
    """The file of each sensor that has one."""
    label: Path | None


def may_be_raster(path: Path) -> bool:
    """Return whether a path that a pattern matches counts: what is called like a file and is none fails when opened."""
    return path.is_file() or (path.suffix != "" and no_file(path) is not None)


def find_files(root: Path, pattern: str) -> dict[str, Path]:
    """Return the file of every site by its name, sorted; the pattern below the root holds `{site}` once, and `*`.

    Raises:
        DataError: If a site has two files.
    """
    pieces = [re.escape(piece).replace(r"\*", "[^/]*") for piece in pattern.split("{site}")]
    whole = re.compile("([^/]+?)".join(pieces))
    found: dict[str, Path] = {}
    for path in sorted(root.glob(pattern.replace("{site}", "*"))):
        match = whole.fullmatch(path.relative_to(root).as_posix())
        if match is None or not may_be_raster(path):
            continue
        if match[1] in found:
            what = f"two files of site {match[1]!r} match {pattern!r}: {found[match[1]].name} and {path.name}"
            raise DataError(what, where=str(root), fix="make the pattern narrower")
        found[match[1]] = path
    return found


@dataclass(frozen=True, slots=True)
class SiteGrid:
    """What a site's images are found to be."""

    image: RasterHeader
    """The first image, on whose grid the others lie."""
    numbers: Mapping[str, tuple[int, ...]]
    """Which bands of each sensor's file are data, in the order of the recipe's names."""


def check_site(site: Site, bands: Mapping[str, tuple[str, ...]]) -> SiteGrid:
    """Check that the images of a site cover the same pixels and have the bands expected.

    Raises:
        DataError: If files differ in size, CRS or transform, in their number of bands, or if a file calls its bands
            otherwise; it names them.
    """
    headers = {name: read_header(path) for name, path in site.files.items()}
    numbers = {name: check_bands(header, name, bands[name]) for name, header in headers.items()}
    first = next(iter(headers.values()))
    for other in headers.values():
        difference = grid_difference(other, first)
        if difference:
            raise not_on_the_grid(other, first, difference, site.key)
    return SiteGrid(first, numbers)


def check_bands(header: RasterHeader, sensor: str, bands: tuple[str, ...]) -> tuple[int, ...]:
    """Return which bands of a file are those that the recipe names; there may be an alpha band besides.

    Raises:
        DataError: If it has another number of bands, or its own band names say otherwise.
    """
    numbers = header.data_bands(len(bands))
    if numbers is None:
        what = f"has {header.bands} bands, but {len(bands)} are named for sensor {sensor!r}"
        raise DataError(what, where=str(header.path), fix=f"list the file's bands in data.sensors.{sensor}.bands")
    said = contradiction(bands, [header.descriptions[number - 1] for number in numbers])
    if said is not None:
        called = ", ".join(str(header.descriptions[number - 1]) for number in numbers)
        what = f"calls its bands {called}; the recipe calls them {', '.join(bands)}: {said}"
        fix = f"bring the file's bands or data.sensors.{sensor}.bands to one order, or correct the file's names"
        raise DataError(what, where=str(header.path), fix=fix)
    return numbers


def grid_difference(one: RasterHeader, other: RasterHeader) -> str | None:
    """Return in words how the grid of a raster differs from another's; None where both have the same pixels."""
    if (one.height, one.width) != (other.height, other.width):
        return f"is {one.height} x {one.width} pixels, not {other.height} x {other.width}"
    if one.crs != other.crs:
        return f"has the CRS {_short(one)}, not {_short(other)}"
    if corner_distance(one, other) > GRID_TOLERANCE:
        return f"has another transform, {corner_distance(one, other):.3g} pixels off"
    return None


def not_on_the_grid(one: RasterHeader, other: RasterHeader, difference: str, site: str) -> DataError:
    """Return the error for a file that does not lie on another's grid."""
    fix = f"resample site {site!r} to one grid, e.g. with gdalwarp, move its files away, or leave it out of "
    return DataError(f"{difference} as {other.path}", where=str(one.path), fix=f"{fix}data.splits.lists")


def corner_distance(one: RasterHeader | SceneGrid, other: RasterHeader | SceneGrid) -> float:
    """Return the largest distance between the corners of two rasters of one size, in pixels of the second."""
    corners = np.array([[0, 0, 1], [one.width, 0, 1], [0, one.height, 1], [one.width, one.height, 1]], dtype=np.float64)
    a, b = (np.array(header.transform).reshape(2, 3) for header in (one, other))
    shift = corners @ (a - b).T
    pixels = np.linalg.solve(b[:, :2], shift.T)
    return float(np.abs(pixels).max())


def crop_windows(height: int, width: int, side: int) -> Iterator[Window]:
    """Yield the non-overlapping square windows of an image, row by row; the remainder is left out."""
    for row in range(0, height - side + 1, side):
        for column in range(0, width - side + 1, side):
            yield Window(row, column, side, side)


def _short(header: RasterHeader) -> str:
    """Return a CRS as ``EPSG:32632``, or none."""
    return header.crs.to_string() if header.crs else "none"
