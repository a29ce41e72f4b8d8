import os
from pathlib import Path

import numpy as np
import pytest
import rasterio
from fake_tiles import S2_BANDS, draw_tile, read_tiff, sentinel_section, write_sites, write_tiff
from PIL import Image
from pydantic import ValidationError

from wsss_adapters.remote_sensing.sentinel import Sentinel
from wsss_adapters.remote_sensing.sentinel_options import SentinelOptions
from wsss_toolkit.domain import ChannelTable, Sensor
from wsss_toolkit.domain.contract import check_adapter
from wsss_toolkit.errors import DataError
from wsss_toolkit.recipe import find_recipe, load_recipe


@pytest.fixture
def sites(tmp_path):
    return write_sites(tmp_path / "sites")


def sentinel(root, **changes):
    return Sentinel(SentinelOptions.model_validate(sentinel_section(root, **changes)))


@pytest.mark.parametrize("crop", [None, 16])
def test_contract(sites, tmp_path, crop):
    check_adapter(sentinel(sites, crop=crop), tmp_path / "masks", read_written=read_tiff)


def test_crops_lie_on_a_grid_and_leave_out_the_remainder(sites):
    adapter = sentinel(sites, crop=16)
    assert adapter.splits()["val"] == (
        "gamma_r000_c000",
        "gamma_r000_c016",
        "gamma_r016_c000",
        "gamma_r016_c016",
    )
    assert adapter.whole("val") == ("gamma",)
    table = ChannelTable((Sensor("sentinel2", ("B03",)),))
    crop = adapter.read("gamma_r000_c016", table).bands["sentinel2"]
    whole = adapter.read("gamma", table).bands["sentinel2"]
    assert np.array_equal(crop, whole[:, :16, 16:32])
    assert np.array_equal(adapter.read_mask("gamma_r016_c000"), adapter.read_mask("gamma")[16:32, :16])


def test_masks_of_crops_have_the_crops_transform(sites, tmp_path):
    adapter = sentinel(sites, crop=16)
    path = adapter.write_mask(tmp_path / "m", "gamma_r000_c016", np.zeros((16, 16), np.uint8), None, {})
    with rasterio.open(path) as written, rasterio.open(sites / "S2/gamma.tif") as source:
        assert written.crs == source.crs
        assert (written.transform.c, written.transform.f) == (source.transform.c + 160, source.transform.f)


def test_codes_are_mapped_and_ignored(sites):
    codes = np.full((1, 40, 40), 8, dtype=np.uint8)
    codes[0, 0, :4] = [1, 2, 3, 4]
    write_tiff(sites / "labels/gamma.tif", codes, origin=(502_000.0, 5_000_000.0))
    mask = sentinel(sites).read_mask("gamma")
    assert mask[0, :5].tolist() == [0, 1, 2, 2, 255]


def test_unknown_codes_are_named(sites):
    codes = np.full((1, 40, 40), 77, dtype=np.uint8)
    write_tiff(sites / "labels/gamma.tif", codes, origin=(502_000.0, 5_000_000.0))
    with pytest.raises(DataError, match=r"gamma\.tif: unknown label codes 77; known are 1, 2, 3, 4, 8"):
        sentinel(sites).read_mask("gamma")


def test_a_site_may_lack_labels_or_a_sensor(sites):
    (sites / "labels/gamma.tif").unlink()
    (sites / "S1/gamma.tif").unlink()
    adapter = sentinel(sites)
    assert adapter.read_mask("gamma") is None
    assert set(adapter.read("gamma", ChannelTable(adapter.sensors)).bands) == {"sentinel2"}
    with pytest.raises(DataError, match="site 'gamma' has no file of sentinel1"):
        adapter.read("gamma", ChannelTable((Sensor("sentinel1", ("VV",)),)))


