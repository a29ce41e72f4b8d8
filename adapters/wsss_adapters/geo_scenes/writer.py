"""What is written for one scene, and in which order: the mask comes last and means that the rest is there."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from wsss_adapters.geotiff.cog import Look, Rows, read_tags, write_cog
from wsss_adapters.geotiff.grid import SceneGrid
from wsss_adapters.geotiff.legend import auxiliary_xml, qgis_style
from wsss_adapters.geotiff.opening import parse_drivers
from wsss_toolkit.domain import IGNORE_INDEX, LEVELS, ClassTable, Destination, Layers, SceneOutputs
from wsss_toolkit.errors import DataError, public_name
from wsss_toolkit.files import remove_older, write_bytes

SUFFIXES = {
    "mask": "_mask.tif",
    "names": "_mask.tif.aux.xml",
    "style": "_mask.qml",
    "confidence": "_confidence.tif",
    "scores": "_scores.tif",
    "polygons": "_polygons.gpkg",
}
"""What a scene's files are called after its name."""


class GeoOutputs(SceneOutputs):
    """What is written for a georeferenced scene besides the mask."""

    polygons: bool = False
    """Also write polygons with class, area and confidence."""
    min_area: Annotated[float, Field(ge=0, le=1e15)] = 0.0
    """Smallest area of a polygon in square metres (minimum mapping unit)."""
    require_crs: Annotated[bool, Field(exclude=True)] = False
    """Refuse scenes without a coordinate reference system."""
    allow_drivers: Annotated[str, Field(exclude=True)] = ""
    """Also open files of these GDAL drivers, e.g. VRT; they may name other files."""

    @model_validator(mode="after")
    def _areas_are_of_polygons(self) -> "GeoOutputs":
        if self.min_area and not self.polygons:
            raise ValueError("--min-area is for polygons; add --polygons, or leave it out")
        return self

    @property
    def drivers(self) -> tuple[str, ...]:
        """The names in `allow_drivers`; UsageError if GDAL does not know one."""
        return parse_drivers(self.allow_drivers)


def scene_files(name: str, folder: Path) -> dict[str, Path]:
    """Return the path of each of a scene's files, whether or not it is there."""
    return {kind: folder / f"{name}{suffix}" for kind, suffix in SUFFIXES.items()}


def write_scene(
    grid: SceneGrid, name: str, layers: Sequence[Layers], classes: ClassTable, destination: Destination
) -> Path:
    """Write the files that `destination` asks for (`GeoOutputs`) on the scene's very grid; return the mask's path.

    Raises:
        ValueError: If the layers are not the grid's rows.
        WsssError: If a file cannot be written.
    """
    files, outputs = scene_files(name, destination.folder), cast(GeoOutputs, destination.outputs)
    remove_older(files.values(), destination.folder)
    tags = {**destination.tags, **_source_tags(grid)}
    if outputs.confidence:
        look = Look(("confidence",), "AVERAGE", tags, scale=1 / LEVELS)
        write_cog(files["confidence"], grid, _rows(layers, lambda part: part.confidence[None]), look)
    if outputs.scores:
        look = Look(classes.names, "AVERAGE", tags, scale=1 / LEVELS)
        write_cog(files["scores"], grid, _rows(layers, Layers.class_scores), look)
    if outputs.polygons:
        from wsss_adapters.polygons.geopackage import write_polygons

        write_polygons(files["polygons"], name, grid, layers, classes, outputs.min_area)
    write_bytes(files["style"], qgis_style(classes))
    write_bytes(files["names"], auxiliary_xml(classes))
    colors = {index: (*color, 255) for index, color in enumerate(classes.colors)} | {IGNORE_INDEX: (0, 0, 0, 0)}
    numbered = {f"CLASS_{index}": class_name for index, class_name in enumerate(classes.names)}
    look = Look(("class",), "MODE", {**tags, **numbered}, colors)
    write_cog(files["mask"], grid, _rows(layers, lambda part: part.mask[None]), look)
    return files["mask"]


def scene_tags(name: str, folder: Path) -> Mapping[str, str] | None:
    """Return the tags in a scene's finished mask, or None where there is none.

    Raises:
        DataError: If the file is there, but is no mask of ours.
    """
    path = scene_files(name, folder)["mask"]
    if not path.exists():
        return None
    tags = read_tags(path)
    if "wsss_version" not in tags:
        raise DataError("was not written by wsss", where=str(path), fix="move it away or choose another --out")
    return tags


def _rows(layers: Sequence[Layers], choose: Callable[[Layers], NDArray[np.uint8]]) -> Callable[[], Iterable[Rows]]:
    """Return a function that goes through the layers, reading one at a time."""
    return lambda: ((part.row, choose(part)) for part in (layers[index] for index in range(len(layers))))


def _source_tags(grid: SceneGrid) -> dict[str, str]:
    tags = {"wsss_sources": " ".join(map(public_name, grid.sources))}
    if grid.acquired is not None:
        tags["wsss_acquired"] = grid.acquired
    return tags
