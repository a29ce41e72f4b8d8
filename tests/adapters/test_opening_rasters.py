"""Which files GDAL may open, and what a header may claim."""

import contextlib
import http.server
import os
import socket
import threading
import warnings
import zipfile

import numpy as np
import pytest
import rasterio
from fake_scenes import OPTICAL, S2, write_stack
from fake_tiles import write_tiff

from wsss_adapters.geo_scenes.reader import open_geo_scene
from wsss_adapters.geo_scenes.source import GeoSource, SceneFile
from wsss_adapters.geotiff import opening
from wsss_adapters.geotiff.cog import read_tags
from wsss_adapters.geotiff.opening import open_dataset, parse_drivers, vrt_sources
from wsss_adapters.geotiff.reading import read_bands, read_header
from wsss_toolkit.errors import DataError, UsageError


def vrt(source, relative=0, size=8):
    return (
        f'<VRTDataset rasterXSize="{size}" rasterYSize="{size}"><VRTRasterBand dataType="UInt16" band="1">'
        f'<SimpleSource><SourceFilename relativeToVRT="{relative}">{source}</SourceFilename>'
        "<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
    )


@pytest.fixture
def listening():
    """An address, and the requests that came there."""
    seen = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(self.path)
            self.send_error(404)

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", seen
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("name", ["a.tif", "a.vrt", "a.jp2", "a.dat"])
@pytest.mark.parametrize(
    "text",
    [
        vrt("/vsicurl/{address}/x.tif"),
        vrt("{address}/x.tif"),
        vrt("/etc/hostname"),
        "<GDAL_WMS><Service name='TMS'><ServerUrl>{address}/${{z}}</ServerUrl></Service></GDAL_WMS>",
        '\ufeff<?xml version="1.0"?>\n<VRTDataset rasterXSize="1" rasterYSize="1"></VRTDataset>',
        '{{"type": "FeatureCollection", "features": []}}',
    ],
)
def test_text_is_no_raster_whatever_the_file_is_called(tmp_path, listening, name, text):
    address, seen = listening
    path = tmp_path / name
    path.write_text(text.format(address=address), encoding="utf-8")
    with pytest.raises(DataError) as refused, open_dataset(path) as source:
        source.read()
    assert str(path) in str(refused.value) and not seen
    with pytest.raises(DataError):
        read_header(path)
    with pytest.raises(DataError):
        read_tags(path)
    assert not seen


def test_a_vrt_is_opened_where_it_is_allowed_or_the_pattern_names_it(tmp_path):
    pixels = np.arange(64, dtype=np.uint16).reshape(1, 8, 8)
    write_tiff(tmp_path / "data" / "x.tif", pixels)
    path = tmp_path / "x.vrt"
    path.write_text(vrt("data/x.tif", relative=1))
    with pytest.raises(DataError, match=r"format VRT, which is not opened unasked.*--allow-drivers VRT"):
        open_dataset(path).__enter__()
    with open_dataset(path, ("VRT",)) as source:
        np.testing.assert_array_equal(source.read(), pixels)
    np.testing.assert_array_equal(read_bands(path, [1]), pixels)
    assert vrt_sources(path) == [tmp_path / "data" / "x.tif"] and vrt_sources(tmp_path / "data" / "x.tif") == []


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("/vsicurl/{address}/x.tif", "names 'http://127.0.0.1"),
        ("/vsizip/x.zip/x.tif", "names 'x.tif'; sources of a VRT are plain files"),
        ("WMS:{address}/x?LAYERS=a", "sources of a VRT are plain files"),
        ("other.vrt", "names VRTs that name VRTs in turn"),
        ("wms.tif", "of the format WMS"),
        ("none.tif", "none.tif, which is not there"),
    ],
)
def test_sources_of_a_vrt_are_plain_rasters_of_this_machine(tmp_path, listening, source, said):
    address, seen = listening
    (tmp_path / "other.vrt").write_text(vrt("other.vrt", relative=1))
    (tmp_path / "wms.tif").write_text(f"<GDAL_WMS><ServerUrl>{address}</ServerUrl></GDAL_WMS>")
    (tmp_path / "a.vrt").write_text(vrt(source.format(address=address), relative=1))
    with pytest.raises(DataError, match=said), open_dataset(tmp_path / "a.vrt", ("VRT",)) as raster:
        raster.read()
    assert not seen


