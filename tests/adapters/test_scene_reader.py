"""Windows of scenes on one grid."""

import os
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.warp
from fake_scenes import ALL_S2, BOTH, OPTICAL, S2, draw, radar, write_band, write_safe, write_stack
from fake_tiles import write_tiff
from rasterio.warp import Resampling, reproject

from wsss_adapters.geo_scenes.finder import find_scenes
from wsss_adapters.geo_scenes.options import SceneRules
from wsss_adapters.geo_scenes.reader import open_geo_scene
from wsss_toolkit.domain import ChannelTable, Sensor, Window
from wsss_toolkit.errors import DataError

PAIRS = SceneRules.model_validate(
    {"sensors": {"sentinel1": {"path": "{scene}_S1.tif"}, "sentinel2": {"path": "{scene}_S2.tif"}}}
)
STATED = {"sentinel1": ("VV", "VH"), "sentinel2": ALL_S2}


def open_scene(path, channels=OPTICAL, *, rules=None, stated=None, require_crs=False):
    [source] = find_scenes([str(path)], channels, rules, None)
    return open_geo_scene(source, channels, stated or {}, require_crs=require_crs)


def read(path, channels=OPTICAL, *, window=None, **options):
    """Return the grid and the bands of a scene."""
    with open_scene(path, channels, **options) as scene:
        area = window or Window(0, 0, scene.height, scene.width)
        return scene.grid, scene.read(area).bands


def rules(**sensors):
    return SceneRules.model_validate({"sensors": sensors})


def test_bands_are_matched_by_name_whatever_their_order(tmp_path):
    pixels = write_stack(tmp_path / "a.tif", ("B8A", "B08", "B2", "sentinel2.B03", "S2_B04"))
    grid, bands = read(tmp_path / "a.tif")
    np.testing.assert_array_equal(bands["sentinel2"], pixels[[2, 3, 4, 1]].astype(np.float32))
    assert bands["sentinel2"].dtype == np.float32
    assert (grid.height, grid.width, grid.transform) == (40, 50, (10.0, 0.0, 500_000.0, 0.0, -10.0, 5_000_000.0))
    assert rasterio.crs.CRS.from_wkt(grid.crs).to_epsg() == 32632
    window = Window(3, 7, 20, 11)
    _, part = read(tmp_path / "a.tif", window=window)
    np.testing.assert_array_equal(part["sentinel2"], bands["sentinel2"][:, 3:23, 7:18])


def test_one_stack_may_hold_several_sensors(tmp_path):
    pixels = np.concatenate([radar(), draw(4).astype(np.float32)])
    write_tiff(tmp_path / "a.tif", pixels, names=("VV", "VH", *S2.bands))
    _, bands = read(tmp_path, BOTH)
    np.testing.assert_array_equal(bands["sentinel1"], pixels[:2])
    np.testing.assert_array_equal(bands["sentinel2"], pixels[2:])


def test_nameless_bands_are_known_by_their_number(tmp_path):
    chosen = write_stack(tmp_path / "four" / "a.tif", names=False)
    np.testing.assert_array_equal(read(tmp_path / "four")[1]["sentinel2"], chosen.astype(np.float32))
    pixels = write_stack(tmp_path / "all" / "a.tif", ALL_S2, names=False)
    _, bands = read(tmp_path / "all", stated=STATED)
    np.testing.assert_array_equal(bands["sentinel2"], pixels[[1, 2, 3, 7]].astype(np.float32))
    with pytest.raises(DataError, match=r"a\.tif: has 13 bands without names; the model wants 4: sentinel2\.B02"):
        read(tmp_path / "all")
    with pytest.raises(DataError, match=r"has 4 bands without names; the model wants 6: sentinel1\.VV, .*data\.scenes"):
        read(tmp_path / "four", BOTH)


def test_missing_bands_are_named(tmp_path):
    write_stack(tmp_path / "a.tif", ("B02", "B03", "B11"))
    with pytest.raises(DataError, match=r"a\.tif: lacks B04, B08 of sentinel2; it has B02, B03"):
        read(tmp_path)
    write_stack(tmp_path / "a.tif", ("NDVI", "slope"))
    with pytest.raises(DataError, match=r"holds none of the bands that the model wants: sentinel2\.B02"):
        read(tmp_path)
    with pytest.raises(DataError, match="has 2 bands, but 4 are named for it: B02, B03, B04, B08"):
        read(tmp_path, rules=rules(sentinel2={"path": "{scene}.tif", "bands": list(S2.bands)}))


