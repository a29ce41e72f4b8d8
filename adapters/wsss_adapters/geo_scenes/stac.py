"""A STAC collection of the masks in a folder: an item for each scene, and one for the model that made them."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsss_adapters.geo_scenes.times import moment
from wsss_adapters.geo_scenes.writer import SUFFIXES, scene_files, scene_tags
from wsss_adapters.geotiff.footprint import footprint
from wsss_adapters.geotiff.grid import SceneGrid, grid_of
from wsss_adapters.geotiff.legend import hex_color
from wsss_adapters.geotiff.reading import open_raster
from wsss_toolkit.domain import IGNORE_INDEX, LEVELS, ClassTable, ModelDescription
from wsss_toolkit.errors import DataError, WsssError, blamed_on
from wsss_toolkit.files import write_bytes

if TYPE_CHECKING:
    import pystac

PROCESSING = "https://stac-extensions.github.io/processing/v1.2.0/schema.json"
LABEL = "https://stac-extensions.github.io/label/v1.0.1/schema.json"
COG = "image/tiff; application=geotiff; profile=cloud-optimized"
JSON_TYPE = "application/json"
GEOJSON_TYPE = "application/geo+json"

ASSETS = {
    "mask": (COG, ["data", "labels"], "Class of each pixel"),
    "confidence": (COG, ["data"], f"Score of the class, 0 to {LEVELS} for 0 to 1"),
    "scores": (COG, ["data"], f"Scores of all classes, 0 to {LEVELS} for 0 to 1"),
    "style": ("application/xml", ["metadata"], "QGIS style"),
    "polygons": ("application/geopackage+sqlite3", ["data"], "Areas of each class"),
}
"""Media type, roles and title of each file of a scene."""


def describe_scenes(folder: Path, model: ModelDescription) -> tuple[Path, ...]:
    """Write and return ``collection.json``, ``model.json``, and ``items/NAME.json`` for each mask of ours there.

    All links are relative, so the folder may be moved. Whoever reads the catalogue learns no path of this machine.

    Raises:
        DataError: If a mask cannot be described; the catalogue of the others is written all the same.
        WsssError: If a file cannot be written, or pystac is not installed.
    """
    try:
        import pystac  # noqa: F401  # says here, once, that it is missing
    except ImportError as error:
        what = "the STAC catalogue needs pystac, which is not installed; the masks themselves are complete"
        raise WsssError(what, where=str(folder), fix="pip install 'wsss-toolkit[remote-sensing]'") from error

    items, failures = {}, []
    for mask in sorted(folder.glob(f"*{SUFFIXES['mask']}")):
        name = mask.name.removesuffix(SUFFIXES["mask"])
        try:
            tags = scene_tags(name, folder)
        except DataError:
            continue  # not a mask of ours
        if tags is None:
            continue
        try:
            with blamed_on(str(mask), "make it again with --overwrite, or move it away"):
                items[name] = scene_item(name, folder, tags, model.classes)
        except DataError as error:
            failures.append(error)
    if items:
        written = _write_all(folder, model, items)
    if failures:
        more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
        what = f"is not in the catalogue{more}: {failures[0].what}"
        raise DataError(what, where=failures[0].where, fix=failures[0].fix)
    return written if items else ()


def _write_all(folder: Path, model: ModelDescription, items: "Mapping[str, pystac.Item]") -> tuple[Path, ...]:
    from wsss_adapters.geo_scenes.stac_model import model_item

    written = [folder / "collection.json", folder / "model.json"]
    _write(folder / "model.json", model_item(model, list(items.values())).to_dict(include_self_link=False))
    for name, item in items.items():
        written.append(folder / "items" / f"{name}.json")
        _write(written[-1], item.to_dict(include_self_link=False))
    _write(folder / "collection.json", _collection(model, items).to_dict(include_self_link=False))
    return tuple(written)


def _write(path: Path, value: Mapping[str, Any]) -> None:
    write_bytes(path, (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode())


def scene_item(name: str, folder: Path, tags: Mapping[str, str], classes: ClassTable) -> "pystac.Item":
    """Return the item of one scene, by the tags of its mask.

    Where nothing says when the scene was acquired, its time is the interval from 1970 to the making of the mask, which
    is all that is known.
    """
    import pystac
    from pystac.extensions.classification import ClassificationExtension
    from pystac.extensions.projection import ProjectionExtension
    from pystac.extensions.raster import DataType, RasterBand, RasterExtension

    files = scene_files(name, folder)
    with open_raster(files["mask"]) as raster:
        grid = grid_of(raster)
    place = footprint(grid)
    time, interval = _time(tags, files["mask"])
    item = pystac.Item(
        id=name,
        geometry=place[0] if place else None,
        bbox=place[1] if place else None,
        datetime=time,
        properties={**interval, **provenance(tags)},
        stac_extensions=[PROCESSING],
    )
    projection = ProjectionExtension.ext(item, add_if_missing=True)
    epsg = grid.rasterio_crs.to_epsg() if grid.crs else None
    projection.apply(
        code=f"EPSG:{epsg}" if epsg else None,
        wkt2=None if epsg else grid.crs,
        shape=[grid.height, grid.width],
        transform=list(grid.transform),
    )
    # pystac is about to drop its module for this extension, so its few fields are written here.
    item.stac_extensions.append(LABEL)
    item.properties |= {
        "label:description": "Land cover from image-level labels, by weakly supervised semantic segmentation",
        "label:type": "raster",
        "label:tasks": ["segmentation"],
        "label:properties": None,
        "label:classes": [{"name": None, "classes": list(classes.names)}],
        "label:methods": ["automated"],
    }
    for kind, (media, roles, title) in ASSETS.items():
        if not files[kind].exists():
            continue
        item.add_asset(kind, pystac.Asset(f"../{files[kind].name}", title, media_type=media, roles=roles))
        if media != COG:
            continue
        resolution = _metres(grid)
        bands = [
            RasterBand.create(
                nodata=IGNORE_INDEX,
                data_type=DataType.UINT8,
                spatial_resolution=resolution,
                scale=None if kind == "mask" else 1 / LEVELS,
            )
            for _ in range(len(classes.names) if kind == "scores" else 1)
        ]
        RasterExtension.ext(item.assets[kind], add_if_missing=True).apply(bands)
    ClassificationExtension.ext(item.assets["mask"], add_if_missing=True).apply(classes=classification(classes))
    for relation, target, kind in (
        ("root", "../collection.json", JSON_TYPE),
        ("parent", "../collection.json", JSON_TYPE),
        ("collection", "../collection.json", JSON_TYPE),
        ("derived_from", "../model.json", GEOJSON_TYPE),
    ):
        item.add_link(pystac.Link(relation, target, media_type=kind))
    item.collection_id = collection_id(tags.get("wsss_recipe", "wsss"))
    return item


def classification(classes: ClassTable) -> "list[pystac.extensions.classification.Classification]":
    """Return the classes as the classification extension describes them."""
    from pystac.extensions.classification import Classification

    return [
        Classification.create(value, description=title, name=safe_name(title), color_hint=hex_color(color)[1:].upper())
        for value, (title, color) in enumerate(zip(classes.names, classes.colors, strict=True))
    ]


def collection_id(recipe: str) -> str:
    """Return the collection's identifier."""
    return f"{safe_name(recipe)}-masks"


