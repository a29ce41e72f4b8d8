"""Stored numbers become values in the same way in training images and in scenes: scale tags, multiply, add, nodata."""

import numpy as np
import pytest
import rasterio
from fake_scenes import OPTICAL, S2, write_safe, write_stack
from fake_tiles import sentinel_section, write_sites
from pydantic import ValidationError

from wsss_adapters.geo_scenes.finder import find_scenes
from wsss_adapters.geo_scenes.options import SceneRules
from wsss_adapters.geo_scenes.reader import open_geo_scene
from wsss_adapters.geotiff.reading import read_bands
from wsss_adapters.geotiff.values import BandValues
from wsss_adapters.remote_sensing.sentinel import Sentinel
from wsss_adapters.remote_sensing.sentinel_options import SentinelOptions
from wsss_toolkit.domain import ChannelTable, Sensor, Window
from wsss_toolkit.errors import DataError


def tag(path, scales, offsets):
    with rasterio.open(path, "r+") as raster:
        raster.scales, raster.offsets = (side * raster.count for side in (scales, offsets))
    return path


def scene(path, values=None, rules=None):
    [source] = find_scenes([str(path)], OPTICAL, rules, None, values)
    with open_geo_scene(source, OPTICAL, {}) as opened:
        return opened.read(Window(0, 0, opened.height, opened.width)).bands["sentinel2"]


def rules(**sensor):
    return SceneRules.model_validate({"sensors": {"sentinel2": sensor}})


APPLIED = BandValues(scale_tags="apply", multiply=10000)


def test_a_scene_with_scale_tags_is_refused_until_the_recipe_says_what_they_mean(tmp_path):
    pixels = write_stack(tmp_path / "a.tif")
    tag(tmp_path / "a.tif", (0.0001,), (-0.1,))
    with pytest.raises(DataError, match=r"a.tif: band 1 has the tags SCALE 0.0001 and OFFSET -0.1.*scale_tags: apply"):
        scene(tmp_path / "a.tif")
    np.testing.assert_array_equal(scene(tmp_path / "a.tif", {"sentinel2": APPLIED}), pixels.astype(np.float32) - 1000)
    ignored = {"sentinel2": BandValues(scale_tags="ignore")}
    np.testing.assert_array_equal(scene(tmp_path / "a.tif", ignored), pixels.astype(np.float32))
    pattern = rules(path="{scene}.tif", scale_tags="apply", multiply=10000, add=3)
    np.testing.assert_array_equal(scene(tmp_path, rules=pattern), pixels.astype(np.float32) - 997)


@pytest.mark.parametrize(("scale", "offset"), [(0.0, 0.0), (float("nan"), 0.0), (1.0, float("inf"))])
def test_tags_that_are_no_scale_are_refused(tmp_path, scale, offset):
    write_stack(tmp_path / "a.tif")
    tag(tmp_path / "a.tif", (scale,), (offset,))
    with pytest.raises(DataError, match=r"which are no scale; correct them|scale or an offset that is not finite"):
        scene(tmp_path / "a.tif", {"sentinel2": APPLIED})


def test_tags_of_bands_that_the_model_does_not_see_do_not_matter(tmp_path):
    pixels = write_stack(tmp_path / "a.tif", (*S2.bands, "extra"))
    with rasterio.open(tmp_path / "a.tif", "r+") as raster:
        raster.scales = (1.0, 1.0, 1.0, 1.0, 0.5)
    np.testing.assert_array_equal(scene(tmp_path / "a.tif"), pixels[:4].astype(np.float32))


def test_each_band_has_its_own_tags(tmp_path):
    pixels = write_stack(tmp_path / "a.tif")
    with rasterio.open(tmp_path / "a.tif", "r+") as raster:
        raster.scales, raster.offsets = (1.0, 2.0, 0.5, 1.0), (0.0, 0.0, 7.0, -1.0)
    found = read_bands(tmp_path / "a.tif", [4, 3], values=BandValues(scale_tags="apply"))
    np.testing.assert_allclose(found, [pixels[3] - 1.0, 0.5 * pixels[2] + 7])


def sites(tmp_path, **sensor):
    root = write_sites(tmp_path / "sites")
    section = sentinel_section(root)
    section["sensors"]["sentinel2"] |= sensor
    return Sentinel(SentinelOptions.model_validate(section))


TABLE = ChannelTable((Sensor("sentinel2", ("B03", "B02")),))


def test_training_images_are_changed_as_scenes_are(tmp_path):
    plain = sites(tmp_path).read("gamma", TABLE).bands["sentinel2"]
    first = plain[0, 0, 0]
    adapter = sites(tmp_path, add=-1000, multiply=2, nodata=float(first))
    values = adapter.read("gamma", TABLE).bands["sentinel2"]
    missing = plain == first
    assert missing.any() and np.isnan(values[missing]).all()
    np.testing.assert_array_equal(values[~missing], 2 * plain[~missing] - 1000)
    assert adapter.training_values["sentinel2"] == BandValues(float(first), 2.0, -1000.0)
    assert adapter.training_rules.sensors["sentinel2"].band_values() == adapter.training_values["sentinel2"]