def test_a_sensor_may_be_missing_as_a_whole(tmp_path):
    write_stack(tmp_path / "a_S2.tif")
    with open_scene(tmp_path, BOTH, rules=PAIRS) as scene:
        assert scene.sensors == ("sentinel2",)
        assert set(scene.read(Window(0, 0, 5, 5)).bands) == {"sentinel2"}


def test_missing_pixels_are_nan(tmp_path):
    pixels = draw(4).astype(np.float32)
    pixels[:, 2:4, 2:4] = np.nan
    pixels[0, 9, 9] = np.inf
    pixels[1, 5, 5] = -9999
    write_tiff(tmp_path / "a.tif", pixels, names=S2.bands, nodata=-9999)
    _, bands = read(tmp_path)
    found = np.isnan(bands["sentinel2"])
    expected = ~np.isfinite(pixels) | (pixels == -9999)
    np.testing.assert_array_equal(found, expected)

    whole = draw(4)
    whole[:, :3] = 0
    write_tiff(tmp_path / "b" / "a.tif", whole, names=S2.bands)
    shifted = rules(sentinel2={"path": "{scene}.tif", "nodata": 0, "add": -1000})
    _, bands = read(tmp_path / "b", rules=shifted)
    assert np.isnan(bands["sentinel2"][:, :3]).all()
    np.testing.assert_array_equal(bands["sentinel2"][:, 3:], whole[:, 3:].astype(np.float32) - 1000)


def test_files_on_other_grids_are_warped_to_the_finest(tmp_path):
    write_stack(tmp_path / "a_S2.tif", size=(60, 60))
    coarse = radar(20, 20)
    [left], [top] = rasterio.warp.transform("EPSG:32632", "EPSG:32633", [500_200.0], [5_000_050.0])
    place = rasterio.Affine(40, 0, left, 0, -40, top)
    with rasterio.open(
        tmp_path / "a_S1.tif", "w", driver="GTiff", count=2, height=20, width=20, dtype="float32", nodata=-99,
        crs="EPSG:32633", transform=place,
    ) as raster:  # fmt: skip
        raster.write(coarse)
        raster.set_band_description(1, "VV")
        raster.set_band_description(2, "VH")
    grid, bands = read(tmp_path, BOTH, rules=PAIRS)
    assert (grid.height, grid.width, grid.transform[0]) == (60, 60, 10.0)
    expected = np.full((2, 60, 60), np.nan, np.float32)
    reproject(
        coarse,
        expected,
        src_transform=place,
        src_crs="EPSG:32633",
        dst_transform=rasterio.Affine(*grid.transform),
        dst_crs="EPSG:32632",
        src_nodata=-99,
        dst_nodata=np.nan,
        resampling=Resampling.bilinear,
    )
    both = np.isfinite(expected) & np.isfinite(bands["sentinel1"])
    assert both.mean() > 0.2 and np.isnan(bands["sentinel1"]).any(), "the files overlap in part"
    assert np.abs(bands["sentinel1"] - expected)[both].max() < 0.05
    assert (np.isfinite(expected) != np.isfinite(bands["sentinel1"])).mean() < 0.01


