"""Scenes that are damaged in one way each: found all the same, and each fails alone, by name."""

import re
import shutil
import zipfile

import numpy as np
import pytest
import rasterio
from fake_scenes import OPTICAL, write_safe, write_stack

from wsss_adapters.geo_scenes import safe as safe_module
from wsss_adapters.geo_scenes.finder import find_scenes
from wsss_adapters.geo_scenes.options import SceneSensor
from wsss_adapters.geo_scenes.reader import open_geo_scene
from wsss_toolkit.errors import DataError

XML = "MTD_MSIL1C.xml"


def outcome(source):
    """Open a scene; return the error, or the notices and the time of acquisition."""
    try:
        with open_geo_scene(source, OPTICAL, {}) as scene:
            return scene.notices, scene.grid.acquired
    except DataError as error:
        return error


@pytest.fixture(scope="session")
def product(tmp_path_factory):
    return write_safe(tmp_path_factory.mktemp("product"), size=12)


@pytest.fixture
def folder(tmp_path, product):
    """A folder with a good scene and what makes damaged products there."""
    write_stack(tmp_path / "good.tif", size=(8, 8))

    def damaged(name, change):
        shutil.copytree(product, tmp_path / f"{name}.SAFE")
        metadata = tmp_path / f"{name}.SAFE" / XML
        metadata.write_bytes(change(metadata.read_bytes()))

    return tmp_path, damaged


def pack(path, product, *, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for file in sorted(product.rglob("*")):
            archive.write(file, f"S2X.SAFE/{file.relative_to(product)}")
    return path


def fails_alone(folder, said):
    scenes = {scene.name: outcome(scene) for scene in find_scenes([str(folder)], OPTICAL, None, None)}
    assert scenes.pop("good") == ((), None)
    [(name, error)] = scenes.items()
    assert isinstance(error, DataError) and name in str(error), error
    assert re.search(said, str(error)) and "\n" not in str(error)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace(b'band_id="3"', b'band_id="x"'), "band_id 'x'"),
        (lambda text: text.replace(b">-1000<", b">abc<"), "no value of a product"),
        (lambda text: text.replace(b">-1000<", b">inf<"), "no value of a product"),
        (lambda text: text.replace(b">-1000<", b">nan<"), "no value of a product"),
        (lambda text: text.replace(b">-1000<", b">1e999<"), "no value of a product"),
        (lambda text: b'<?xml version="1.0" encoding="klingon"?>' + text, "klingon|encoding"),
        (lambda text: b"<!DOCTYPE a [<!ENTITY b 'c'>]>" + text, "DOCTYPE"),
        (lambda text: text[:60], "well-formed"),
        (lambda text: b"", "well-formed"),
    ],
)
def test_metadata(folder, change, said):
    folder, damaged = folder
    damaged("bad", change)
    fails_alone(folder, said)


def test_metadata_that_unpack_to_more_than_any_product_has(folder, product, monkeypatch):
    folder, _ = folder
    pack(folder / "bad.zip", product)
    monkeypatch.setattr(safe_module, "MOST_BYTES", 100)
    fails_alone(folder, "bytes unpacked; at most 100")


@pytest.mark.parametrize("damage", ["directory", "cut", "encrypted", "method"])
def test_archives(folder, product, damage):
    folder, _ = folder
    path = pack(folder / "bad.zip", product)
    data = bytearray(path.read_bytes())
    central, local = data.index(b"PK\x01\x02"), [at.start() for at in re.finditer(b"PK\x03\x04", data)]
    entries = [at.start() for at in re.finditer(b"PK\x01\x02", data)]
    if damage == "directory":
        data[central : central + 4] = b"XXXX"
    elif damage == "cut":
        data = data[: len(data) // 2]
    for places, flags in ((local, 6), (entries, 8)):
        for at in places:
            if damage == "encrypted":
                data[at + flags] |= 1
            elif damage == "method":
                data[at + flags + 2] = 77
    path.write_bytes(data)
    fails_alone(folder, "bad")


def test_other_archives_are_no_scenes(folder):
    folder, _ = folder
    with zipfile.ZipFile(folder / "papers.zip", "w") as archive:
        archive.writestr("papers/a.txt", "text")
    (folder / "empty.zip").write_bytes(b"")
    (folder / "text.zip").write_bytes(b"text")
    assert [scene.name for scene in find_scenes([str(folder)], OPTICAL, None, None)] == ["good"]


def test_a_band_name_in_another_encoding(folder):
    folder, _ = folder
    write_stack(folder / "bad.tif", size=(8, 8), bands=("B02", "B03", "B04", "B08 grün"))
    data = (folder / "bad.tif").read_bytes()
    assert "grün".encode() in data
    (folder / "bad.tif").write_bytes(data.replace("grün".encode(), b"gr\xfc\xfcn"))
    fails_alone(folder, "UnicodeDecodeError|utf-8")


@pytest.mark.parametrize(
    "text", ["0000:00:00 00:00:00", "2024:13:45 99:99:99", "2024:02:30 10:00:00", "0001:01:01 00:00:00", "soon"]
)
def test_a_date_that_is_none_is_left_out_with_a_notice(tmp_path, text):
    write_stack(tmp_path / "a.tif", size=(8, 8))
    with rasterio.open(tmp_path / "a.tif", "r+") as raster:
        raster.update_tags(TIFFTAG_DATETIME=text)
    [scene] = find_scenes([str(tmp_path)], OPTICAL, None, None)
    notices, acquired = outcome(scene)
    assert acquired is None
    assert notices == (f"states no date in TIFFTAG_DATETIME ({text!r}), so its time of acquisition is left out",)


def test_a_date_that_is_one_is_taken(tmp_path):
    write_stack(tmp_path / "a.tif", size=(8, 8))
    with rasterio.open(tmp_path / "a.tif", "r+") as raster:
        raster.update_tags(TIFFTAG_DATETIME="2024:06:01 10:20:30")
    [scene] = find_scenes([str(tmp_path)], OPTICAL, None, None)
    assert outcome(scene) == ((), "2024-06-01T10:20:30Z")


def test_a_product_that_says_no_date(folder):
    folder, damaged = folder
    damaged("bad", lambda text: text.replace(b"2024-06-01T10:20:21.024Z", b"yesterday noon"))
    scenes = {scene.name: outcome(scene) for scene in find_scenes([str(folder)], OPTICAL, None, None)}
    notices, acquired = scenes["bad"]
    assert acquired is None and "'yesterday noon'" in notices[0]


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_a_recipe_adds_finite_values(value):
    with pytest.raises(ValueError, match="finite"):
        SceneSensor(path="{scene}.tif", add=value)