def test_a_vrt_at_an_address_is_not_opened_because_nobody_looks_into_it(tmp_path, listening):
    address, seen = listening
    write_stack(tmp_path / "x.tif")
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr("a.vrt", vrt(f"/vsicurl/{address}/x.tif"))
        archive.write(tmp_path / "x.tif", "x.tif")
    for allowed in (("VRT",), ()):
        with pytest.raises(DataError) as caught, open_dataset(f"/vsizip/{tmp_path}/z.zip/a.vrt", allowed):
            pass
        assert ("a VRT is read as a file of this machine only" in str(caught.value)) == bool(allowed)
    with open_dataset(f"/vsizip/{tmp_path}/z.zip/x.tif", ("VRT",)) as raster:
        assert raster.count == 4
    assert not seen


def test_names_of_drivers(tmp_path):
    assert parse_drivers("vrt, ENVI") == ("VRT", "ENVI") and parse_drivers("") == ()
    with pytest.raises(UsageError, match=r"no driver 'VRTT'.*VRT"):
        parse_drivers("VRTT")


def test_a_scene_takes_the_drivers_that_are_allowed(tmp_path):
    write_stack(tmp_path / "x.tif", size=(8, 8))
    with rasterio.open(tmp_path / "x.tif") as raster:
        envi = raster.profile | {"driver": "ENVI"}
        pixels = raster.read()
    plain = {key: value for key, value in envi.items() if key in ("driver", "dtype", "count", "height", "width", "crs")}
    with rasterio.open(tmp_path / "x.dat", "w", **plain, transform=envi["transform"]) as raster:
        raster.write(pixels)
    scene = GeoSource("x", "x.dat", (SceneFile(str(tmp_path / "x.dat"), "sentinel2", S2.bands),))
    with pytest.raises(DataError, match="not a readable raster"), open_geo_scene(scene, OPTICAL, {}):
        pass
    with open_geo_scene(scene, OPTICAL, {}, allowed=("ENVI",)) as opened:
        assert (opened.height, opened.width) == (8, 8)


def sparse(path, *, height=8, width=8, count=1, transform=None, tiled=True, **tags):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(
            path, "w", driver="GTiff", count=count, height=height, width=width, dtype="uint8", SPARSE_OK=True,
            tiled=tiled, BIGTIFF="YES", transform=transform, **tags,
        ):  # fmt: skip
            pass
    return path


def test_claims_beyond_the_limits_are_refused_before_memory_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(opening, "MOST_SIDE", 5000)
    with pytest.raises(DataError, match="claims 5001 x 8 pixels; at most 5000"):
        read_header(sparse(tmp_path / "high.tif", height=5001))
    with pytest.raises(DataError, match="claims 8 x 5001 pixels"):
        read_header(sparse(tmp_path / "wide.tif", width=5001))
    monkeypatch.setattr(opening, "MOST_BANDS", 3)
    with pytest.raises(DataError, match="claims 4 bands; at most 3"):
        read_header(sparse(tmp_path / "bands.tif", count=4))
    monkeypatch.setattr(opening, "MOST_BLOCK", 2**16)
    with pytest.raises(DataError, match="blocks of 512 x 512 pixels"):
        read_header(sparse(tmp_path / "block.tif", height=512, width=512, blockxsize=512, blockysize=512))
    monkeypatch.setattr(opening, "MOST_BLOCK", 2**31)
    monkeypatch.setattr(opening, "MOST_VALUES", 2**20)
    read_bands(sparse(tmp_path / "fits.tif", height=1024, width=1024), [1])
    with pytest.raises(DataError, match="2097152 values in memory"):
        read_bands(sparse(tmp_path / "large.tif", height=2048, width=1024), [1])


