"""Where scenes lie: across the antimeridian, with longitudes to 360, around poles, and nowhere on the globe."""

import json
import math

import numpy as np
import pytest
import rasterio
import rasterio.warp
import shapely
from fake_scenes import BOTH, S1, S2
from rasterio.crs import CRS
from test_scene_writer import CLASSES, TAGS, make_layers, make_output, write_scene
from test_stac import MODEL

from wsss_adapters.geo_scenes.finder import find_scenes
from wsss_adapters.geo_scenes.options import SceneRules
from wsss_adapters.geo_scenes.reader import open_geo_scene
from wsss_adapters.geo_scenes.stac import describe_scenes
from wsss_adapters.geotiff.footprint import footprint
from wsss_adapters.geotiff.grid import SceneGrid, share_ground
from wsss_adapters.polygons.geopackage import GroundArea
from wsss_toolkit.domain import Window
from wsss_toolkit.errors import DataError

SITE = 'LOCAL_CS["site grid",UNIT["metre",1],AXIS["X",EAST],AXIS["Y",NORTH]]'
MARS = "+proj=longlat +R=3396190 +no_defs"
PAIRS = SceneRules.model_validate(
    {"sensors": {"sentinel1": {"path": "{scene}_S1.tif"}, "sentinel2": {"path": "{scene}_S2.tif"}}}
)


def grid(crs, transform, height=64, width=64):
    crs = CRS.from_wkt(crs) if crs == SITE else CRS.from_string(crs)
    return SceneGrid(height, width, crs.to_wkt(), transform, None, ())


def degrees(west, north, step=1e-4):
    return (step, 0.0, west, 0.0, -step, north)


def metres(left, top, step=1000):
    return (step, 0.0, left, 0.0, -step, top)


@pytest.mark.parametrize(
    ("place", "total"),
    [
        (grid("EPSG:4326", degrees(179.9968, -17.0)), 4.82694e5),
        (grid("EPSG:4326", degrees(-180.0032, -17.0)), 4.82694e5),
        (grid("EPSG:4269", degrees(179.9968, -17.0)), 4.82694e5),
        (grid("EPSG:4326", degrees(350.0, 50.0)), 326663),
        (grid("EPSG:4326", degrees(10.0, 50.0)), 326663),
        (grid("EPSG:4326", degrees(0.0, 90.0, 1.0), 180, 360), 510065621724088),
        (grid("EPSG:32760", metres(816_000, 8_200_000, 100)), 4.08896e7),
        (grid("EPSG:2263", metres(980_000, 200_000, 30)), 342481),  # feet
        (grid(MARS, degrees(-180.0, 90.0, 1.0), 180, 360), 4 * math.pi * 3396190**2),
        (grid(SITE, metres(500_000, 5_000_000, 10)), 409600),
    ],
)
def test_areas_are_those_on_the_ground(place, total):
    """Beyond 180 degrees they were 56,000 times too large."""
    area = GroundArea(place)
    assert area.pixel * place.height * place.width == pytest.approx(total, rel=1e-5)
    half = place.width / 2
    halves = area(np.array([shapely.box(*sides, place.height) for sides in ((0, 0, half), (half, 0, place.width))]))
    assert halves.sum() == pytest.approx(total, rel=1e-5) and halves.min() == pytest.approx(total / 2, rel=1e-2)