def safe_name(text: str) -> str:
    """Return a text with ``_`` for what the classification extension does not allow in names."""
    return re.sub(r"[^0-9A-Za-z_-]+", "_", text).strip("_") or "class"


def provenance(tags: Mapping[str, str]) -> dict[str, Any]:
    """Return what the tags of a mask say about its making, as properties."""
    wanted = ("recipe", "recipe_digest", "label_source", "stage", "window", "overlap", "sources", "values", "notice")
    found = {f"wsss:{key}": tags[f"wsss_{key}"] for key in wanted if f"wsss_{key}" in tags}
    lineage = f"Labelled by the {tags.get('wsss_stage', 'model')} of recipe {tags.get('wsss_recipe', '?')}"
    return {**found, "processing:software": {"wsss-toolkit": tags["wsss_version"]}, "processing:lineage": lineage}


def _time(tags: Mapping[str, str], mask: Path) -> tuple[datetime | None, dict[str, str]]:
    acquired = moment(tags.get("wsss_acquired", ""))  # which an older version may have taken over as it was
    if acquired is not None:
        return acquired, {}
    made = datetime.fromtimestamp(int(mask.stat().st_mtime), UTC)
    return None, {"start_datetime": "1970-01-01T00:00:00Z", "end_datetime": f"{made:%Y-%m-%dT%H:%M:%SZ}"}


def _metres(grid: SceneGrid) -> float | None:
    """Return the side of a pixel in metres, where the CRS has a linear unit."""
    if grid.crs is None or not grid.rasterio_crs.is_projected:
        return None
    a, _, _, d, _, _ = grid.transform
    factor = grid.rasterio_crs.linear_units_factor[1]
    return round(float((a**2 + d**2) ** 0.5 * factor), 6)


def _collection(model: ModelDescription, items: Mapping[str, "pystac.Item"]) -> "pystac.Collection":
    import pystac

    boxes = [item.bbox for item in items.values() if item.bbox is not None]
    if any(west > east for west, _, east, _ in boxes):
        whole = [-180.0, min(box[1] for box in boxes), 180.0, max(box[3] for box in boxes)]
    elif boxes:
        west, south, east, north = zip(*boxes, strict=True)
        whole = [min(west), min(south), max(east), max(north)]
    else:
        whole = [-180.0, -90.0, 180.0, 90.0]  # scenes without a coordinate reference system may lie anywhere
    times = [
        time
        for item in items.values()
        for time in (item.datetime, item.common_metadata.start_datetime, item.common_metadata.end_datetime)
        if time is not None
    ]
    notices = " ".join(model.notices)
    collection = pystac.Collection(
        id=collection_id(model.name),
        title=f"Masks by {model.name}",
        description=f"Masks by the {model.stage} of recipe {model.name} ({model.architecture}). {notices}".strip(),
        license="other",
        extent=pystac.Extent(pystac.SpatialExtent([whole]), pystac.TemporalExtent([[min(times), max(times)]])),
        keywords=["land cover", "weakly supervised", "semantic segmentation"],
        summaries=pystac.Summaries({"wsss:recipe_digest": [model.tags["wsss_recipe_digest"]]}),
    )
    collection.add_link(pystac.Link("root", "./collection.json", media_type=JSON_TYPE))
    for name in items:
        collection.add_link(pystac.Link("item", f"./items/{name}.json", media_type=GEOJSON_TYPE, title=name))
    collection.add_link(pystac.Link("item", "./model.json", media_type=GEOJSON_TYPE, title="model"))
    return collection
