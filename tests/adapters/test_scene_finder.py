"""Which files make a scene."""

import os
import shutil
import zipfile
from pathlib import Path

import pytest
from fake_scenes import BOTH, OPTICAL, S2, draw, radar, write_safe, write_stack
from fake_tiles import write_tiff
from pydantic import ValidationError

from wsss_adapters.geo_scenes.finder import find_scenes
from wsss_adapters.geo_scenes.options import SceneRules
from wsss_toolkit.domain import ChannelTable
from wsss_toolkit.errors import UsageError

RULES = SceneRules.model_validate(
    {"sensors": {"sentinel1": {"path": "{scene}_S1*.tif"}, "sentinel2": {"path": "{scene}_S2*.tif"}}}
)


def find(*inputs, channels=OPTICAL, rules=None, training=None):
    return find_scenes([str(path) for path in inputs], channels, rules, training)


def names(scenes):
    return [scene.name for scene in scenes]


def test_files_folders_and_globs(tmp_path):
    for name in ("a.tif", "b.TIFF", "deep/c.tif", "a_mask.tif", "a_confidence.tif", ".hidden.tif", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert names(find(tmp_path)) == ["a", "b", "c"]
    assert names(find(tmp_path / "a.tif")) == ["a"]
    assert names(find(tmp_path / "*.tif")) == ["a"]
    assert names(find(tmp_path / "**" / "*.tif")) == ["a", "c"]
    assert names(find(tmp_path / "a.tif", tmp_path)) == ["a", "b", "c"], "a scene given twice counts once"


def test_remote_paths_are_left_to_gdal():
    scenes = find("https://host/x/a.tif?token=1", "s3://bucket/b.tif", "/vsizip//data/z.zip/c.tif")
    assert [(scene.name, scene.files[0].path) for scene in scenes] == [
        ("a", "/vsicurl/https://host/x/a.tif?token=1"),
        ("b", "/vsis3/bucket/b.tif"),
        ("c", "/vsizip//data/z.zip/c.tif"),
    ]


def test_patterns_join_the_files_of_sensors(tmp_path):
    for name in ("x_S1Hand.tif", "x_S2Hand.tif", "y_S2Hand.tif", "z_label.tif"):
        (tmp_path / name).write_bytes(b"")
    scenes = find(tmp_path, channels=BOTH, rules=RULES)
    assert names(scenes) == ["x", "y"]
    assert [(file.sensor, Path(file.path).name) for file in scenes[0].files] == [
        ("sentinel1", "x_S1Hand.tif"),
        ("sentinel2", "x_S2Hand.tif"),
    ]
    # A file of a scene stands for the scene.
    assert names(find(tmp_path / "x_S2Hand.tif", channels=BOTH, rules=RULES)) == ["x"]
    assert names(find(tmp_path / "*_S2Hand.tif", channels=BOTH, rules=RULES)) == ["x", "y"]
    with pytest.raises(UsageError, match=r"no scene in .*z_label\.tif.*; looked for \{scene\}_S1\*\.tif"):
        find(tmp_path / "z_label.tif", channels=BOTH, rules=RULES)


def test_one_file_per_band(tmp_path):
    rules = SceneRules.model_validate({"sensors": {"sentinel2": {"path": "{scene}/{band}.tif", "add": -1000}}})
    for band in S2.bands:
        (tmp_path / "site").mkdir(exist_ok=True)
        (tmp_path / "site" / f"{band}.tif").write_bytes(b"")
    [scene] = find(tmp_path, rules=rules)
    assert scene.name == "site" and [(file.bands, file.values.add) for file in scene.files] == [
        ((band,), -1000.0) for band in S2.bands
    ]
    assert names(find(tmp_path / "site" / "B03.tif", rules=rules)) == ["site"]


def test_patterns_of_the_training_data_come_before_guesses(tmp_path):
    training = SceneRules.model_validate({"sensors": {"sentinel2": {"path": "S2/{scene}.tif"}}})
    (tmp_path / "S2").mkdir()
    (tmp_path / "S2" / "a.tif").write_bytes(b"")
    (tmp_path / "other.tif").write_bytes(b"")
    assert names(find(tmp_path, training=training)) == ["a"]
    assert names(find(tmp_path / "other.tif", training=training)) == ["other"]


def test_products_take_the_radar_files_beside_them(tmp_path):
    safe = write_safe(tmp_path)
    write_tiff(tmp_path / "radar.tif", radar()[:1], names=("VV",))
    write_tiff(tmp_path / "s1_vh.tif", radar()[1:])
    write_tiff(tmp_path / "elevation.tif", draw(1))
    scenes = find(tmp_path, channels=BOTH)
    assert names(scenes) == [safe.name.removesuffix(".SAFE"), "elevation"]
    product = scenes[0]
    assert product.reference == "sentinel2" and product.acquired == "2024-06-01T10:20:21.024Z"
    optical = [file for file in product.files if file.sensor == "sentinel2"]
    assert len(optical) == 13 and {file.values.add for file in optical} == {-1000.0}
    assert [file.bands for file in product.files if file.sensor == "sentinel1"] == [None, ("VH",)]
    assert names(find(safe, channels=OPTICAL)) == [product.name]
    assert names(find(safe / "GRANULE", channels=OPTICAL))[0].startswith("T32TPT"), "its images alone, if asked for"


def test_products_take_radar_files_of_their_own_place_only(tmp_path):
    write_safe(tmp_path)
    write_tiff(tmp_path / "a_elsewhere.tif", radar(), names=("VV", "VH"), origin=(700_000.0, 5_000_000.0))
    write_tiff(tmp_path / "here.tif", radar(), names=("VV", "VH"), origin=(500_300.0, 4_999_900.0))
    product, elsewhere = find(tmp_path, channels=BOTH)
    assert [Path(file.path).name for file in product.files if file.sensor == "sentinel1"] == ["here.tif"]
    assert elsewhere.name == "a_elsewhere", "it is a scene of its own, and will be said to lack the other sensor"

    write_tiff(tmp_path / "later.tif", radar(), names=("VV", "VH"), origin=(500_000.0, 5_000_000.0))
    product = find(tmp_path, channels=BOTH)[0]
    assert not product.files and "here.tif and later.tif beside it both hold VH; leave one of them" in product.hint


def test_a_zipped_product(tmp_path):
    safe = write_safe(tmp_path / "unpacked", offset=0)
    path = tmp_path / "product.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(safe.rglob("*")):
            archive.write(file, file.relative_to(safe.parent))
    shutil.rmtree(tmp_path / "unpacked")
    [scene] = find(path)
    assert scene.name == "product" and scene.files[0].path.startswith(f"/vsizip/{path}/")
    assert {(file.values.add, file.values.multiply) for file in scene.files} == {(0.0, 1.0)}


def test_a_damaged_product_is_found_and_fails_alone(tmp_path):
    (tmp_path / "broken.SAFE").mkdir()
    write_stack(tmp_path / "good.tif")
    scenes = find(tmp_path)
    assert names(scenes) == ["broken", "good"] and not scenes[0].files and "MTD_MSIL1C.xml" in scenes[0].hint
    safe = write_safe(tmp_path)
    (safe / "MTD_MSIL1C.xml").write_text('<!DOCTYPE x [<!ENTITY a "b">]><x/>')
    assert "entities" in next(scene for scene in find(tmp_path) if scene.name.startswith("S2B")).hint


def test_products_need_a_model_that_sees_optical_bands(tmp_path):
    radar_only = ChannelTable((BOTH.sensors[0],))
    with pytest.raises(UsageError, match=r"is a Sentinel-2 product, but the model sees sentinel1\.VV"):
        find(write_safe(tmp_path), channels=radar_only)


def test_equal_names_get_their_folder(tmp_path):
    for name in ("one/a.tif", "two/a.tif", "two/b.tif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert names(find(tmp_path)) == ["one_a", "two_a", "b"]
    (tmp_path / "two" / "A.tif").write_bytes(b"")
    with pytest.raises(UsageError, match="would both be called"):
        find(tmp_path / "two")


def test_what_does_not_exist_or_is_no_scene_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no such file or folder"):
        find(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="no such file or folder"):
        find(tmp_path / "*.tif")
    with pytest.raises(UsageError, match=r"no scene in .*; looked for \.SAFE products and \.tif"):
        find(tmp_path)


@pytest.mark.parametrize(
    "sensor, message",
    [
        ({"path": "../{scene}.tif"}, "must be relative"),
        ({"path": "/data/{scene}.tif"}, "must be relative"),
        ({"path": "a.tif"}, "must hold {scene} once"),
        ({"path": "{scene}_{site}.tif"}, "no other placeholder"),
        ({"path": "{scene}_{band}.tif", "bands": ["B02"]}, "each file's name tells its band"),
        ({"path": "{scene}.tif", "bands": ["B02", "B02"]}, "bands repeat"),
    ],
)
def test_bad_patterns_are_refused(sensor, message):
    with pytest.raises(ValidationError, match=message):
        SceneRules.model_validate({"sensors": {"sentinel2": sensor}})


def test_a_fingerprint_changes_with_the_file_and_with_how_it_is_read(tmp_path):
    write_stack(tmp_path / "a.tif")
    [scene] = find(tmp_path)
    before = scene.fingerprint()
    assert find(tmp_path)[0].fingerprint() == before
    os.utime(tmp_path / "a.tif", (1, 1))
    assert scene.fingerprint() != before
    rules = SceneRules.model_validate({"sensors": {"sentinel2": {"path": "{scene}.tif"}}})
    added = SceneRules.model_validate({"sensors": {"sentinel2": {"path": "{scene}.tif", "add": 1}}})
    assert find(tmp_path, rules=rules)[0].fingerprint() != find(tmp_path, rules=added)[0].fingerprint()