@pytest.mark.parametrize("kind", ["declared", "nan", "given"])
def test_nodata_never_leaks_through_resampling(kind, tmp_path):
    write_stack(tmp_path / "a_S2.tif", size=(40, 40))
    pixels = np.full((2, 20, 20), -10.0, np.float32)
    missing = np.nan if kind == "nan" else -999.0
    pixels[:, 5:9, 5:9] = missing
    path = write_band(tmp_path / "x.tif", pixels[0], 20, driver="GTiff")
    path.unlink()
    with rasterio.open(
        tmp_path / "a_S1.tif", "w", driver="GTiff", count=2, height=20, width=20, dtype="float32",
        nodata=-999.0 if kind == "declared" else None, crs="EPSG:32632",
        transform=rasterio.Affine(20, 0, 500_000, 0, -20, 5_000_000),
    ) as raster:  # fmt: skip
        raster.write(pixels)
    known = rules(
        sentinel1={"path": "{scene}_S1.tif", "bands": ["VV", "VH"], "nodata": -999.0 if kind == "given" else None},
        sentinel2={"path": "{scene}_S2.tif"},
    )
    _, bands = read(tmp_path, BOTH, rules=known)
    values = bands["sentinel1"]
    assert np.isnan(values[:, 10:18, 10:18]).all()
    assert set(np.unique(values[np.isfinite(values)])) == {np.float32(-10.0)}, "no value between -10 and -999"
    assert np.isfinite(values).mean() > 0.95


def test_a_product_is_read_at_10_m_without_its_offset(tmp_path):
    safe = write_safe(tmp_path, size=60, offset=-1000)
    channels = ChannelTable((Sensor("optical", ("B02", "B8A", "B09")),))
    grid, bands = read(safe, channels)
    assert (grid.height, grid.width, grid.transform[0]) == (60, 60, 10.0)
    assert grid.acquired == "2024-06-01T10:20:21.024Z" and grid.sources == (str(safe),)
    [blue] = safe.rglob("*_B02.jp2")
    with rasterio.open(blue) as raster:
        stored = raster.read(1).astype(np.float32)
    np.testing.assert_array_equal(np.isnan(bands["optical"][0]), stored == 0)
    np.testing.assert_array_equal(bands["optical"][0][10:], stored[10:] - 1000)
    for index, side in ((1, 30), (2, 10)):
        with rasterio.open(next(safe.rglob(f"*_{channels.bands[index]}.jp2"))) as raster:
            coarse = raster.read(1).astype(np.float32) - 1000
        assert coarse.shape == (side, side)
        factor = 60 // side
        means = bands["optical"][index].reshape(side, factor, side, factor).mean(axis=(1, 3))
        assert np.corrcoef(means.ravel(), coarse.ravel())[0, 1] > 0.9
        assert coarse.min() <= bands["optical"][index].min() and bands["optical"][index].max() <= coarse.max()


def test_a_zipped_product_is_read_in_place(tmp_path):
    safe = write_safe(tmp_path / "unpacked", size=60)
    expected = read(safe)[1]["sentinel2"]
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        for file in sorted(safe.rglob("*")):
            archive.write(file, file.relative_to(safe.parent))
    np.testing.assert_array_equal(read(tmp_path / "p.zip")[1]["sentinel2"], expected)


