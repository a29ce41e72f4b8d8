"""The grid of a scene: what its masks must lie on, as plain values that travel between processes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

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

    def outline(self, steps: int = STEPS) -> list[tuple[float, float]]:
        """Return x and y of points along the edges, `steps` on each, in the order of `corners`."""
        corners = self.corners()
        return [
            (x0 + (x1 - x0) * step / steps, y0 + (y1 - y0) * step / steps)
            for (x0, y0), (x1, y1) in zip(corners, (*corners[1:], corners[0]), strict=True)
            for step in range(steps)
        ]


def grid_of(dataset: Any) -> SceneGrid:
    """Return the grid of an open raster."""
    wkt = dataset.crs.to_wkt() if dataset.crs else None
    return SceneGrid(dataset.height, dataset.width, wkt, tuple(dataset.transform)[:6], None, ())


def in_crs(points: Any, source: Any, target: Any) -> NDArray[np.float64] | None:
    """Return points `2 n` of one coordinate reference system in another (rasterio's types).

    Returns:
        float64 `2 n`, not finite where a point has no place there; None where nobody knows how the two are related: one
        is an engineering system, an unknown one, or of another celestial body.
    """
    from rasterio._err import CPLE_BaseError  # what GDAL says; rasterio's own errors are made of it in places only
    from rasterio.errors import RasterioError
    from rasterio.warp import transform

    if source == target:
        return np.array(points, dtype=np.float64)
    try:
        return np.array(transform(source, target, *points), dtype=np.float64)
    except (RasterioError, CPLE_BaseError):
        return None


def full_turn(crs: Any) -> float | None:
    """Return what 360 degrees are in the units of a geographic system (rasterio's type); None for others."""
    return 2 * np.pi / crs.units_factor[1] if crs is not None and crs.is_geographic else None


def warp_crs(grid: SceneGrid, target: SceneGrid) -> Any:
    """Return the system by which GDAL finds the pixels of `grid` for those of `target`.

    It is the grid's own. GDAL looks for longitudes between -180 and 180 degrees only, so a geographic grid that goes
    beyond, or whose target does, is said to have its longitudes around its own middle.
    """
    from rasterio.crs import CRS

    own = grid.rasterio_crs
    if own is None or own == CRS() or not own.is_geographic:
        return own
    turn = full_turn(own)
    wide = [np.array(each.corners())[:, 0] for each in (grid, target) if full_turn(each.rasterio_crs) == turn]
    if turn is None or abs(turn - 360) > 1e-6 or all(np.abs(each).max() <= turn / 2 for each in wide):
        return own
    middle = np.array(grid.corners())[:, 0].mean()
    return CRS.from_string(f"{own.to_proj4()} +lon_wrap={middle:.9f}")


def share_ground(one: SceneGrid, other: SceneGrid) -> bool | None:
    """Return whether two grids cover each other at least in part; None where nobody knows.

    That is so where a coordinate reference system is missing, and where no transformation joins the two. Each outline
    is seen in columns and rows of the other grid, and its bounding box there counts; longitudes differ by whole turns.
    """
    if one.crs is None or other.crs is None:
        return None
    found = [_box_meets(one, other), _box_meets(other, one)]
    return None if None in found else all(found)


def _box_meets(grid: SceneGrid, other: SceneGrid) -> bool | None:
    """Return whether the bounding box of another grid's outline meets a grid; True where parts of it lie nowhere."""
    places = in_pixels(grid, other.rasterio_crs, np.array(other.outline()).T)
    if places is None:
        return None
    if not np.isfinite(places).all():
        return True
    columns, rows = places
    across = columns.max() > 0 and columns.min() < grid.width
    return bool(across and rows.max() > 0 and rows.min() < grid.height)


def in_pixels(grid: SceneGrid, crs: Any, points: Any) -> NDArray[np.float64] | None:
    """Return columns and rows `2 n` of a grid for points along a line `2 n` in a system (rasterio's type).

    Longitudes are taken by whole turns to where the grid has them.

    Returns:
        float64 `2 n`, not finite where a point has no place in the grid's system; None where none is known.
    """
    places = in_crs(points, crs, grid.rasterio_crs)
    if places is None:
        return None
    turn = full_turn(grid.rasterio_crs)
    if turn is not None and np.isfinite(places).all():
        places[0] = unwrapped(places[0], turn)
        middle = np.array(grid.corners())[:, 0].mean()
        places[0] += turn * np.round((middle - (places[0].max() + places[0].min()) / 2) / turn)
    a, b, c, d, e, f = grid.transform
    found: NDArray[np.float64] = np.linalg.solve(np.array([[a, b], [d, e]]), places - np.array([[c], [f]]))
    return found


def unwrapped(longitudes: NDArray[np.float64], turn: float = 360.0) -> NDArray[np.float64]:
    """Return longitudes along a line without jumps by a whole turn."""
    return np.unwrap(longitudes, period=turn)