@pytest.mark.parametrize(
    ("size", "options", "difference"),
    [
        (36, {}, r"is 36 x 36 pixels, not 40 x 40"),
        (40, {"crs": "EPSG:32633"}, r"has the CRS EPSG:32633, not EPSG:32632"),
        (40, {"crs": None}, r"has the CRS none, not EPSG:32632"),
        (40, {"origin": (502_005.0, 5_000_000.0)}, r"has another transform, 0\.5 pixels off"),
    ],
)
def test_files_of_a_site_that_do_not_match_are_refused_by_name(sites, size, options, difference):
    write_tiff(sites / "S1/gamma.tif", draw_tile(0, size)[0], **{"origin": (502_000.0, 5_000_000.0), **options})
    with pytest.raises(DataError, match=rf"S1.gamma\.tif: {difference} as .*S2.gamma\.tif"):
        sentinel(sites).splits()


def write_png_labels(sites, codes, name="gamma"):
    (sites / f"labels/{name}.tif").unlink()
    picture = Image.fromarray(codes, mode="P")
    picture.putpalette([value for index in range(9) for value in (0, 20 * index, 250)])
    picture.save(sites / f"labels/{name}.png")


def test_labels_without_a_georeference_lie_on_the_site_pixel_by_pixel(sites, tmp_path):
    codes = np.random.default_rng(0).choice([1, 2, 8], (40, 40)).astype(np.uint8)
    write_png_labels(sites, codes)
    labels = {"path": "labels/{site}.*", "codes": {1: "Water", 2: "Trees", 3: "Open", 4: "Open"}, "ignore": [8]}
    adapter = sentinel(sites, labels=labels, crop=16)
    expected = np.array([255, 0, 1, 2, 2, 0, 0, 0, 255], np.uint8)[codes]
    assert np.array_equal(adapter.read_mask("gamma"), expected), "indices of the palette, not its colours"
    assert np.array_equal(adapter.read_mask("gamma_r016_c000"), expected[16:32, :16])
    path = adapter.write_mask(tmp_path / "m", "gamma", expected, None, {})
    with rasterio.open(path) as written, rasterio.open(sites / "S2/gamma.tif") as source:
        assert (written.crs, written.transform) == (source.crs, source.transform)


def test_labels_without_a_georeference_must_have_the_size_of_the_site(sites):
    write_png_labels(sites, np.ones((40, 43), np.uint8))
    changes = {
        "labels": {"path": "labels/{site}.*", "codes": {1: "Water", 2: "Trees", 3: "Open", 4: "Open", 8: "Open"}}
    }
    with pytest.raises(
        DataError, match=r"labels.gamma\.png: is 40 x 43 pixels, not 40 x 40 as .*S2.gamma\.tif; .*'gamma'"
    ):
        sentinel(sites, **changes).prepare()
    lists = {"lists": {"train": ["beta", "alpha"], "val": ["delta"]}}
    assert sentinel(sites, splits=lists, **changes).splits()["val"] == ("delta",), "a site in no list is left out"


def test_labels_with_another_georeference_lie_where_they_say(sites):
    write_tiff(sites / "labels/gamma.tif", np.ones((1, 40, 40), np.uint8), origin=(502_050.0, 5_000_000.0))
    found = sentinel(sites).read_mask("gamma")
    assert (found[:, 5:] == 0).all() and (found[:, :5] == 255).all()


def test_a_grid_that_differs_by_rounding_is_accepted(sites):
    write_tiff(sites / "S1/gamma.tif", draw_tile(0, 40)[0], origin=(502_000.0 + 1e-6, 5_000_000.0))
    assert sentinel(sites).splits()["val"] == ("gamma",)


def test_wrong_number_of_bands_is_refused_by_name(sites):
    write_tiff(sites / "S1/gamma.tif", draw_tile(0, 40)[0][:1], origin=(502_000.0, 5_000_000.0))
    with pytest.raises(DataError, match=r"S1.gamma\.tif: has 1 bands, but 2 are named for sensor 'sentinel1'"):
        sentinel(sites).prepare()


def test_truncated_file_is_named(sites):
    path = sites / "S2/gamma.tif"
    path.write_bytes(path.read_bytes()[:4000])
    with pytest.raises(DataError, match=r"gamma\.tif: not a readable raster"):
        adapter = sentinel(sites)
        adapter.read("gamma", ChannelTable(adapter.sensors))