def test_level_2a_says_what_it_lacks(tmp_path):
    safe = tmp_path / "S2B_MSIL2A.SAFE"
    for band, metres in (("B02", 10), ("B02", 20), ("B03", 10), ("B04", 10), ("B08", 10), ("B8A", 20)):
        pixels = draw(1, 600 // metres, 600 // metres)[0]
        write_band(safe / "GRANULE" / "L2A_X" / "IMG_DATA" / f"R{metres}m" / f"T_{band}_{metres}m.jp2", pixels, metres)
    (safe / "MTD_MSIL2A.xml").write_text(
        '<x><BOA_ADD_OFFSET band_id="1">-1000</BOA_ADD_OFFSET><BOA_ADD_OFFSET band_id="2">0</BOA_ADD_OFFSET></x>'
    )
    grid, bands = read(safe)
    assert grid.transform[0] == 10.0
    with rasterio.open(next(safe.rglob("*_B02_10m.jp2"))) as raster:
        np.testing.assert_array_equal(bands["sentinel2"][0], raster.read(1).astype(np.float32) - 1000)
    with pytest.raises(DataError, match=r"lacks B10 of sentinel2; it has B02; level 2A .* has no B10"):
        read(safe, ChannelTable((Sensor("sentinel2", ("B02", "B10")),)))


def test_files_inside_archives_are_read(tmp_path):
    pixels = write_stack(tmp_path / "a.tif")
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.write(tmp_path / "a.tif", "inner/a.tif")
    _, bands = read(f"/vsizip/{tmp_path}/z.zip/inner/a.tif")
    np.testing.assert_array_equal(bands["sentinel2"], pixels.astype(np.float32))


def test_rotated_grids_are_read_as_they_are(tmp_path):
    rotated = rasterio.Affine(8, 3, 500_000, 3, -8, 5_000_000)
    pixels = write_stack(tmp_path / "a_S2.tif")
    with rasterio.open(tmp_path / "a_S2.tif", "r+") as raster:
        raster.transform = rotated
    grid, bands = read(tmp_path / "a_S2.tif")
    assert grid.transform == tuple(rotated)[:6]
    np.testing.assert_array_equal(bands["sentinel2"], pixels.astype(np.float32))
    # A straight radar file, the same value everywhere, is warped onto the rotated grid.
    write_tiff(tmp_path / "a_S1.tif", np.full((2, 90, 90), -7, np.float32), names=("VV", "VH"),
               origin=(499_900.0, 5_000_300.0))  # fmt: skip
    known = SceneRules.model_validate({**PAIRS.model_dump(), "reference": "sentinel2"})
    grid, bands = read(tmp_path, BOTH, rules=known)
    assert grid.transform == tuple(rotated)[:6]
    assert (bands["sentinel1"] == -7).all()


def test_grids_without_crs(tmp_path):
    pixels = write_stack(tmp_path / "a_S2.tif", crs=None)
    with open_scene(tmp_path) as scene:
        assert "no coordinate reference system" in scene.notices[0] and scene.grid.crs is None
        np.testing.assert_array_equal(scene.read(Window(0, 0, 40, 50)).bands["sentinel2"], pixels.astype(np.float32))
    with pytest.raises(DataError, match="has no coordinate reference system; assign it"):
        read(tmp_path, require_crs=True)
    write_tiff(tmp_path / "a_S1.tif", radar(), names=("VV", "VH"))
    with pytest.raises(DataError, match=r"lies on another grid than .*, and one of them has no coordinate reference"):
        read(tmp_path, BOTH, rules=PAIRS)


def test_files_of_two_places_are_no_scene(tmp_path):
    write_stack(tmp_path / "a_S2.tif")
    write_tiff(tmp_path / "a_S1.tif", radar(), names=("VV", "VH"), origin=(500_499.0, 5_000_399.0))
    read(tmp_path, BOTH, rules=PAIRS)  # a corner of one pixel is shared
    write_tiff(tmp_path / "a_S1.tif", radar(), names=("VV", "VH"), origin=(500_500.0, 5_000_000.0))
    with pytest.raises(DataError, match=r"a_S1\.tif: does not overlap .*a_S2\.tif, so the two are no scene"):
        read(tmp_path, BOTH, rules=PAIRS)
    # In another CRS it is compared on the ground: zone 33 has these coordinates 6 degrees further east.
    write_tiff(tmp_path / "a_S1.tif", radar(), names=("VV", "VH"), crs="EPSG:32633")
    with pytest.raises(DataError, match="does not overlap"):
        read(tmp_path, BOTH, rules=PAIRS)


def test_files_located_by_control_points_only_are_refused(tmp_path):
    write_stack(tmp_path / "a.tif", crs=None)
    with (
        pytest.warns(rasterio.errors.NotGeoreferencedWarning),
        rasterio.open(tmp_path / "a.tif", "r+") as raster,
    ):
        points = [rasterio.control.GroundControlPoint(r, c, c / 100, r / 100) for r, c in ((0, 0), (0, 9), (9, 0))]
        raster.gcps = (points, rasterio.crs.CRS.from_epsg(4326))
    with pytest.raises(DataError, match="located by ground control points only, so it is not terrain-corrected"):
        read(tmp_path)


def test_a_truncated_file_is_one_line(tmp_path):
    write_stack(tmp_path / "a.tif", size=(400, 400))
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"a\.tif: not a readable raster, truncated or damaged") as caught:
        read(tmp_path)
    assert "\n" not in str(caught.value)
    (tmp_path / "a.tif").write_bytes(b"no raster at all")
    with pytest.raises(DataError, match=r"a\.tif: not a readable raster"):
        read(tmp_path)


