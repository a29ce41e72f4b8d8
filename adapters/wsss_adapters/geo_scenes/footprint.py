"""Where a scene lies on the globe, as GeoJSON."""

from typing import Any

from wsss_adapters.geotiff.grid import SceneGrid


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
