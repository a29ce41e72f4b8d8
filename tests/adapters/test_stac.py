"""The STAC catalogue of a folder of masks."""

import json
import os
import re
import shutil

import jsonschema
import numpy as np
import pystac
import pystac.validation
import pytest
import rasterio
from test_scene_writer import CLASSES, TAGS, make_grid, make_layers, make_output, write_scene

from wsss_adapters.geo_scenes.stac import describe_scenes
from wsss_adapters.geo_scenes.stac_model import model_name, semantic_version
from wsss_adapters.geotiff.footprint import footprint
from wsss_adapters.geotiff.grid import SceneGrid
from wsss_toolkit.domain import ChannelTable, ModelDescription, Sensor

MODEL = ModelDescription(
    name="my-sites",
    stage="unet",
    architecture="unet with encoder resnet18",
    channels=ChannelTable((Sensor("sentinel1", ("VV",)), Sensor("sentinel2", ("B02", "B04")))),
    scaling=(
        {"low": -25.0, "high": 0.0, "offset": -25.0, "scale": 25.0},
        {"low": 0.0, "high": 10000.0, "offset": 0.0, "scale": 10000.0},
        {"low": -3.4e38, "high": 3.4e38, "offset": 1200.0, "scale": 800.0},
    ),
    classes=CLASSES,
    window=256,
    overlap=0.5,
    parameters=1234,
    weights=__import__("pathlib").Path("/home/jane/runs/x/segmentation/network.safetensors"),
    framework=("pytorch", "2.8.0"),
    tags={**TAGS, "wsss_recipe": "my-sites", "wsss_stage": "unet"},
    notices=("Made for a test.",),
)


@pytest.fixture
def folder(tmp_path):
    """Masks of a scene with everything, one without a CRS, and files that are none of ours."""
    out = tmp_path / "jane" / "masks"
    tags = {**TAGS, "wsss_recipe": "my-sites", "wsss_stage": "unet"}
    everything = make_output(out, confidence=True, scores=True, tags=tags)
    write_scene(make_grid(64, 48), "a", make_layers(make_grid(64, 48))[0], CLASSES, everything)
    nowhere = SceneGrid(32, 32, None, (1.0, 0.0, 0.0, 0.0, 1.0, 0.0), None, ("b.tif",))
    write_scene(nowhere, "b", make_layers(nowhere)[0], CLASSES, make_output(out, tags=tags))
    (out / "foreign_mask.tif").write_bytes(b"not ours")
    return out


def read(path):
    return json.loads(path.read_text())


def test_everything_is_valid_stac(folder):
    written = describe_scenes(folder, MODEL)
    assert [path.relative_to(folder).as_posix() for path in written] == [
        "collection.json", "model.json", "items/a.json", "items/b.json",
    ]  # fmt: skip
    validator = pystac.validation.JsonSchemaSTACValidator()
    for path in written:
        content = read(path)
        kind = pystac.STACObjectType.COLLECTION if path.stem == "collection" else pystac.STACObjectType.ITEM
        assert content["stac_version"] == pystac.get_stac_version()
        validator.validate_core(content, kind, content["stac_version"], path.name)
        bad = {**content, "links": "none"}
        with pytest.raises(pystac.errors.STACValidationError):
            validator.validate_core(bad, kind, content["stac_version"], path.name)


def test_the_catalogue_is_whole_and_may_be_moved(folder, tmp_path):
    describe_scenes(folder, MODEL)
    moved = tmp_path / "elsewhere"
    shutil.move(folder, moved)
    collection = pystac.Collection.from_file(str(moved / "collection.json"))
    items = {item.id: item for item in collection.get_items()}
    assert set(items) == {"a", "b", "my-sites-unet"}
    for item in items.values():
        assert item.collection_id == collection.id == "my-sites-masks"
        assert item.get_root() is collection
    for kind, asset in items["a"].assets.items():
        assert os.path.exists(asset.get_absolute_href()), kind  # noqa: PTH110  # pystac's paths are texts
    assert set(items["a"].assets) == {"mask", "confidence", "scores", "style"}
    assert set(items["b"].assets) == {"mask", "style"}