def test_windows_are_read_in_another_thread_than_the_one_that_opened(tmp_path):
    write_stack(tmp_path / "a_S2.tif", size=(60, 60))
    write_tiff(tmp_path / "a_S1.tif", radar(20, 20), names=("VV", "VH"), origin=(500_100.0, 4_999_900.0))
    found = []
    with open_scene(tmp_path, BOTH, rules=PAIRS) as scene:
        expected = scene.read(Window(5, 5, 30, 30)).bands
        thread = threading.Thread(target=lambda: found.append(scene.read(Window(5, 5, 30, 30)).bands))
        thread.start()
        thread.join()
    for sensor, bands in expected.items():
        np.testing.assert_array_equal(found[0][sensor], bands)


SERVER = """
import http.server, re, sys
from pathlib import Path

class Ranges(http.server.SimpleHTTPRequestHandler):  # serves parts of files, as object stores do
    def do_GET(self):
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            return self.send_error(404)
        content = path.read_bytes()
        wanted = re.match(r"bytes=(\\d+)-(\\d*)", self.headers.get("Range", ""))
        first, last = (int(wanted[1]), int(wanted[2] or len(content) - 1)) if wanted else (0, len(content) - 1)
        part = content[first : last + 1]
        self.send_response(206 if wanted else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(part)))
        if wanted:
            self.send_header("Content-Range", f"bytes {first}-{first + len(part) - 1}/{len(content)}")
        self.end_headers()
        self.wfile.write(part)

    def log_message(self, *arguments):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Ranges)
print(server.server_port, flush=True)
server.serve_forever()
"""


def test_files_behind_http_are_read_in_place(tmp_path, monkeypatch):
    pixels = write_stack(tmp_path / "a.tif")
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    # A process of its own: GDAL holds Python's lock while it waits for an answer.
    server = subprocess.Popen([sys.executable, "-c", SERVER], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    try:
        address = f"http://127.0.0.1:{server.stdout.readline().strip()}"
        grid, bands = read(f"{address}/a.tif")
        [source] = find_scenes([f"{address}/a.tif"], OPTICAL, None, None)
        first = source.fingerprint()
        assert first == source.fingerprint()
        os.utime(tmp_path / "a.tif", (1, 1))
        assert first != source.fingerprint(), "the server's Last-Modified counts"
        with pytest.raises(DataError, match=r"b\.tif: not a readable raster"):
            read(f"{address}/b.tif")
    finally:
        server.kill()
        server.communicate()
    np.testing.assert_array_equal(bands["sentinel2"], pixels.astype(np.float32))
    assert grid.sources[0] == f"{address}/a.tif"


@pytest.mark.real_data
def test_real_sites_and_a_real_chip():
    if "WSSS_TEST_DATA" not in os.environ:
        pytest.skip("WSSS_TEST_DATA is not set")
    root = Path(os.environ["WSSS_TEST_DATA"]) / "sentinel"
    channels = ChannelTable((Sensor("sentinel1", ("VV", "VH")), Sensor("sentinel2", ALL_S2)))
    sites = rules(
        sentinel1={"path": "S1RTC/{scene}.tif", "bands": ["VV", "VH"]},
        sentinel2={"path": "S2L1C/{scene}.tif", "bands": list(ALL_S2)},
    )
    sources = find_scenes([str(root / "terramind")], channels, sites, None)
    assert len(sources) == 5
    chip = rules(
        sentinel1={"path": "{scene}_S1Hand.tif", "bands": ["VV", "VH"]},
        sentinel2={"path": "{scene}_S2Hand.tif", "bands": list(ALL_S2)},
    )
    sources += find_scenes([str(root / "sen1floods11")], channels, chip, None)
    for source in sources:
        with (
            open_geo_scene(source, channels, {}, require_crs=True) as scene,
            rasterio.open(source.files[0].path) as raw,
        ):
            assert (scene.height, scene.width) == raw.shape
            assert scene.grid.transform == tuple(raw.transform)[:6]
            assert rasterio.crs.CRS.from_wkt(scene.grid.crs) == raw.crs
            bands = scene.read(Window(0, 0, 100, 100)).bands
            np.testing.assert_allclose(bands["sentinel1"], raw.read(window=((0, 100), (0, 100))).astype(np.float32))
    assert source.name.startswith("Spain")