def test_a_terabyte_of_nothing_is_refused(tmp_path):
    with pytest.raises(DataError, match="claims 1048576 x 1048576 pixels in 1 bands, and has "):
        read_bands(sparse(tmp_path / "huge.tif", height=2**20, width=2**20), [1])


@pytest.mark.parametrize(
    ("transform", "said"),
    [
        ((float("inf"), 0, 0, 0, -1, 0), "not finite"),
        ((1, 0, float("nan"), 0, -1, 0), "not finite"),
        ((10, 0, 5, 0, 0, 5), "pixels have no area"),
    ],
)
def test_transforms_that_place_nothing_are_refused(tmp_path, transform, said):
    path = sparse(tmp_path / "a.tif", transform=rasterio.Affine(*transform))
    with pytest.raises(DataError, match=said):
        read_header(path)


@pytest.mark.parametrize("field", ["scales", "offsets"])
@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_scales_and_offsets_are_finite(tmp_path, field, value):
    path = sparse(tmp_path / "a.tif", transform=rasterio.Affine(1, 0, 0, 0, -1, 0))
    with rasterio.open(path, "r+") as raster:
        setattr(raster, field, [value])
    with pytest.raises(DataError, match="scale or an offset that is not finite"):
        read_header(path)


def test_a_small_file_that_claims_a_huge_scene_is_refused(tmp_path):
    """It would have been labelled for months: what a sparse file never wrote reads as 0."""
    path, profile = tmp_path / "a.tif", {"driver": "GTiff", "count": 1, "dtype": "uint8", "sparse_ok": True}
    profile |= {
        "tiled": True,
        "compress": "deflate",
        "crs": "EPSG:32632",
        "transform": rasterio.Affine(10, 0, 0, 0, -10, 0),
    }
    with rasterio.open(
        path, "w", height=500_000, width=500_000, BIGTIFF="YES", blockxsize=4096, blockysize=4096, **profile
    ):
        pass
    with pytest.raises(DataError, match=r"claims 500000 x 500000 pixels in 1 bands, and has \d+ bytes"):
        read_header(path)
    with rasterio.open(path, "w", height=30_000, width=30_000, **profile):
        pass
    assert read_header(path).height == 30_000


def make_no_file(path, kind):
    """Put something that is no file at a path."""
    if kind == "a named pipe":
        os.mkfifo(path)
    elif kind == "a socket":
        with socket.socket(socket.AF_UNIX) as end, contextlib.chdir(path.parent):  # whose paths are short
            end.bind(path.name)
    elif kind == "a folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero" if kind == "a device" else "nowhere")


@pytest.mark.parametrize("kind", ["a named pipe", "a socket", "a device", "a folder", "a link to nothing"])
def test_what_is_no_file_is_called_so(tmp_path, kind):
    make_no_file(tmp_path / "x.tif", kind)
    with pytest.raises(DataError, match=rf"x\.tif: is no file, but {kind};"):
        read_header(tmp_path / "x.tif")


@pytest.mark.parametrize("name", ["x.tfw", "x.tif.aux.xml", "X.TFW", "x.tif.ovr", "x_rpc.txt", "x.tif.msk"])
def test_gdal_does_not_wait_for_what_lies_beside_a_file(tmp_path, name):
    write_stack(tmp_path / "x.tif")
    assert read_header(tmp_path / "x.tif").bands == 4
    make_no_file(tmp_path / name, "a named pipe")
    with pytest.raises(DataError, match=rf"x\.tif: beside it lies {name}, which is a named pipe, no file"):
        read_header(tmp_path / "x.tif")


def test_what_belongs_to_another_file_or_is_a_loop_of_links_costs_nothing(tmp_path):
    write_stack(tmp_path / "x.tif")
    for name in ("x1.tfw", "x_1.tif", "y.tif.aux.xml"):
        make_no_file(tmp_path / name, "a named pipe")
    (tmp_path / "x.tif.msk").symlink_to("x.tif.msk")
    assert read_header(tmp_path / "x.tif").bands == 4