def test_an_item_says_where_when_and_what(folder):
    describe_scenes(folder, MODEL)
    item = read(folder / "items" / "a.json")
    properties = item["properties"]
    assert properties["datetime"] == "2024-06-01T10:20:30Z"
    assert (properties["proj:code"], properties["proj:shape"]) == ("EPSG:32632", [64, 48])
    assert properties["proj:transform"][:6] == [10.0, 0.0, 5e5, 0.0, -10.0, 5e6]
    west, south, east, north = item["bbox"]
    left, bottom, right, top = rasterio.warp.transform_bounds("EPSG:32632", "EPSG:4326", 5e5, 5e6 - 640, 5e5 + 480, 5e6)
    np.testing.assert_allclose([west, south, east, north], [left, bottom, right, top], atol=1e-6)
    assert properties["wsss:recipe_digest"] == "abc" and properties["wsss:label_source"] == "tag_file"
    assert properties["processing:software"] == {"wsss-toolkit": "0.1.0"}
    assert properties["label:classes"] == [{"name": None, "classes": list(CLASSES.names)}]
    assert properties["label:type"] == "raster" and properties["label:properties"] is None
    mask = item["assets"]["mask"]
    assert mask["type"].endswith("profile=cloud-optimized") and mask["href"] == "../a_mask.tif"
    described = [(c["value"], c["description"], c["color_hint"]) for c in mask["classification:classes"]]
    assert described == [(0, "Forest", "009900"), (1, CLASSES.names[1], "A5A5A5"), (2, "Wäter", "1C0DFF")]
    names = [entry["name"] for entry in mask["classification:classes"]]
    assert names == ["Forest", "Urban_built-up_x", "W_ter"], "the extension allows letters, digits, - and _ only"
    assert mask["raster:bands"][0] == {"nodata": 255, "data_type": "uint8", "spatial_resolution": 10.0}
    assert len(item["assets"]["scores"]["raster:bands"]) == 3
    stems = {uri.split("/")[3] for uri in item["stac_extensions"]}
    assert stems == {"projection", "raster", "classification", "label", "processing"}


def test_what_is_not_known_is_not_invented(folder):
    describe_scenes(folder, MODEL)
    item = read(folder / "items" / "b.json")
    assert item["geometry"] is None and "bbox" not in item and item["properties"]["proj:code"] is None
    properties = item["properties"]
    assert properties["datetime"] is None and properties["start_datetime"] == "1970-01-01T00:00:00Z"
    assert properties["end_datetime"] > "2020"


def test_the_model_follows_the_mlm_extension(folder):
    stac_model = pytest.importorskip("stac_model.schema")
    describe_scenes(folder, MODEL)
    item = read(folder / "model.json")
    properties = item["properties"]
    fields = {key: value for key, value in properties.items() if key.startswith("mlm:")}
    assert (fields["mlm:name"], fields["mlm:tasks"]) == ("my-sites", ["semantic-segmentation"])
    [given] = fields["mlm:input"]
    assert given["input"]["shape"] == [-1, 3, 256, 256]
    assert [band["name"] for band in given["bands"]] == ["sentinel1.VV", "sentinel2.B02", "sentinel2.B04"]
    again = [band["name"] for band in item["assets"]["weights"]["raster:bands"]]
    assert again == [band["name"] for band in given["bands"]], "else the published schema refuses the item"
    expression = given["pre_processing_function"]["expression"]
    assert "(clip(sentinel1.VV, -25, 0) - -25) / 25" in expression and "(sentinel2.B04 - 1200) / 800" in expression
    [result] = fields["mlm:output"]
    assert [entry["value"] for entry in result["classification:classes"]] == [0, 1, 2]
    # The extension's own model of its fields accepts them.
    stac_model.MLModelProperties.model_validate(fields)


@pytest.mark.parametrize(
    "given, allowed",
    [("2.14.1+cu130", "2.14.1"), ("2.8.0a0+5228986c39.nv25.05", "2.8.0"), ("2.9", "2.9.0"), ("2.07.1.dev3", "2.7.1")],
)
def test_versions_are_those_that_the_extension_allows(given, allowed):
    assert semantic_version(given) == allowed


@pytest.mark.parametrize(
    "recipe, allowed",
    [("quickstart", "quickstart"), ("2024-sites_", "sites"), ("a", "model a"), ("7", "model 7"), ("x9.", "model x9")],
)
def test_models_have_names_that_the_extension_allows(recipe, allowed):
    assert model_name(recipe) == allowed
    assert re.fullmatch(r"[a-zA-Z][a-zA-Z0-9_.\-\s]+[a-zA-Z0-9]", allowed)


def test_nothing_private_is_published(folder):
    for path in describe_scenes(folder, MODEL):
        text = path.read_text()
        assert "jane" not in text and str(folder) not in text
    assert read(folder / "model.json")["assets"]["weights"]["href"] == "network.safetensors"


def test_the_same_folder_gives_the_same_catalogue(folder):
    first = {path: path.read_bytes() for path in describe_scenes(folder, MODEL)}
    assert {path: path.read_bytes() for path in describe_scenes(folder, MODEL)} == first


def test_a_folder_without_masks_has_no_catalogue(tmp_path):
    assert describe_scenes(tmp_path, MODEL) == () and not list(tmp_path.iterdir())


def test_scenes_across_the_antimeridian_have_two_parts():
    wkt = rasterio.crs.CRS.from_epsg(32601).to_wkt()  # UTM zone 1: its western edge is 180 degrees
    [x], [y] = rasterio.warp.transform("EPSG:4326", "EPSG:32601", [-179.98], [-17.0])
    grid = SceneGrid(500, 1000, wkt, (10.0, 0.0, x - 5000, 0.0, -10.0, y), None, ())
    geometry, (west, _, east, _) = footprint(grid)
    assert geometry["type"] == "MultiPolygon" and west > 179 and east < -179
    jsonschema.validate(geometry, {"properties": {"coordinates": {"type": "array", "minItems": 2, "maxItems": 2}}})
    longitudes = [point[0] for part in geometry["coordinates"] for ring in part for point in ring]
    assert max(map(abs, longitudes)) <= 180
