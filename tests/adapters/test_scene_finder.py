"""Which files make a scene."""

import os
import re
import shutil
import zipfile
from pathlib import Path

import pytest
import rasterio
from fake_scenes import BOTH, OPTICAL, S2, draw, radar, write_safe, write_stack
from fake_tiles import write_tiff
from pydantic import ValidationError

from wsss_adapters.geo_scenes import patterns
from wsss_adapters.geo_scenes.finder import _distinct, find_scenes
from wsss_adapters.geo_scenes.options import SceneRules
from wsss_adapters.geo_scenes.reader import open_geo_scene
from wsss_adapters.geo_scenes.source import GeoSource, SceneFile
from wsss_toolkit.domain import ChannelTable
from wsss_toolkit.errors import DataError, UsageError

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
    for part in ("GRANULE", "GRANULE/L1C_T32TPT_A037", "GRANULE/L1C_T32TPT_A037/IMG_DATA", "MTD_MSIL1C.xml"):
        [scene] = find(safe / part, channels=OPTICAL)
        assert (scene.name, scene.shown) == (product.name, str(safe)) and len(scene.files) == 13, part


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
    (tmp_path / "two" / "a.jp2").write_bytes(b"")
    assert names(find(tmp_path / "two")) == ["a-jp2", "a-tif", "b"]
    assert names(find(tmp_path)) == ["one_a", "two_a-jp2", "two_a-tif", "b"]


