"""Where a scene lies on the globe, as GeoJSON has it: across the antimeridian and around the poles too."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsss_adapters.geotiff.grid import SceneGrid, full_turn, in_crs, unwrapped

WGS84 = "EPSG:4326"

POLAR = 75.0
"""Degrees of latitude from which outlines are followed closely: there, a short way may be many degrees of longitude."""

POLAR_STEPS = 256
"""Points along each edge there."""

SHARP = 60.0
"""Degrees of longitude between two such points that lie on two sides of the pole."""


def footprint(grid: SceneGrid) -> tuple[dict[str, Any], list[float]] | None:
    """Return the outline of a scene and its bounding box in longitude and latitude (WGS 84, degrees).

    A scene across the antimeridian has a MultiPolygon of its two parts, and a box whose west is greater than its
    east, as RFC 7946 wants. A scene around a pole reaches up to it at all longitudes.

    Returns:
        GeoJSON geometry and ``[west, south, east, north]``; None for a scene that has no position on the globe: without
        a coordinate reference system, or with one that is not tied to it.
    """
    ring = _ring(grid)
    if ring is None:
        return None
    from shapely import box, make_valid, union_all
    from shapely.affinity import translate
    from shapely.geometry import Polygon, mapping
    from shapely.geometry.polygon import orient

    # Longitudes from -180 on; what is east of 180 degrees is moved to the west.
    ring[0] -= 360 * np.floor((ring[0].min() + 180) / 360)
    # A tenth of a millimetre is exact enough, and keeps the files readable.
    outline = make_valid(Polygon(np.round(ring, 9).T.tolist()))
    pieces = [translate(outline.intersection(box(west, -90, west + 360, 90)), -180 - west) for west in (-180, 180)]
    parts = [
        orient(part)
        for piece in pieces
        for part in getattr(piece, "geoms", [piece])
        if part.geom_type == "Polygon" and not part.is_empty
    ]
    if not parts:
        return None
    west, south, east, north = outline.bounds
    if east - west >= 360:
        west, east = -180.0, 180.0
    elif east > 180:
        east -= 360
    return mapping(parts[0] if len(parts) == 1 else union_all(parts)), [west, south, east, north]


def _ring(grid: SceneGrid) -> NDArray[np.float64] | None:
    """Return longitudes and latitudes `2 n` along the outline, without jumps, led round a pole that lies inside."""
    from rasterio.crs import CRS

    if grid.crs is None:
        return None
    points = in_crs(np.array(grid.outline()).T, grid.rasterio_crs, CRS.from_string(WGS84))
    if points is None:
        return None
    points = points[:, np.isfinite(points).all(axis=0)]
    if points.shape[1] < 3:
        return None
    points[1] = points[1].clip(-90, 90)
    if full_turn(grid.rasterio_crs) is not None:
        return np.stack([unwrapped(points[0]), points[1]])  # columns are longitudes, at the poles too
    if np.abs(points[1]).max() > POLAR:
        fine = in_crs(np.array(grid.outline(POLAR_STEPS)).T, grid.rasterio_crs, CRS.from_string(WGS84))
        middle = in_crs(np.array(grid.corners()).mean(axis=0)[:, None], grid.rasterio_crs, CRS.from_string(WGS84))
        if fine is not None and middle is not None and np.isfinite(fine).all():
            points = _led_round_poles(fine, float(middle[0, 0]))
    longitudes = unwrapped(np.append(points[0], points[0][0]))
    turned = longitudes[-1] - longitudes[0]
    if abs(turned) < 180:
        return np.stack([longitudes[:-1], points[1]])
    pole = np.copysign(90.0, points[1].mean())
    latitudes = np.append(points[1], points[1][0])  # the outline goes round a pole
    ends = [[longitudes[-1], longitudes[0]], [pole, pole]]
    return np.concatenate([np.stack([longitudes, latitudes]), ends], axis=1)


def _led_round_poles(points: NDArray[np.float64], middle: float) -> NDArray[np.float64]:
    """Return an outline that passes a pole along it, from the longitude before it to the longitude after it.

    A pole has no longitude of its own. Where an edge runs straight through it, the turn is on the side of `middle`.
    """
    away = np.flatnonzero(np.abs(points[1]) < 90 - 1e-7)
    if not away.size:
        return points
    points = np.roll(points, -int(away[0]), axis=1)
    points = points[:, np.abs(points[1]) < 90 - 1e-7]
    turns = (np.roll(points[0], -1) - points[0] + 180) % 360 - 180
    passed = np.abs(points[1]) > POLAR
    led: list[tuple[float, float]] = []
    for (longitude, latitude), turn, near in zip(points.T, turns, passed, strict=True):
        led.append((longitude, latitude))
        if not near or abs(turn) < SHARP:
            continue
        if abs(abs(turn) - 180) < 1e-3 and np.cos(np.radians(longitude + turn / 2 - middle)) < 0:
            turn = -turn  # the other way round
        led += [(longitude + turn * share, float(np.copysign(90, latitude))) for share in (0, 1 / 3, 2 / 3, 1)]
    return np.array(led).T