@pytest.mark.parametrize(
    ("place", "box", "parts"),
    [
        (grid("EPSG:4326", degrees(179.9968, -17.0)), [179.9968, -17.0064, -179.9968, -17.0], 2),
        (grid("EPSG:4326", degrees(-180.0032, -17.0)), [179.9968, -17.0064, -179.9968, -17.0], 2),
        (grid("EPSG:4326", degrees(180.0, -17.0)), [-180.0, -17.0064, -179.9936, -17.0], 1),
        (grid("EPSG:4326", degrees(350.0, 50.0)), [-10.0, 49.9936, -9.9936, 50.0], 1),
        (grid("EPSG:4326", degrees(0.0, 90.0, 1.0), 180, 360), [-180.0, -90.0, 180.0, 90.0], 1),
        (grid("EPSG:32760", metres(816_000, 8_200_000, 100)), [179.9562, -16.318, -179.9831, -16.2593], 2),
        (grid("EPSG:3413", metres(-30_000, 60_000), 100, 100), [-180.0, 89.1489, 180.0, 90.0], 1),
        (grid("EPSG:3031", metres(-30_000, 60_000), 100, 100), [-180.0, -90.0, 180.0, -89.1515], 1),
        (grid("EPSG:3413", metres(0, 100_000), 100, 100), [45.0, 88.6946, 135.0, 90.0], 1),  # a corner at the pole
        (grid("EPSG:3413", metres(-30_000, 100_000), 100, 100), [45.0, 88.8732, -135.0, 90.0], 2),  # an edge through it
        (grid("EPSG:3031", metres(0, 33_333), 100, 100), [0.0, -90.0, 180.0, -88.8939], 1),
    ],
)
def test_footprints_hold_the_scene(place, box, parts):
    geometry, bounds = footprint(place)
    shape = shapely.geometry.shape(geometry)
    assert bounds == pytest.approx(box, abs=1e-4)
    assert shape.is_valid and len(getattr(shape, "geoms", [shape])) == parts
    assert shape.bounds[0] >= -180 and shape.bounds[2] <= 180
    # Pixels of the scene lie in it, pixels beside it do not.
    rows, columns = np.mgrid[1 : place.height : 7, 1 : place.width : 7].reshape(2, -1) + np.array([[0.4], [0.3]])
    for shift, inside in ((0, True), (place.width, False)):
        a, _, c, _, e, f = place.transform
        points = a * (columns + shift) + c, e * rows + f
        longitudes, latitudes = rasterio.warp.transform(place.rasterio_crs, "EPSG:4326", *points)
        longitudes = (np.array(longitudes) + 180) % 360 - 180
        found = shapely.contains_xy(shape, longitudes, latitudes)
        assert found.all() if inside else (place.width == 360 or not found.any())


@pytest.mark.parametrize("crs", [SITE, MARS])
def test_what_lies_nowhere_on_the_globe_has_no_footprint(crs):
    assert footprint(grid(crs, metres(0, 10, 0.1))) is None
    assert share_ground(grid(crs, metres(0, 10, 0.1)), grid("EPSG:4326", degrees(0, 10))) is None
    assert share_ground(grid(crs, metres(0, 10, 0.1)), grid(crs, metres(3, 12, 0.2))) is True
    assert share_ground(grid(crs, metres(0, 10, 0.1)), grid(crs, metres(7, 12, 0.2))) is False


def write(path, pixels, place, names):
    with rasterio.open(path, "w", driver="GTiff", count=len(pixels), height=place.height, width=place.width,
                       dtype="float32", crs=place.rasterio_crs, transform=place.affine) as raster:  # fmt: skip
        raster.write(pixels.astype(np.float32))
        for band, name in enumerate(names, start=1):
            raster.set_band_description(band, name)


def longitudes_of(place):
    """Return the longitude of each pixel, from 0 to 360."""
    rows, columns = np.mgrid[: place.height, : place.width] + 0.5
    a, _, c, _, e, f = place.transform
    found, _ = rasterio.warp.transform(
        place.rasterio_crs, "EPSG:4326", (a * columns + c).ravel(), (e * rows + f).ravel()
    )
    return (np.array(found) % 360).reshape(place.height, place.width)


UTM60 = grid("EPSG:32760", metres(814_000, 8_118_000, 100), 100, 200)
UTM01 = grid("EPSG:32701", metres(180_000, 8_118_000, 100), 100, 200)
EAST_OF, WEST_OF, TO_360 = (
    grid("EPSG:4326", degrees(*corner), 300, 300)
    for corner in ((179.9, -16.9, 1e-3), (-180.1, -16.9, 1e-3), (358, 50, 1e-2))
)