@pytest.mark.parametrize("folder", ["S2", "labels"])
def test_a_link_to_nothing_is_no_site_less(sites, folder):
    (sites / folder / "alpha.tif").unlink()
    (sites / folder / "alpha.tif").symlink_to("nowhere")
    with pytest.raises(DataError, match=rf"{folder}/alpha\.tif: is no file, but a link to nothing"):
        sentinel(sites).splits()


def test_missing_folder_pattern_and_site_are_named(sites, tmp_path):
    with pytest.raises(DataError, match=r"absent: no such folder; set data\.root"):
        sentinel(tmp_path / "absent").prepare()
    with pytest.raises(
        DataError,
        match=r"lists\.train: names 1 image that is not there, omega first; .* there are alpha, beta, delta, gamma",
    ):
        sentinel(sites, splits={"lists": {"train": ["omega"]}}).prepare()
    sensors = {"sentinel2": {"path": "S3/{site}.tif"}}
    with pytest.raises(DataError, match="no file of sensor 'sentinel2' matches"):
        sentinel(sites, sensors=sensors).prepare()


def test_site_smaller_than_a_crop_is_named(sites):
    with pytest.raises(DataError, match=r"\.tif: is 40 x 40 pixels, smaller than data\.crop = 64"):
        sentinel(sites, crop=64).prepare()


def test_bands_are_named_by_their_descriptions(tmp_path):
    for index, name in enumerate(("a", "b")):
        write_tiff(tmp_path / f"{name}_S1.tif", draw_tile(index)[0], names=("VV", "VH"))
    section = {
        "sensors": {"radar": {"path": "{site}_S1.tif"}},
        "labels": None,
        "splits": {"lists": {"train": ["a"], "val": ["b"]}},
    }
    assert sentinel(tmp_path, **section).sensors == (Sensor("radar", ("VV", "VH")),)
    write_tiff(tmp_path / "b_S1.tif", draw_tile(1)[0], names=("VH", "VV"))
    with pytest.raises(DataError, match=r"b_S1\.tif: has the bands \('VH', 'VV'\)"):
        _ = sentinel(tmp_path, **section).sensors
    write_tiff(tmp_path / "a_S1.tif", draw_tile(1)[0], names=("bands", "bands"))
    with pytest.raises(DataError, match=r"don't name the bands; list them in data\.sensors\.radar\.bands"):
        _ = sentinel(tmp_path, **section).sensors


def test_fractions_divide_sites_not_crops(sites):
    rule = {"fractions": {"train": 0.5, "val": 0.25, "test": 0.25}, "seed": 3}
    adapter = sentinel(sites, crop=16, splits=rule)
    assert {split: len(keys) for split, keys in adapter.splits().items()} == {"train": 8, "val": 4, "test": 4}
    assert sorted(site for split in rule["fractions"] for site in adapter.whole(split)) == [
        "alpha",
        "beta",
        "delta",
        "gamma",
    ]
    assert adapter.splits() == sentinel(sites, crop=16, splits=rule).splits()


@pytest.mark.parametrize("grouping", [{"group_pattern": "^(.)"}, {"group_by": "orbit", "image_column": "site"}])
def test_sites_of_one_group_stay_together(tmp_path, grouping):
    names = ["a1", "a2", "b1", "b2", "c1", "c2"]
    root = write_sites(tmp_path, names=names)
    rows = "\n".join(f"{number};{name}.tif;{name[0]}" for number, name in enumerate(names))
    (root / "sites.csv").write_text(f"image;site;orbit\n{rows}\n")
    for seed in range(6):
        rule = {"fractions": {"train": 0.6, "val": 0.4}, "seed": seed, **grouping}
        found = sentinel(root, splits=rule, table="sites.csv").splits()
        orbits = [{key[0] for key in keys} for keys in found.values()]
        assert len(orbits[0]) + len(orbits[1]) == 3 and sum(map(len, found.values())) == 6


