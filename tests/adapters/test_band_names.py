"""Which band a name means, and where names contradict each other."""

import numpy as np
import pytest
from fake_scenes import ALL_S2, BOTH, OPTICAL
from fake_tiles import draw_tile, sentinel_section, write_tiff

from wsss_adapters.geo_scenes.bands import name_bands
from wsss_adapters.geo_scenes.finder import find_scenes
from wsss_adapters.geo_scenes.options import SceneRules
from wsss_adapters.geo_scenes.reader import open_geo_scene
from wsss_adapters.geotiff.band_names import contradiction, read_name
from wsss_adapters.remote_sensing.sentinel import Sentinel, SentinelOptions
from wsss_toolkit.domain import ChannelTable, Sensor, Window
from wsss_toolkit.errors import DataError

RADAR = ChannelTable((Sensor("sentinel1", ("VV", "VH")),))


def found(descriptions, channels=OPTICAL, **options):
    """Return the bands' numbers in the order of the channels, 0 where there is none."""
    options = {"sensor": None, "stated": {}, "where": "a.tif", **options}
    numbers = name_bands(descriptions, channels, **options)
    return [numbers.get((sensor.name, band), 0) for sensor in channels.sensors for band in sensor.bands]


@pytest.mark.parametrize(
    "names",
    [
        ("B8", "B4", "B3", "B2"),
        ("NIR", "Red", "Green", "Blue"),
        ("sentinel2.B08", "S2_B04", "MSI B03", "B02_10m"),
        ("B8, central wavelength 842 nm", "B4, central wavelength 665 nm", "B3, central wavelength 560 nm", "B2"),
        tuple(f"20240601T102021_20240601T102021_T32TPT_{band}" for band in ("B8", "B4", "B3", "B2")),
        ("B8_median", "B4_median", "B3_median", "B2_median"),
        ("Band 8 - NIR", "Band 4 - Red", "Band 3 - Green", "Band 2 - Blue"),
        ("SR_B5", "SR_B4", "SR_B3", "SR_B2", "SR_B6", "SR_B7"),  # Landsat 8 or 9: only they have a band 6 there
        ("LC08_192029_20240601_SR_B5", "LC08_SR_B4", "LC08_SR_B3", "LC08_SR_B2"),
        ("LT05 SR_B4", "LT05 SR_B3", "LT05 SR_B2", "LT05 SR_B1"),
        ("view_zenith_B2", "B08", "B04", "B03", "B02", "B2_stdDev", "NDVI"),
    ],
)
def test_names_of_other_programs_mean_the_same_bands(names):
    first = 2 if names[0].startswith("view") else 1
    assert found(names) == [first + 3, first + 2, first + 1, first]


def test_common_names_in_the_recipe_find_numbers_in_the_file():
    channels = ChannelTable((Sensor("camera", ("red", "nir", "swir1")),))
    assert found(("B02", "B04", "B08", "B8A", "B11"), channels) == [2, 3, 5]
    assert found(("R", "G", "B", "N", "SWIR16"), channels) == [1, 4, 5]


def test_numbers_that_may_count_bands_say_nothing_of_colours():
    channels = ChannelTable((Sensor("camera", ("red", "green", "blue")),))
    assert found(("B1", "B2", "B3", "B4"), channels) == [0, 0, 0], "red, green, blue, nir, or Sentinel-2's first four?"
    assert found(("Band 1", "Band 2", "Band 3"), channels) == [1, 2, 3], "no names, so the number of bands tells"
    thirteen = tuple(f"B{number}" for number in range(1, 14))
    assert found(thirteen, ChannelTable((Sensor("s", ("B8A", "B12")),)), stated={"s": ALL_S2}) == [9, 13]


@pytest.mark.parametrize(
    "names",
    [
        ("SR_B2", "SR_B3", "SR_B4", "SR_B5"),  # of which Landsat?
        ("sr_band2", "sr_band3", "sr_band4", "sr_band5"),
        ("view_zenith_B2", "view_zenith_B3", "view_zenith_B4", "view_zenith_B8"),
        ("B2_stdDev", "B3_stdDev", "B4_stdDev", "B8_stdDev"),
        ("B04_B02_ratio", "NDVI", "NDWI", "B8A"),
    ],
)
def test_what_only_sounds_like_a_band_is_none(names):
    assert found(names) == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("names", "channels", "message"),
    [
        (("20240101_B02", "20240601_B02", "B03", "B04", "B08"), OPTICAL, "'20240101_B02', '20240601_B02'"),
        (("B2_mean", "B2_median", "B03", "B04", "B08"), OPTICAL, "'B2_mean', 'B2_median'"),
        (("B02", "B2", "B03", "B04", "B08"), OPTICAL, "'B02', 'B2'"),
        (("Sigma0_VV", "Sigma0_VV_db", "VH"), RADAR, "'Sigma0_VV', 'Sigma0_VV_db'"),
        (("Gamma0_VV", "Sigma0_VV", "VH"), RADAR, "'Gamma0_VV', 'Sigma0_VV'"),
        (("VV_asc", "VV_desc", "VH_asc"), RADAR, "'VV_asc', 'VV_desc'"),
    ],
)
def test_two_bands_that_may_be_the_one_are_an_error(names, channels, message):
    with pytest.raises(
        DataError, match=rf"a\.tif: 2 of its bands may be .*: {message}; list its bands in data\.scenes"
    ):
        found(names, channels)


