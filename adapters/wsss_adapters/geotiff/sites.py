"""Sites: the co-registered files of one place, found by pattern, checked and cut into crops."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wsss_adapters.geotiff.grid import SceneGrid
from wsss_adapters.geotiff.reading import RasterHeader, read_header
from wsss_toolkit.domain import Window
from wsss_toolkit.errors import DataError

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
        if match is None or not path.is_file():
            continue
        if match[1] in found:
            what = f"two files of site {match[1]!r} match {pattern!r}: {found[match[1]].name} and {path.name}"
            raise DataError(what, where=str(root), fix="make the pattern narrower")
        found[match[1]] = path
    return found


def check_site(site: Site, bands: Mapping[str, int]) -> RasterHeader:
    """Check that the files of a site cover the same pixels and have the bands expected; return the first's header.

    A label raster without any georeference, such as a PNG, lies on the site's grid pixel by pixel if it has its size:
    people draw masks in programs that know no maps.

    Raises:
        DataError: If files differ in size, CRS or transform, or in their number of bands; it names them.
    """
    headers = {name: read_header(path) for name, path in site.files.items()}
    for name, header in headers.items():
        if header.bands != bands[name]:
            what = f"has {header.bands} bands, but {bands[name]} are named for sensor {name!r}"
            raise DataError(what, where=str(header.path), fix=f"list the file's bands in data.sensors.{name}.bands")
    first = next(iter(headers.values()))
    label = [read_header(site.label)] if site.label else []
    for other in [*headers.values(), *label]:
        if (other.height, other.width) != (first.height, first.width):
            difference = f"is {other.height} x {other.width} pixels, not {first.height} x {first.width}"
        elif other in label and not other.georeferenced:
            continue
        elif other.crs != first.crs:
            difference = f"has the CRS {_short(other)}, not {_short(first)}"
        elif corner_distance(other, first) > GRID_TOLERANCE:
            difference = f"has another transform, {corner_distance(other, first):.3g} pixels off"
        else:
            continue
        fix = (
            f"resample site {site.key!r} to one grid, e.g. with gdalwarp, move its files away, or leave it out of "
            "data.splits.lists"
        )
        raise DataError(f"{difference} as {first.path}", where=str(other.path), fix=fix)
    return first


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