def test_folders_keep_equal_names_apart(tmp_path):
    for split in ("train", "train_extra", "val"):
        write_tiff(tmp_path / split / "s2" / "001.tif", draw_tile(len(split))[1])
    adapter = sentinel(
        tmp_path,
        sensors={"sentinel2": {"path": "{split}/s2/{site}.tif", "bands": list(S2_BANDS)}},
        labels=None,
        splits={"folders": {"train": "train", "train_extra": "train_extra", "val": "val"}},
    )
    assert adapter.splits() == {
        "train": ("train_001",),
        "train_extra": ("train_extra_001",),
        "val": ("val_001",),
    }


def test_names_that_differ_in_case_only_are_refused(tmp_path):
    root = write_sites(tmp_path, names=("Alpha", "alpha"))
    with pytest.raises(DataError, match=r"'(Alpha|alpha)' and '(alpha|Alpha)' would share a file"):
        sentinel(root, splits={"fractions": {"train": 1.0}}).splits()


def test_unsafe_site_names_become_safe_keys(tmp_path):
    root = write_sites(tmp_path, names=("été 1", "b"))
    adapter = sentinel(root, splits={"lists": {"train": ["été 1"], "val": ["b"]}})
    assert adapter.splits() == {"train": ("ete-1-3df4e5d1",), "val": ("b",)}


def test_two_files_of_one_site_are_refused(sites):
    write_tiff(sites / "S2/alpha_v2.tif", draw_tile(0, 40)[1])
    write_tiff(sites / "S2/alpha_v1.tif", draw_tile(0, 40)[1])
    sensors = {"sentinel2": {"path": "S2/{site}_v*.tif", "bands": list(S2_BANDS)}}
    with pytest.raises(DataError, match="two files of site 'alpha' match"):
        sentinel(sites, sensors=sensors, labels=None).prepare()


def test_fingerprint_follows_files_and_options(sites):
    first = sentinel(sites).fingerprint()
    assert first == sentinel(sites).fingerprint()
    assert first != sentinel(sites, crop=16).fingerprint()
    label = sites / "labels/alpha.tif"
    os.utime(label, ns=(1, 1))
    assert first == sentinel(sites).fingerprint(), "a touched file is the same file"
    label.write_bytes(label.read_bytes() + b"x")
    after = sentinel(sites).fingerprint()
    assert first.images == after.images and first.masks != after.masks


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sensors": {"s": {"path": "../{site}.tif"}}}, "must be relative to root"),
        ({"sensors": {"s": {"path": "/data/{site}.tif"}}}, "must be relative to root"),
        ({"sensors": {"s": {"path": "S2/all.tif"}}}, "must hold {site} once"),
        ({"sensors": {"s": {"path": "**/{site}.tif"}}}, "no other placeholder or wildcard"),
        ({"sensors": {"s": {"path": "{site.__class__}/{site}.tif"}}}, "no other placeholder or wildcard"),
        ({"sensors": {"s": {"path": "{split}/{site}.tif"}}}, "belong together"),
        (
            {"labels": {"path": "l/{site}.tif", "codes": {1: "Lava"}}},
            "labels.codes name Lava, which classes lacks",
        ),
        (
            {"labels": {"path": "l/{site}.tif", "codes": {1: "Water"}, "ignore": [1]}},
            r"\[1\] are both mapped and ignored",
        ),
        ({"splits": {"fractions": {"train": 0.5}}}, "fractions sum to 0.5, not 1"),
        ({"splits": {"fractions": {"train": 1.0}, "similarity": 0.98}}, "splits.similarity compares pictures"),
        ({"splits": {}}, "give one of folders, counts, fractions, file and lists, got none"),
        ({"splits": {"lists": {"train": ["a"], "val": ["a"]}}}, "image a is in two splits, or twice in one"),
        ({"background": "Sky"}, "background 'Sky' is not one of Water"),
        ({"classes": [{"name": "Water", "color": "blue"}]}, "color"),
        ({"crop": 0}, "crop"),
        ({"pach": 1}, "pach"),
    ],
)
def test_sections_that_contradict_themselves_are_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        SentinelOptions.model_validate(sentinel_section(Path("x"), **changes))


TERRAMIND_CLASSES = {
    1: "Water",
    2: "Trees",
    3: "Flooded vegetation",
    4: "Crops",
    5: "Built",
    6: "Bare",
    7: "Snow",
    9: "Rangeland",
}