def test_the_very_name_goes_first():
    assert found(("VV_db", "VV", "VH"), RADAR) == [2, 3]
    decibel = ChannelTable((Sensor("sentinel1", ("Sigma0_VV_db", "Sigma0_VH_db")),))
    assert found(("Sigma0_VV", "Sigma0_VV_db", "Sigma0_VH", "Sigma0_VH_db"), decibel) == [2, 4]
    assert found(("Sigma0_VV", "Sigma0_VH"), decibel) == [0, 0], "SNAP's names without _db are linear"
    assert found(("VV", "VH"), decibel) == [1, 2], "which says nothing against decibels"


def test_one_band_for_two_sensors_is_an_error():
    twice = ChannelTable((Sensor("summer", ("B02",)), Sensor("winter", ("B02",))))
    assert found(("winter.B02", "summer_B02"), twice) == [2, 1]
    with pytest.raises(DataError, match=r"its band 'B02' may be summer\.B02 or winter\.B02"):
        found(("B02", "B03"), twice)


def test_a_number_of_bands_that_tells_two_things_is_an_error():
    stated = {"sentinel2": ("B08", "B04", "B03", "B02")}
    with pytest.raises(DataError, match="which may be B02, B03, B04, B08 or B08, B04, B03, B02; list them in data"):
        found((None,) * 4, stated=stated)
    assert found((None,) * 6, BOTH, stated=stated) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("stated", "names"),
    [
        (("B02", "B03", "B04", "B08"), ("B04", "B03", "B02", "B08")),
        (("R", "G", "B", "N"), ("blue", "green", "red", "nir")),
        (("VV", "VH"), ("VH", "VV")),
        (("Sigma0_VV_db",), ("Sigma0_VV",)),
        (("B02", "B03"), ("B02", "NDVI")),
        (("ndvi", "slope"), ("slope", "ndvi")),
    ],
)
def test_names_that_contradict_the_recipe(stated, names):
    assert contradiction(stated, names) is not None
    assert contradiction(stated, stated) is None


@pytest.mark.parametrize(
    "names",
    [(None,) * 4, ("Band 1", "Band 2", "Band 3", "Band 4"), ("blue", "green", "red", "NIR"), ("a", "b c", "d", "e")],
)
def test_names_that_do_not(names):
    assert contradiction(("B02", "B03", "B04", "B08"), names) is None
    assert contradiction(("one", "two", "three", "four"), names) is None


def test_a_site_whose_file_calls_its_bands_otherwise_is_named(tmp_path):
    """The recipe's order was taken before the file's names: blue and red were swapped in one site of four."""
    bands = ("B02", "B03", "B04", "B08")
    for index, name in enumerate(("alpha", "beta")):
        names = bands if index else ("B04", "B03", "B02", "B08")
        write_tiff(tmp_path / f"S2/{name}.tif", draw_tile(index)[1][:4], names=names)
    section = sentinel_section(
        tmp_path,
        sensors={"sentinel2": {"path": "S2/{site}.tif", "bands": list(bands)}},
        labels=None,
        splits={"lists": {"train": ["alpha"], "val": ["beta"]}},
    )
    with pytest.raises(DataError, match=r"alpha\.tif: calls its bands B04, B03, B02, B08; .* band 1 is 'B04' there"):
        Sentinel(SentinelOptions.model_validate(section)).prepare()
    rules = SceneRules.model_validate({"sensors": {"sentinel2": {"path": "S2/{scene}.tif", "bands": list(bands)}}})
    alpha, beta = find_scenes([str(tmp_path)], OPTICAL, rules, None)
    with pytest.raises(DataError, match="calls its bands B04"), open_geo_scene(alpha, OPTICAL, {}):
        pass
    with open_geo_scene(beta, OPTICAL, {}) as scene:
        np.testing.assert_array_equal(scene.read(Window(0, 0, 24, 24)).bands["sentinel2"], draw_tile(1)[1][:4])


def test_missing_bands_list_what_the_files_call_theirs(tmp_path):
    write_tiff(tmp_path / "a.tif", draw_tile(0)[1][:2], names=("mystery_B02", "B03"))
    [source] = find_scenes([str(tmp_path)], OPTICAL, None, None)
    with pytest.raises(DataError, match=r"lacks B02, .*; the files call their bands mystery_B02, B03;"):
        open_geo_scene(source, OPTICAL, {}).__enter__()


def test_what_a_name_says():
    name = read_name("sentinel1.Gamma0_VH_db", ["sentinel1"])
    assert (name.sensor, name.color, name.unit, name.quantity) == ("sentinel1", "VH", "decibel", "gamma0")
    assert not read_name("VV/VH").known and not read_name("mask").known