def test_what_differs_in_case_or_in_farther_folders_alone_has_a_name_of_its_own(tmp_path):
    for name in ("one/x/a.tif", "two/x/a.tif", "two/x/A.tif"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    found = names(find(tmp_path))
    assert len({name.casefold() for name in found}) == 3 and all(
        re.fullmatch("a-[0-9a-f]{8}", name.casefold()) for name in found
    )
    assert found == names(find(tmp_path))


@pytest.mark.parametrize("source", [
    "PG:host=db user=me password=SECRET",
    "postgresql:dbname=x password=SECRET",
    "<GDAL_WMS><UserPwd>me:SECRET</UserPwd></GDAL_WMS>",
    '{"type": "mosaic", "token": "SECRET"}',
    "WMS:https://me:SECRET@example.org/x?key=SECRET",
])  # fmt: skip
def test_of_what_is_no_path_only_the_kind_is_quoted(source):
    with pytest.raises(UsageError, match="no such file or folder: ") as caught:
        find(source)
    assert "SECRET" not in str(caught.value)


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


def test_a_product_is_one_whatever_its_folder_is_called(tmp_path, monkeypatch):
    safe = write_safe(tmp_path)
    product = safe.rename(tmp_path / safe.stem)
    expected = {(safe.stem, 13, -1000.0)}

    def found(path):
        return {(scene.name, len(scene.files), scene.files[0].values.add) for scene in find(path)}

    assert found(tmp_path) == found(product) == found(product / "MTD_MSIL1C.xml") == found(tmp_path / "S2*") == expected
    monkeypatch.chdir(product)
    assert found(".") == found("GRANULE") == expected


@pytest.mark.parametrize("top", ["", "deep/folder/"])
def test_an_archive_may_hold_a_product_at_any_place(top, tmp_path):
    safe = write_safe(tmp_path / "unpacked")
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        for file in sorted(safe.rglob("*")):
            archive.write(file, top + file.relative_to(safe).as_posix())
        archive.writestr("__MACOSX/._MTD_MSIL1C.xml", "")
    [scene] = find(tmp_path / "p.zip")
    assert scene.name == "p" and len(scene.files) == 13 and scene.files[0].values.add == -1000.0
    with open_geo_scene(scene, OPTICAL, {}) as opened:
        assert opened.height == 60
    with zipfile.ZipFile(tmp_path / "p.zip", "a") as archive:
        archive.writestr("other/MTD_MSIL2A.xml", "<x/>")
    [scene] = find(tmp_path / "p.zip")
    assert not scene.files and "holds 2 products; unpack it" in scene.hint


def test_products_of_before_december_2016(tmp_path):
    safe = write_safe(tmp_path, "S2A_OPER_PRD_MSIL1C_PDMC_20151206T093912_R090_V20151206T043239", offset=0)
    old = "S2A_OPER_MTD_SAFL1C_PDMC_20151206T093912_R090_V20151206T043239_20151206T043239.xml"
    (safe / "MTD_MSIL1C.xml").rename(safe / old)
    granule = safe / "GRANULE" / "S2A_OPER_MSI_L1C_TL_SGS__20151206T074510_A002381_T32TPT_N02.00"
    (safe / "GRANULE" / "L1C_T32TPT_A037").rename(granule)
    for image in granule.rglob("*.jp2"):
        image.rename(image.with_name(f"S2A_OPER_MSI_L1C_TL_SGS__20151206T074510_A002381_{image.name[-11:]}"))
    [scene] = find(tmp_path)
    assert scene.name == safe.stem and len(scene.files) == 13 and {file.values.add for file in scene.files} == {0.0}
    assert names(find(safe / old)) == names(find(granule)) == [safe.stem]


def test_one_granule_of_several(tmp_path):
    safe = write_safe(tmp_path)
    shutil.copytree(safe / "GRANULE" / "L1C_T32TPT_A037", safe / "GRANULE" / "L1C_T32TQT_A037")
    assert len(find(safe)) == len(find(safe / "GRANULE")) == 2
    assert names(find(safe / "GRANULE" / "L1C_T32TQT_A037")) == [f"{safe.stem}_L1C_T32TQT_A037"]


@pytest.mark.parametrize("layout", ["aws", "granule"])
def test_bands_without_their_product_are_one_line(layout, tmp_path):
    """There was a failure for each band: "has 1 bands without names"."""
    safe = write_safe(tmp_path / "elsewhere")
    folder = tmp_path / "in/tiles/32/T/PT/2024/6/1/0"
    if layout == "granule":
        folder = tmp_path / "in/L1C_T32TPT_A037/IMG_DATA"
    folder.mkdir(parents=True)
    for image in safe.rglob("*.jp2"):
        shutil.copy(image, folder / (image.name[-7:] if layout == "aws" else image.name))
    shutil.copy(image, folder / "TCI.jp2")
    write_stack(tmp_path / "in/good.tif")
    scenes = find(tmp_path / "in")
    assert names(scenes) == [folder.name, "good"]
    with pytest.raises(DataError, match="holds bands of Sentinel-2 one by one, without a product's metadata") as caught:
        open_geo_scene(scenes[0], OPTICAL, {}).__enter__()
    wanted = "path='{scene}/{band}.jp2'" if layout == "aws" else "give the whole product"
    assert wanted in str(caught.value)
    if layout == "aws":
        rules = SceneRules.model_validate({"sensors": {"sentinel2": {"path": "{scene}/{band}.jp2", "add": -1000}}})
        [scene] = find(folder.parent, rules=rules)
        with open_geo_scene(scene, OPTICAL, {}) as opened:
            assert opened.height == 60


def write_radar_product(folder, name="S1A_IW_GRDH_1SDV_20240601T054000_20240601T054025_054000_069000_ABCD.SAFE"):
    product = folder / name
    write_tiff(product / "measurement" / "s1a-iw-grd-vv.tiff", radar()[:1], crs=None)
    (product / "manifest.safe").write_text("<xfdu/>")
    return product


def test_sentinel1_products_are_left_out_with_a_word(tmp_path):
    """They were called damaged Sentinel-2 products, for ever."""
    safe = write_safe(tmp_path)
    product = write_radar_product(tmp_path)
    said = f"left out: {product.name}: is a Sentinel-1 product, to be calibrated and terrain-corrected first"
    [scene] = find(tmp_path)
    assert scene.name == safe.stem and scene.notices[0].startswith(said)
    with open_geo_scene(scene, OPTICAL, {}) as opened:
        assert opened.notices == ()
    assert find(safe)[0].notices == ()
    with zipfile.ZipFile(tmp_path / "s1.zip", "w") as archive:
        for file in sorted(product.rglob("*")):
            archive.write(file, file.relative_to(tmp_path))
    unnamed = write_radar_product(tmp_path / "deep", "radar")
    assert "and 1 more" not in find(tmp_path)[0].notices[0] and "s1.zip" in find(tmp_path)[0].notices[0]
    for path in (product, tmp_path / "s1.zip", unnamed):
        with pytest.raises(UsageError, match=r"no scene in .*; left out: .* is a Sentinel-1 product"):
            find(path)


def test_other_formats_and_archives_are_said_to_be_left_out(tmp_path):
    product = write_safe(tmp_path)
    for path in ("a.tif", "a.tif.aux.xml", "a.tfw", "notes.txt", "b.nc", "deep/c.HDF", "tiles.tar.gz"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(b"")
    (product / "inside.img").write_bytes(b"")
    scenes = find(tmp_path)
    assert len(scenes) == 2
    [notice] = scenes[0].notices
    assert notice.startswith("left out: ") and notice.endswith("with gdal_translate, or unpack it")
    assert {name for name in ("b.nc", "c.HDF", "tiles.tar.gz", "inside.img", "notes.txt") if name in notice} == {
        "b.nc",
        "c.HDF",
        "tiles.tar.gz",
    }
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("a.tif", b"")
    assert "and 1 more: not looked into" in find(tmp_path)[0].notices[0]


def test_files_called_like_masks_are_told_apart_by_their_tags(tmp_path):
    """They were not labelled, without a word."""
    for name in ("a.tif", "b_mask.tif", "c_scores.tif", "d_mask.tif"):
        write_stack(tmp_path / name)
    with rasterio.open(tmp_path / "d_mask.tif", "r+") as raster:
        raster.update_tags(wsss_version="0.1.0")
    [scene] = find(tmp_path)
    assert scene.name == "a"
    assert scene.notices == (
        "left out: b_mask.tif, c_scores.tif: called like a mask that wsss writes, without being one; "
        "name a file itself to label it",
    )
    assert names(find(tmp_path / "b_mask.tif")) == ["b_mask"]
    with pytest.raises(UsageError, match="no scene in"):
        find(tmp_path / "d_mask.tif")
    with pytest.raises(UsageError, match=r"left out: b_mask\.tif: called like a mask"):
        find(tmp_path / "b_*.tif")
    rules = SceneRules.model_validate({"sensors": {"sentinel2": {"path": "{scene}_mask.tif"}}})
    assert names(find(tmp_path, rules=rules)) == ["b"]


@pytest.mark.parametrize("depth", [1, 2])
def test_a_virtual_raster_is_as_old_as_its_sources(depth, tmp_path):
    """A mask of older pixels was kept: the text of the VRT had not changed."""
    source = tmp_path / "src" / "x.tif"
    write_stack(source)
    path = source
    for level in range(depth):
        text = (
            '<VRTDataset rasterXSize="50" rasterYSize="40"><VRTRasterBand dataType="UInt16" band="1"><SimpleSource>'
            f'<SourceFilename relativeToVRT="0">{path}</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>'
        )
        path = tmp_path / f"v{level}.vrt"
        path.write_text(text)
    first = find(path)[0].fingerprint()
    assert first == find(path)[0].fingerprint()
    os.utime(source, ns=(1, 1))
    second = find(path)[0].fingerprint()
    assert second != first
    (tmp_path / "src" / "x.tif.msk").write_bytes(b"mask")
    assert find(path)[0].fingerprint() != second


def test_many_files_of_a_glob_are_found_as_one_by_one_and_their_folder_is_looked_through_once(tmp_path, monkeypatch):
    for number in range(40):
        for sensor in ("S1", "S2"):
            (tmp_path / f"x{number}_{sensor}Hand.tif").write_bytes(b"")
    naive = {}
    for path in sorted(tmp_path.iterdir()):
        for scene in find(path, channels=BOTH, rules=RULES):
            naive[scene.name] = scene.files
    looked = []
    match = patterns._match
    monkeypatch.setattr(patterns, "_match", lambda root, sensor: looked.append(root) or match(root, sensor))
    scenes = find(tmp_path / "*.tif", channels=BOTH, rules=RULES)
    assert {scene.name: scene.files for scene in scenes} == naive and len(scenes) == 40
    assert len(looked) == 2, "once for each sensor"
    folder = find(tmp_path, channels=BOTH, rules=RULES)
    assert {scene.name: scene.files for scene in folder} == naive


def test_scenes_of_one_name_get_their_folders_as_a_naive_comparison_says(tmp_path):
    sources = [GeoSource(f"s{n % 60}", f"f{n}/s.tif", (SceneFile(f"f{n}/s{n % 60}.tif"),)) for n in range(100)]
    expected = [
        scene.name if sum(scene.name == other.name for other in sources) == 1 else f"f{number}_{scene.name}"
        for number, scene in enumerate(sources)
    ]
    assert names(_distinct([*sources, *sources])) == expected
