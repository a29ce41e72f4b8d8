"""The grid of a scene: what its masks must lie on, as plain values that travel between processes."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class SceneGrid:
    """Size, coordinate reference system and transform of a scene, and where it came from.

    Attributes:
        height: Rows.
        width: Columns.
        crs: WKT2 of the coordinate reference system, or None where the scene has none.
        transform: Affine coefficients ``a b c d e f``: ``x = a column + b row + c``, ``y = d column + e row + f``.
        acquired: Acquisition time, ISO 8601 in UTC, or None where nothing says it.
        sources: The inputs as the user gave them.
    """

    height: int
    width: int
    crs: str | None
    transform: tuple[float, ...]
    acquired: str | None
    sources: tuple[str, ...]

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

    def corners(self, row: int = 0, rows: int | None = None) -> tuple[tuple[float, float], ...]:
        """Return x and y of the four corners of some rows, counter-clockwise for a north-up grid."""
        a, b, c, d, e, f = self.transform
        last = row + (self.height - row if rows is None else rows)
        places = ((0, row), (0, last), (self.width, last), (self.width, row))
        return tuple((a * column + b * line + c, d * column + e * line + f) for column, line in places)