@pytest.fixture
def real_data():
    if "WSSS_TEST_DATA" not in os.environ:
        pytest.skip("WSSS_TEST_DATA is not set")
    return Path(os.environ["WSSS_TEST_DATA"]) / "sentinel"


@pytest.mark.real_data
@pytest.mark.parametrize("crop", [None, 112])
def test_five_real_sites(real_data, tmp_path, crop):
    adapter = sentinel(
        real_data / "terramind",
        sensors={
            "sentinel2": {"path": "S2L1C/{site}.tif", "bands": list(S2_BANDS), "rgb": ["B04", "B03", "B02"]},
            "sentinel1": {"path": "S1RTC/{site}.tif", "bands": ["VV", "VH"]},
        },
        classes=[{"name": name, "color": f"#{code:02x}0000"} for code, name in TERRAMIND_CLASSES.items()],
        labels={"path": "LULC/{site}.tif", "codes": TERRAMIND_CLASSES, "ignore": [8]},
        splits={"fractions": {"train": 0.6, "val": 0.2, "test": 0.2}},
        crop=crop,
    )
    check_adapter(adapter, tmp_path, read_written=read_tiff)
    assert {split: len(adapter.whole(split)) for split in adapter.splits()} == {
        "train": 3,
        "val": 1,
        "test": 1,
    }
    site = adapter.whole("test")[0]
    sample = adapter.read(site, ChannelTable(adapter.sensors))
    assert sample.size == (224, 224)
    assert -40 < np.nanmin(sample.bands["sentinel1"]) and np.nanmax(sample.bands["sentinel1"]) < 20
    path = adapter.write_mask(tmp_path / "whole", site, adapter.read_mask(site), None, {})
    with rasterio.open(path) as written, rasterio.open(real_data / f"terramind/S2L1C/{site}.tif") as source:
        assert written.crs == source.crs and written.crs.to_epsg() // 100 in (326, 327)
        assert (written.transform, written.shape) == (source.transform, source.shape)


@pytest.mark.real_data
def test_a_real_flood_chip(real_data, tmp_path):
    adapter = sentinel(
        real_data / "sen1floods11",
        sensors={"sentinel2": {"path": "{site}_S2Hand.tif"}, "sentinel1": {"path": "{site}_S1Hand.tif"}},
        classes=[{"name": "Land", "color": "#808080"}, {"name": "Water", "color": "#0000ff"}],
        labels={"path": "{site}_LabelHand.tif", "codes": {0: "Land", 1: "Water"}, "ignore": [-1]},
        splits={"lists": {"test": ["Spain_7370579"]}},
        crop=256,
    )
    check_adapter(adapter, tmp_path, read_written=read_tiff)
    assert adapter.sensors[1].bands == ("VV", "VH")
    assert len(adapter.splits()["test"]) == 4
    assert set(np.unique(adapter.read_mask("Spain_7370579"))) == {0, 1, 255}


@pytest.mark.real_data
def test_real_scenes_with_painted_masks(real_data, tmp_path):
    recipe = load_recipe(find_recipe("forest"), [f"data.root={real_data / 'amazon'}"])
    section = recipe.data.model_dump()
    adapter = Sentinel(SentinelOptions.model_validate(section))
    check_adapter(adapter, tmp_path, read_written=read_tiff)
    assert {split: len(keys) for split, keys in adapter.splits().items()} == {"train": 240, "val": 64, "test": 160}
    key = adapter.whole("test")[0]
    written = adapter.write_mask(tmp_path / "whole", key, adapter.read_mask(key), None, {})
    with rasterio.open(written) as mask, rasterio.open(real_data / f"amazon/images/{key}.tiff") as source:
        assert (mask.crs, mask.transform, mask.shape) == (source.crs, source.transform, source.shape)
        assert mask.crs.to_epsg() == 4326
    everything = {**section, "splits": {"fractions": {"train": 1.0}}}
    with pytest.raises(DataError, match=r"Amazon_181\.tiff_34\.png: is 512 x 515 pixels, not 512 x 512"):
        Sentinel(SentinelOptions.model_validate(everything)).prepare()