@pytest.mark.parametrize(
    ("scene", "partner"),
    [
        (UTM60, EAST_OF),
        (UTM01, WEST_OF),
        (grid("EPSG:4326", degrees(179.99, -17.0)), WEST_OF),
        (grid("EPSG:4326", degrees(-180.01, -17.0)), EAST_OF),
        (grid("EPSG:4326", degrees(179.99, -17.0)), grid("EPSG:32760", metres(812_000, 8_120_000, 100), 300, 300)),
        (grid("EPSG:32630", metres(600_000, 5_500_000, 100), 50, 50), TO_360),
        (grid("EPSG:4326", degrees(-1.5, 49.5)), TO_360),
    ],
)
def test_partners_across_the_antimeridian_and_at_other_longitudes(scene, partner, tmp_path):
    """28 % of the scene had no radar."""
    assert share_ground(scene, partner) and share_ground(partner, scene)
    write(tmp_path / "a_S2.tif", np.ones((4, scene.height, scene.width)), scene, S2.bands)
    write(tmp_path / "a_S1.tif", np.stack([longitudes_of(partner)] * 2), partner, S1.bands)
    rules = SceneRules.model_validate({**PAIRS.model_dump(), "reference": "sentinel2"})
    [source] = find_scenes([str(tmp_path)], BOTH, rules, None)
    with open_geo_scene(source, BOTH, {}) as opened:
        found = opened.read(Window(0, 0, scene.height, scene.width)).bands["sentinel1"]
    assert np.isfinite(found).all()
    assert np.abs(found - longitudes_of(scene)).max() < 0.02


def test_files_in_systems_that_nothing_joins_are_no_scene(tmp_path):
    place = grid(SITE, metres(500_000, 5_000_000, 10))
    write(tmp_path / "a_S2.tif", np.ones((4, 64, 64)), place, S2.bands)
    write(tmp_path / "a_S1.tif", np.ones((2, 64, 64)), grid("EPSG:32632", metres(500_000, 5_000_000, 10)), S1.bands)
    [source] = find_scenes([str(tmp_path)], BOTH, PAIRS, None)
    with pytest.raises(DataError, match="from which no transformation leads to that of"):
        open_geo_scene(source, BOTH, {}).__enter__()
    write(tmp_path / "a_S1.tif", np.ones((2, 32, 32)), grid(SITE, metres(500_000, 5_000_000, 20), 32, 32), S1.bands)
    with open_geo_scene(source, BOTH, {}) as scene:
        assert (scene.read(Window(0, 0, 64, 64)).bands["sentinel1"] == 1).all(), "in one system they are warped"


def test_a_scene_in_a_local_system_is_finished_and_so_are_the_others(tmp_path):
    """One of them ended the command, without a catalogue for any."""
    tags = {**TAGS, "wsss_recipe": "my-sites", "wsss_stage": "unet"}
    output = make_output(tmp_path, polygons=True, min_area=900.0, tags=tags)
    for name, place in (
        ("local", grid(SITE, metres(0, 640, 10))),
        ("mars", grid(MARS, degrees(5, 5, 0.01))),
        ("utm", grid("EPSG:32632", metres(500_000, 5_000_000, 10))),
    ):
        write_scene(place, name, make_layers(place)[0], CLASSES, output)
        with rasterio.open(tmp_path / f"{name}_mask.tif") as mask:
            assert mask.crs == place.rasterio_crs or (name == "mars" and mask.crs.is_geographic)
    describe_scenes(tmp_path, MODEL)
    items = {name: json.loads((tmp_path / f"items/{name}.json").read_text()) for name in ("local", "mars", "utm")}
    assert items["local"]["geometry"] is items["mars"]["geometry"] is None and "bbox" not in items["local"]
    assert items["local"]["properties"]["proj:wkt2"] and items["utm"]["geometry"]["type"] == "Polygon"
