"""The grid of a scene: what its masks must lie on, as plain values that travel between processes."""

from dataclasses import dataclass
from typing import Any

import numpy as np

STEPS = 16
"""Points along each edge of an outline: straight edges on a map are curves in another projection."""


@dataclass(frozen=True, slots=True)
class SceneGrid:
    """Size, coordinate reference system and transform of a scene, and where it came from."""

    height: int
    width: int
    crs: str | None
    """WKT2 of the coordinate reference system, or None where the scene has none."""
    transform: tuple[float, ...]
    """Affine coefficients ``a b c d e f``: ``x = a column + b row + c``, ``y = d column + e row + f``."""
    acquired: str | None
    """Acquisition time, ISO 8601 in UTC, or None where nothing says it."""
    sources: tuple[str, ...]
    """The inputs as the user gave them."""

    @property
    def affine(self) -> Any:
        """The transform as rasterio's type."""
        from rasterio import Affine

        return Affine(*self.transform)

    @property
    def rasterio_crs(self) -> Any:
        """The coordinate reference system as rasterio's type, or None."""
        from rasterio.crs import CRS

        return None if self.crs is None else CRS.from_wkt(self.crs)

    def corners(self) -> tuple[tuple[float, float], ...]:
        """Return x and y of the four corners, counter-clockwise for a north-up grid."""
        a, b, c, d, e, f = self.transform
        places = ((0, 0), (0, self.height), (self.width, self.height), (self.width, 0))
        return tuple((a * column + b * line + c, d * column + e * line + f) for column, line in places)

    def outline(self) -> list[tuple[float, float]]:
        """Return x and y of points along the edges, in the order of `corners`."""
        corners = self.corners()
        return [
            (x0 + (x1 - x0) * step / STEPS, y0 + (y1 - y0) * step / STEPS)
            for (x0, y0), (x1, y1) in zip(corners, (*corners[1:], corners[0]), strict=True)
            for step in range(STEPS)
        ]


def grid_of(dataset: Any) -> SceneGrid:
    """Return the grid of an open raster."""
    wkt = dataset.crs.to_wkt() if dataset.crs else None
    return SceneGrid(dataset.height, dataset.width, wkt, tuple(dataset.transform)[:6], None, ())


def share_ground(one: SceneGrid, other: SceneGrid) -> bool:
    """Return whether two grids cover each other at least in part; True where a CRS is missing and nobody knows.

    The other grid's outline is seen in columns and rows of the first, and its bounding box there counts.
    """
    if one.crs is None or other.crs is None:
        return True
    from rasterio.warp import transform

    places = np.array(transform(other.rasterio_crs, one.rasterio_crs, *zip(*other.outline(), strict=True)))
    places = places[:, np.isfinite(places).all(axis=0)]
    if not places.size:
        return False
    a, b, c, d, e, f = one.transform
    columns, rows = np.linalg.solve(np.array([[a, b], [d, e]]), places - np.array([[c], [f]]))
    across = columns.max() > 0 and columns.min() < one.width
    return bool(across and rows.max() > 0 and rows.min() < one.height)


def footprint(grid: SceneGrid) -> tuple[dict[str, Any], list[float]] | None:
    """Return the outline of a scene and its bounding box in longitude and latitude (WGS 84, degrees).

    A scene across the antimeridian has a MultiPolygon of its two parts, and a box whose west is greater than its
    east, as RFC 7946 wants.

    Returns:
        GeoJSON geometry and ``[west, south, east, north]``; None for a scene without a coordinate reference system.
    """
    if grid.crs is None:
        return None
    from rasterio.warp import transform
    from shapely import box, union_all
    from shapely.affinity import translate
    from shapely.geometry import Polygon, mapping
    from shapely.geometry.polygon import orient

    longitudes, latitudes = transform(grid.rasterio_crs, "EPSG:4326", *zip(*grid.outline(), strict=True))
    # A tenth of a millimetre is exact enough, and keeps the files readable.
    longitudes, latitudes = ([round(value, 9) for value in values] for values in (longitudes, latitudes))
    crosses = max(longitudes) - min(longitudes) > 180
    if not crosses:
        outline = orient(Polygon(zip(longitudes, latitudes, strict=True)))
        west, south, east, north = outline.bounds
        return mapping(outline), [west, south, east, north]
    shifted = Polygon([(x + 360 if x < 0 else x, y) for x, y in zip(longitudes, latitudes, strict=True)])
    left = shifted.intersection(box(0, -90, 180, 90))
    right = translate(shifted.intersection(box(180, -90, 540, 90)), -360)
    parts = union_all([orient(left), orient(right)])
    return mapping(parts), [left.bounds[0], shifted.bounds[1], right.bounds[2], shifted.bounds[3]]