def test_tagged_training_images_are_refused_until_the_recipe_says_what_tags_mean(tmp_path):
    adapter = sites(tmp_path)
    plain = adapter.read("gamma", TABLE).bands["sentinel2"]
    tag(tmp_path / "sites" / "S2" / "gamma.tif", (0.0001,), (-0.1,))
    with pytest.raises(DataError, match=r"gamma.tif: band 3 has the tags .*: apply` in data.sensors.sentinel2"):
        adapter.read("gamma", TABLE)
    root = tmp_path / "sites"
    section = sentinel_section(root)
    section["sensors"]["sentinel2"] |= {"scale_tags": "apply", "multiply": 10000}
    applied = Sentinel(SentinelOptions.model_validate(section))
    np.testing.assert_array_equal(applied.read("gamma", TABLE).bands["sentinel2"], plain - 1000)


def test_single_files_are_read_as_training_unless_the_scenes_say_otherwise(tmp_path):
    pixels = write_stack(tmp_path / "elsewhere" / "a.tif").astype(np.float32)
    adapter = sites(tmp_path, add=-1000)
    channels = ChannelTable((Sensor("sentinel2", S2.bands),))
    for said, shift in ((None, -1000), ({"sensors": {"sentinel2": {"add": 5}}}, 5)):
        adapter.options = adapter.options.model_copy(
            update={"scenes": None if said is None else SceneRules.model_validate(said)}
        )
        [source] = adapter.find_scenes([str(tmp_path / "elsewhere" / "a.tif")], channels)
        with adapter.open_scene(source, channels) as opened:
            values = opened.read(Window(0, 0, opened.height, opened.width)).bands["sentinel2"]
        np.testing.assert_array_equal(values, pixels + shift)


def test_products_say_their_offset_and_quantification_themselves(tmp_path):
    safe = write_safe(tmp_path)
    plain = scene(safe)
    assert (scene(safe, {"sentinel2": BandValues(add=500)})[np.isfinite(plain)] == plain[np.isfinite(plain)]).all()
    metadata = safe / "MTD_MSIL1C.xml"
    end = "</Level-1C_User_Product>"
    other = metadata.read_text().replace(end, f"<QUANTIFICATION_VALUE unit='none'>20000</QUANTIFICATION_VALUE>{end}")
    metadata.write_text(other)
    np.testing.assert_array_equal(scene(safe), plain / 2)


@pytest.mark.parametrize(
    "element",
    [
        '<RADIO_ADD_OFFSET band_id="0">inf</RADIO_ADD_OFFSET>',
        '<RADIO_ADD_OFFSET band_id="0">nan</RADIO_ADD_OFFSET>',
        '<RADIO_ADD_OFFSET band_id="3">-1e30</RADIO_ADD_OFFSET>',
        '<RADIO_ADD_OFFSET band_id="3">much</RADIO_ADD_OFFSET>',
        '<RADIO_ADD_OFFSET band_id="x">-1000</RADIO_ADD_OFFSET>',
        '<RADIO_ADD_OFFSET band_id="13">-1000</RADIO_ADD_OFFSET>',
        "<QUANTIFICATION_VALUE>0</QUANTIFICATION_VALUE>",
        "<QUANTIFICATION_VALUE>-10000</QUANTIFICATION_VALUE>",
        "<QUANTIFICATION_VALUE>nan</QUANTIFICATION_VALUE>",
        "<QUANTIFICATION_VALUE/>",
    ],
)
def test_metadata_that_are_no_numbers_make_a_product_fail_alone(tmp_path, element):
    safe = write_safe(tmp_path)
    (safe / "MTD_MSIL1C.xml").write_text(f"<product>{element}</product>")
    with pytest.raises(DataError, match=r"MTD_MSIL1C.xml: (RADIO_ADD_OFFSET|QUANTIFICATION_VALUE) (is|has)"):
        scene(safe)


@pytest.mark.parametrize("change", [{"add": float("nan")}, {"add": float("inf")}, {"multiply": 0}, {"multiply": -1}])
def test_options_that_are_no_numbers_are_refused(change):
    with pytest.raises(ValidationError):
        rules(path="{scene}.tif", **change)


def test_a_path_is_given_for_all_sensors_or_for_none():
    with pytest.raises(ValidationError, match="`path` of every sensor, or of none"):
        SceneRules.model_validate({"sensors": {"a": {"path": "{scene}.tif"}, "b": {"add": 1}}})
    with pytest.raises(ValidationError, match="`path` of every sensor, or of none"):
        SceneRules.model_validate({"sensors": {"a": {"add": 1}}, "reference": "a"})
    with pytest.raises(ValidationError, match="`bands` needs `path`"):
        rules(bands=["B02"])
