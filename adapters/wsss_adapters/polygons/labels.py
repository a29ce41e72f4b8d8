"""Outlines of classes, drawn or mapped, as ground truth on the grid of an image."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsss_adapters.geotiff.grid import in_pixels
from wsss_adapters.geotiff.label_grid import scene_grid
from wsss_adapters.geotiff.reading import RasterHeader
from wsss_toolkit.domain import IGNORE_INDEX
from wsss_toolkit.errors import DataError, WsssError

STARTS = {
    ".gpkg": b"SQLite format 3",
    ".shp": b"\x00\x00'\x0a",
    ".fgb": b"fgb",
    ".geojson": b"{",
    ".json": b"{",
}
"""How a file of outlines begins, by its suffix."""

COMPANIONS = (".dbf", ".prj", ".cpg", ".shx")
"""What lies beside a shapefile and belongs to it."""


def is_outlines(path: Path) -> bool:
    """Return whether a file's suffix is one of outlines."""
    return path.suffix.lower() in STARTS


def outline_files(path: Path) -> list[Path]:
    """Return the files that a file of outlines consists of."""
    beside = [path.with_suffix(suffix) for suffix in COMPANIONS] if path.suffix.lower() == ".shp" else []
    return [path, *(file for file in beside if file.is_file())]


def rasterised(
    path: Path,
    image: RasterHeader,
    codes: Mapping[int, int],
    names: Mapping[str, int],
    ignored: Collection[int],
    column: str | None,
) -> NDArray[np.uint8]:
    """Read outlines on the grid of an image: uint8 `h w`, class indices and 255.

    A pixel has the class of the polygon that its centre lies in; 255 where it lies in none, or in two of different
    classes.

    Args:
        path: GeoPackage, GeoJSON, FlatGeobuf or shapefile with one layer.
        image: The grid.
        codes: Mask value of each code.
        names: Mask value of each class, by its name.
        ignored: Codes that become 255.
        column: The column that holds codes or names of classes; None if there is only one.

    Raises:
        DataError: If the file cannot be read, holds no polygons, names no classes, or lies elsewhere.
        WsssError: If pyogrio is not installed.
    """
    from rasterio import Affine
    from rasterio.features import rasterize

    outlines, values = _read(path, column)
    known: dict[str, int] = {**{str(code): number for code, number in codes.items()}, **names}
    known |= dict.fromkeys(map(str, ignored), IGNORE_INDEX)
    numbers = [_class_of(value, known, path) for value in values]
    placed = _on_grid(outlines.geometry, outlines.crs, image, path)
    drawn = [(shape, number) for shape, number in zip(placed, numbers, strict=True) if number is not None and shape]
    options: dict[str, Any] = {"out_shape": (image.height, image.width), "fill": IGNORE_INDEX, "dtype": "uint8"}
    options["transform"] = Affine.identity()
    if not drawn:
        return np.full((image.height, image.width), IGNORE_INDEX, np.uint8)
    mask: NDArray[np.uint8] = rasterize(drawn, **options)
    # Where outlines overlap, the last one drawn wins: the other order shows where.
    mask[mask != rasterize(drawn[::-1], **options)] = IGNORE_INDEX
    return mask


class _Outlines:
    def __init__(self, geometry: NDArray[Any], crs: str | None) -> None:
        self.geometry, self.crs = geometry, crs


def _read(path: Path, column: str | None) -> tuple[_Outlines, list[Any]]:
    try:
        import pyogrio
        import shapely
    except ImportError as error:
        fix = "pip install 'wsss-toolkit[remote-sensing]'"
        raise WsssError("labels in outlines need pyogrio, which is not installed", where=str(path), fix=fix) from error
    try:
        with path.open("rb") as file:
            start = file.read(100).lstrip(b"\xef\xbb\xbf \t\r\n")
        if not start.startswith(STARTS[path.suffix.lower()]):
            raise DataError(f"is no {path.suffix} file, whatever its name says", where=str(path), fix="export it again")
        layers = [str(name) for name in pyogrio.list_layers(path)[:, 0]]
        if len(layers) != 1:
            what = f"has {len(layers)} layers ({', '.join(layers)})"
            raise DataError(what, where=str(path), fix="export the one that holds the classes to a file of its own")
        fields = [str(name) for name in pyogrio.read_info(path)["fields"]]
        chosen = _column(path, fields, column)
        meta, _, geometry, [values] = pyogrio.raw.read(path, columns=[chosen])
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, OSError, RuntimeError) as error:
        cause = " ".join(str(error).split())
        raise DataError(f"cannot be read ({cause})", where=str(path), fix="export it again") from error
    shapes = shapely.from_wkb(geometry, on_invalid="fix")
    kinds = {shape.geom_type for shape in shapes if shape is not None}
    if not kinds <= {"Polygon", "MultiPolygon"}:
        what = f"holds {', '.join(sorted(kinds - {'Polygon', 'MultiPolygon'}))}, not polygons alone"
        raise DataError(what, where=str(path), fix="draw the areas of classes as polygons")
    return _Outlines(shapes, meta["crs"]), list(values)


def _column(path: Path, fields: list[str], column: str | None) -> str:
    if column in fields:
        return str(column)
    listed = ", ".join(fields) or "none"
    if column is not None:
        raise DataError(f"has no column {column!r}", where=str(path), fix=f"data.labels.column: one of {listed}")
    if len(fields) != 1:
        what = f"has {len(fields)} columns ({listed})"
        raise DataError(what, where=str(path), fix="say in data.labels.column which one holds the classes")
    return fields[0]


def _class_of(value: Any, known: Mapping[str, int], path: Path) -> int | None:
    """Return the mask value of what a polygon says; None where it says nothing."""
    if value is None or value != value:  # NaN
        return None
    whole = isinstance(value, float | np.floating) and float(value).is_integer()
    text = str(int(value)) if whole else str(value).strip()
    if text not in known:
        what = f"a polygon is of class {text!r}, which data.labels.codes and data.labels.ignore lack"
        raise DataError(what, where=str(path), fix=f"known are {', '.join(known)}")
    return known[text]


def _on_grid(shapes: NDArray[Any], crs: str | None, image: RasterHeader, path: Path) -> NDArray[Any]:
    """Return outlines in columns and rows of an image."""
    import shapely
    from rasterio.crs import CRS

    if crs is None or image.crs is None:
        lacking = path if crs is None else image.path
        raise DataError("has no coordinate reference system", where=str(lacking), fix="add it, so that outlines fit")
    grid, own = scene_grid(image), CRS.from_user_input(crs)

    def to_pixels(points: NDArray[np.float64]) -> NDArray[np.float64]:
        found = in_pixels(grid, own, points.T)
        if found is None:
            what = f"no transformation leads from its coordinate reference system to that of {image.path}"
            raise DataError(what, where=str(path), fix="bring both to one system")
        return found.T

    placed = np.array([shape and shapely.transform(shape, to_pixels) for shape in shapes], dtype=object)
    frame = shapely.box(0, 0, image.width, image.height)
    if not any(shape is not None and shape.intersects(frame) for shape in placed):
        fix = "correct data.labels.path, or the files' coordinates"
        raise DataError(f"no polygon overlaps {image.path}", where=str(path), fix=fix)
    return placed
