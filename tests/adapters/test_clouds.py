"""Cloud layers make pixels of their sensor missing, in training images and scenes, where the recipe asks for it."""

import numpy as np
import pytest
from fake_scenes import BOTH, OPTICAL, draw, radar, write_band, write_stack
from fake_tiles import sentinel_section, write_sites, write_tiff
from pydantic import ValidationError

from wsss_adapters.geo_scenes.finder import find_scenes
from wsss_adapters.geo_scenes.options import SceneRules
from wsss_adapters.geo_scenes.reader import open_geo_scene
from wsss_adapters.remote_sensing.sentinel import Sentinel
from wsss_adapters.remote_sensing.sentinel_options import SentinelOptions
from wsss_toolkit.domain import ChannelTable, Sensor, Window
from wsss_toolkit.errors import DataError


def read(path, channels=OPTICAL, **sensors):
    rules = SceneRules.model_validate({"sensors": sensors}) if sensors else None
    [source] = find_scenes([str(path)], channels, rules, None)
    with open_geo_scene(source, channels, {}) as scene:
        return scene.read(Window(0, 0, scene.height, scene.width)).bands


@pytest.fixture
def level_2a(tmp_path):
    """A product of 60 x 60 pixels with clouds (9) in the upper half of its 20 m layer, and cirrus (10) at the left."""
    images = tmp_path / "S2B_MSIL2A.SAFE" / "GRANULE" / "L2A_X" / "IMG_DATA"
    for index, band in enumerate(OPTICAL.sensors[0].bands):
        write_band(images / "R10m" / f"T_{band}_10m.jp2", draw(1, 60, 60, seed=index)[0], 10)
    codes = np.full((30, 30), 4, np.uint8)
    codes[:15], codes[15:, :5] = 9, 10
    write_band(images / "R20m" / "T_SCL_20m.jp2", codes, 20)
    write_band(images / "R60m" / "T_SCL_60m.jp2", codes[::3, ::3], 60)
    (tmp_path / "S2B_MSIL2A.SAFE" / "MTD_MSIL2A.xml").write_text("<x/>")
    return tmp_path / "S2B_MSIL2A.SAFE"


def test_a_products_own_layer_is_taken_on_request(level_2a):
    assert np.isfinite(read(level_2a)["sentinel2"]).all()
    assert np.isfinite(read(level_2a, sentinel2={"add": 0})["sentinel2"]).all()
    hidden = np.isnan(read(level_2a, sentinel2={"clouds": {}})["sentinel2"])
    expected = np.zeros((60, 60), bool)
    expected[:30], expected[30:, :10] = True, True
    assert (hidden == expected).all()
    high = np.isnan(read(level_2a, sentinel2={"clouds": {"classes": [9]}})["sentinel2"])
    assert (high[:, :30]).all() and not high[:, 30:].any()


def test_scenes_without_a_layer_fail_where_one_is_wanted(level_2a, tmp_path):
    next(level_2a.rglob("*_SCL_20m.jp2")).unlink()
    with pytest.raises(DataError, match=r"has no cloud layer \(SCL\) for sentinel2"):
        read(level_2a, sentinel2={"clouds": {}})
    write_stack(tmp_path / "a.tif")
    with pytest.raises(DataError, match=r"a.tif: has no cloud layer \(SCL\) for sentinel2"):
        read(tmp_path / "a.tif", sentinel2={"clouds": {}})


def test_layers_named_by_a_pattern_hide_their_sensor_only(tmp_path):
    optical = write_stack(tmp_path / "x_S2.tif")
    write_tiff(tmp_path / "x_S1.tif", radar(), names=("VV", "VH"))
    codes = np.full((1, 20, 25), 1, np.uint8)
    codes[0, 5] = 2
    with pytest.raises(DataError, match=r"x_S2.tif: has no cloud layer x_CLD.tif for sentinel2"):
        read(tmp_path, BOTH, sentinel2={"path": "{scene}_S2.tif", "clouds": {"path": "{scene}_CLD.tif"}})
    write_band(tmp_path / "x_CLD.tif", codes[0], 20, driver="GTiff")
    sensors = {
        "sentinel1": {"path": "{scene}_S1.tif"},
        "sentinel2": {"path": "{scene}_S2.tif", "clouds": {"path": "{scene}_CLD.tif", "classes": [2]}},
    }
    bands = read(tmp_path, BOTH, **sensors)
    assert np.isfinite(bands["sentinel1"]).all()
    hidden = np.isnan(bands["sentinel2"])
    assert hidden[:, 10:12].all() and not hidden[:, :10].any() and not hidden[:, 12:].any()
    np.testing.assert_array_equal(bands["sentinel2"][:, :10], optical[:, :10].astype(np.float32))


def test_masks_change_when_the_layer_or_its_classes_do(tmp_path):
    write_stack(tmp_path / "x_S2.tif")
    write_band(tmp_path / "x_CLD.tif", np.ones((40, 50), np.uint8), 10, driver="GTiff")

    def fingerprint(**clouds):
        section = {"path": "{scene}_S2.tif", "clouds": {"path": "{scene}_CLD.tif", **clouds}}
        rules = SceneRules.model_validate({"sensors": {"sentinel2": section}})
        return find_scenes([str(tmp_path)], OPTICAL, rules, None)[0].fingerprint()

    first = fingerprint()
    assert fingerprint(classes=[7]) != first == fingerprint()
    write_band(tmp_path / "x_CLD.tif", np.zeros((41, 50), np.uint8), 10, driver="GTiff")
    assert fingerprint() != first


TABLE = ChannelTable((Sensor("sentinel2", ("B03",)), Sensor("sentinel1", ("VV",))))


def sites(tmp_path, **more):
    root = write_sites(tmp_path / "sites")
    section = sentinel_section(root, **more)
    section["sensors"]["sentinel2"]["clouds"] = {"path": "SCL/{site}.tif"}
    return Sentinel(SentinelOptions.model_validate(section))


def test_training_images_lose_clouded_pixels_of_the_sensor(tmp_path):
    adapter = sites(tmp_path, crop=16)
    with pytest.raises(DataError, match=r"SCL/gamma.tif: site 'gamma' has no cloud layer; add it"):
        adapter.read("gamma", TABLE)
    codes = np.full((20, 20), 5, np.uint8)  # 20 m on the site's 40 pixels of 10 m
    codes[8, 4] = 8
    write_band(tmp_path / "sites" / "SCL" / "gamma.tif", codes, 20, origin=(502_000.0, 5_000_000.0), driver="GTiff")
    before = adapter.fingerprint()
    adapter = sites(tmp_path, crop=16)
    assert adapter.fingerprint() != before
    whole = adapter.read("gamma", TABLE).bands
    expected = np.zeros((40, 40), bool)
    expected[16:18, 8:10] = True
    assert (np.isnan(whole["sentinel2"][0]) == expected).all()
    assert np.isfinite(whole["sentinel1"]).all()
    crop = adapter.read("gamma_r016_c000", TABLE).bands["sentinel2"]
    assert (np.isnan(crop[0]) == expected[16:32, :16]).all()
    layer = adapter.training_rules.sensors["sentinel2"].clouds
    assert layer.path == "SCL/{scene}.tif" and layer.classes == (0, 1, 3, 8, 9, 10)


def test_a_layers_path_goes_with_the_images_path():
    for sensor in ({"clouds": {"path": "{scene}.tif"}}, {"path": "{scene}.tif", "clouds": {}}):
        with pytest.raises(ValidationError, match=r"`clouds\.path` goes with `path`"):
            SceneRules.model_validate({"sensors": {"sentinel2": sensor}})
