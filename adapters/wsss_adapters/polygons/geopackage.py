"""The areas of each class as polygons in a GeoPackage, with area and confidence."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsss_adapters.geotiff.grid import SceneGrid
from wsss_adapters.geotiff.legend import hex_color
from wsss_adapters.polygons.components import Area, areas, generalised, polygon
from wsss_toolkit.domain import LEVELS, ClassTable, Layers
from wsss_toolkit.errors import WsssError
from wsss_toolkit.files import cannot_write, complete_file

BATCH = 10_000
"""Polygons written at a time."""

EDGE = 32.0
"""Longest edge in pixels when areas are measured: straight edges on a map are curves in another projection."""

DATE = "1970-01-01T00:00:00.000Z"
"""The date in the file, so that the same polygons give the same bytes."""

FIELDS = ("class_id", "class", "color", "area_m2", "confidence")


def write_polygons(
    path: Path, layer: str, grid: SceneGrid, layers: Sequence[Layers], classes: ClassTable, min_area: float
) -> None:
    """Write the areas of each class as a GeoPackage with one layer; the file is complete or absent.

    Polygons lie on pixel edges in the scene's coordinate reference system; each is one 4-connected area of a class,
    whole, with its holes. ``area_m2`` is its area on the ellipsoid, measured in an equal-area projection; for a scene
    that has no place on a globe (no coordinate reference system, or an engineering one) it is the area in the units of
    its transform. ``confidence`` is the mean over its pixels, 0 to 1.

    Areas below `min_area`, the minimum mapping unit in square metres, are merged into the largest neighbour; where only
    missing pixels surround them, they are left out.

    Raises:
        WsssError: If the file cannot be written, or pyogrio is not installed.
    """
    try:
        import pyogrio
        import pyproj  # noqa: F401  # measures areas
    except ImportError as error:
        fix = "pip install 'wsss-toolkit[remote-sensing]'"
        raise WsssError(f"--polygons needs {error.name}, which is not installed", fix=fix) from error
    measure = GroundArea(grid)
    smallest = int(np.ceil(min_area / measure.pixel)) if min_area else 0
    blocks = (
        generalised(layers, smallest) if smallest > 1 else ((part.row, part.mask, part.confidence) for part in layers)
    )
    kept = (area for area in areas(blocks) if area.pixels >= smallest)
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": DATE})
    try:
        with complete_file(path) as partial:
            written = 0
            for group in _batched(kept):
                _append(partial, layer, grid, group, classes, measure, first=written == 0)
                written += len(group)
            if not written:
                _append(partial, layer, grid, [], classes, measure, first=True)
            found = pyogrio.read_info(partial, layer=layer, force_feature_count=True)["features"]
            if found != written:
                raise cannot_write(path, f"{found} of {written} polygons arrived; the disk may be full")
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, RuntimeError) as error:
        raise cannot_write(path, " ".join(str(error).split())) from error
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})


def _batched(kept: Iterator[Area]) -> Iterator[list[Area]]:
    while group := [area for _, area in zip(range(BATCH), kept, strict=False)]:
        yield group


def _append(
    path: Path,
    layer: str,
    grid: SceneGrid,
    group: Sequence[Area],
    classes: ClassTable,
    measure: "GroundArea",
    *,
    first: bool,
) -> None:
    import pyogrio
    import shapely

    outlines = np.array([polygon(area) for area in group], dtype=object)
    values = [area.value for area in group]
    columns: list[NDArray[Any]] = [
        np.array(values, np.int32),
        np.array([classes.names[value] for value in values], object),
        np.array([hex_color(classes.colors[value]) for value in values], object),
        measure(outlines),
        np.array([area.confidence / area.pixels / LEVELS for area in group], np.float64),
    ]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "'crs' was not provided")  # the scene has none either
        pyogrio.raw.write(
            path,
            shapely.to_wkb(place(outlines, grid)) if len(group) else np.array([], object),
            columns,
            list(FIELDS),
            layer=layer,
            driver="GPKG",
            geometry_type="Polygon",
            crs=grid.crs,
            promote_to_multi=False,
            append=not first,
        )


def place(outlines: NDArray[Any], grid: SceneGrid) -> NDArray[Any]:
    """Return outlines in columns and rows as outlines in the grid's coordinates."""
    import shapely

    a, b, c, d, e, f = grid.transform
    matrix, shift = np.array([[a, b], [d, e]]), np.array([c, f])
    placed: NDArray[Any] = shapely.transform(outlines, lambda points: points @ matrix.T + shift)
    return placed


class GroundArea:
    """Measures outlines in columns and rows in square metres; `pixel` is the mean area of a pixel.

    Geographic grids are measured in a cylindrical equal-area projection, where their pixels stay rectangles, with
    longitudes as they are, beyond 180 degrees too; others in Lambert's azimuthal one around their centre. A grid that
    has no place on a globe is measured in its own units.
    """

    def __init__(self, grid: SceneGrid) -> None:
        import shapely

        self._grid = grid
        self._projection = _projection(grid)
        whole = np.array([shapely.box(0, 0, grid.width, grid.height)])
        self.pixel = float(self(whole)[0]) / (grid.width * grid.height)

    def __call__(self, outlines: NDArray[Any]) -> NDArray[np.float64]:
        """Return the area of each outline."""
        import shapely

        if self._projection is None or not len(outlines):
            a, b, _, d, e, _ = self._grid.transform
            flat: NDArray[np.float64] = np.abs(shapely.area(outlines) * (a * e - b * d)).astype(np.float64)
            return flat
        project = self._projection
        fine = place(shapely.segmentize(outlines, EDGE), self._grid)
        measured: NDArray[np.float64] = shapely.area(shapely.transform(fine, lambda points: project(points)))
        return measured


def _projection(grid: SceneGrid) -> Callable[[NDArray[np.float64]], NDArray[np.float64]] | None:
    """Return what brings points `n 2` of a grid to a plane of true areas in metres; None without a place on a globe."""
    if grid.crs is None:
        return None
    from pyproj import CRS, Proj, Transformer
    from pyproj.exceptions import ProjError

    try:
        crs = CRS.from_wkt(grid.crs)
        geodetic = crs.geodetic_crs
        if geodetic is None or geodetic.ellipsoid is None or not (crs.is_geographic or crs.is_projected):
            return None
        size = f"+a={geodetic.ellipsoid.semi_major_metre} +b={geodetic.ellipsoid.semi_minor_metre} +units=m"
        corners = np.array(grid.corners())
        if crs.is_geographic:
            degree = np.degrees(crs.axis_info[0].unit_conversion_factor)
            middle = corners[:, 0].mean()
            cylinder = Proj(f"+proj=cea +lat_ts=30 +over {size}")
            return lambda points: np.column_stack(
                cylinder((points[:, 0] - middle) * degree, (points[:, 1] * degree).clip(-90, 90))
            )
        onto_globe = Transformer.from_crs(crs, geodetic, always_xy=True)

        def globe(points: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.stack(onto_globe.transform(points[:, 0], points[:, 1], radians=True))

        longitude, latitude = np.degrees(globe(corners.mean(axis=0)[None])[:, 0])
        plane = Proj(f"+proj=laea +lat_0={latitude:.6f} +lon_0={longitude:.6f} {size}")
        return lambda points: np.column_stack(plane(*np.degrees(globe(points))))
    except ProjError:
        return None
