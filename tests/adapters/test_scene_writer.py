"""Masks of scenes as Cloud-Optimized GeoTIFFs, with names and colours that GIS tools show."""

import resource
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio

from wsss_adapters.geo_scenes.writer import GeoOutputs, _source_tags, scene_tags, write_scene
from wsss_adapters.geotiff.grid import SceneGrid
from wsss_toolkit.domain import LEVELS, ClassTable, Destination, Layers
from wsss_toolkit.errors import DataError, WsssError
from wsss_toolkit.files import cannot_write

REPOSITORY = Path(__file__).parents[2]
CLASSES = ClassTable(("Forest", 'Urban & "built-up" <x>', "Wäter"), ((0, 153, 0), (165, 165, 165), (28, 13, 255)))
TAGS = {"wsss_version": "0.1.0", "wsss_recipe_digest": "abc", "wsss_label_source": "tag_file", "wsss_job": "j1"}


def make_grid(height=700, width=600, *, crs="EPSG:32632", transform=(10.0, 0.0, 5e5, 0.0, -10.0, 5e6)):
    wkt = rasterio.crs.CRS.from_string(crs).to_wkt() if crs else None
    return SceneGrid(height, width, wkt, transform, "2024-06-01T10:20:30Z", ("scenes/a.tif",))


def make_layers(grid, block=300, seed=0):
    """Return blocks of a smooth mask with a frame of missing pixels, and the whole mask."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 3, (grid.height // 16 + 1, grid.width // 16 + 1)).astype(np.uint8)
    mask = np.kron(coarse, np.ones((16, 16), np.uint8))[: grid.height, : grid.width].copy()
    mask[:5] = 255
    confidence = generator.integers(0, LEVELS + 1, mask.shape).astype(np.uint8)
    confidence[:5] = 255
    scores = generator.integers(0, LEVELS + 1, (3, *mask.shape)).astype(np.uint8)
    scores[:, :5] = 255
    layers = [
        Layers(row, mask[row : row + block], confidence[row : row + block], scores[:, row : row + block])
        for row in range(0, grid.height, block)
    ]
    return layers, mask, confidence, scores


def make_output(folder, tags=TAGS, **wanted):
    return Destination(folder, GeoOutputs(**wanted), tags)


@pytest.mark.parametrize("size", [(700, 600), (1, 1), (7, 1500), (513, 511)])
def test_a_mask_is_a_valid_cog_on_exactly_the_grid(size, tmp_path):
    cogeo = pytest.importorskip("rio_cogeo.cogeo")
    grid = make_grid(*size)
    layers, mask, confidence, scores = make_layers(grid)
    path = write_scene(grid, "a", layers, CLASSES, make_output(tmp_path, confidence=True, scores=True))
    assert path == tmp_path / "a_mask.tif"
    with rasterio.open(path) as raster:
        assert (raster.height, raster.width) == size and raster.crs.to_epsg() == 32632
        assert tuple(raster.transform)[:6] == grid.transform
        assert (raster.dtypes, raster.nodata) == (("uint8",), 255)
        np.testing.assert_array_equal(raster.read(1), mask)
        colors = raster.colormap(1)
        assert [colors[value][:3] for value in range(3)] == list(CLASSES.colors) and colors[255][3] == 0
        tags = raster.tags()
    assert tags.items() >= TAGS.items()
    assert (tags["CLASS_2"], tags["AREA_OR_POINT"], tags["wsss_sources"]) == ("Wäter", "Area", "a.tif")
    assert tags["wsss_acquired"] == "2024-06-01T10:20:30Z"
    with rasterio.open(tmp_path / "a_confidence.tif") as raster:
        np.testing.assert_array_equal(raster.read(1), confidence)
        assert raster.scales == (1 / LEVELS,) and raster.nodata == 255 and raster.descriptions == ("confidence",)
    with rasterio.open(tmp_path / "a_scores.tif") as raster:
        np.testing.assert_array_equal(raster.read(), scores)
        assert raster.descriptions == CLASSES.names and raster.nodata == 255
    for name in ("a_mask.tif", "a_confidence.tif", "a_scores.tif"):
        assert cogeo.cog_validate(tmp_path / name, quiet=True) == (True, [], [])
    assert scene_tags("a", tmp_path)["wsss_job"] == "j1"
    assert not [file for file in tmp_path.iterdir() if file.name.startswith(".")]


def test_overviews_hold_classes_only_and_missing_pixels_stay_missing(tmp_path):
    grid = make_grid()
    layers, mask, *_ = make_layers(grid)
    path = write_scene(grid, "a", layers, CLASSES, make_output(tmp_path))
    with rasterio.open(path) as raster:
        assert raster.overviews(1) == [2]
        reduced = raster.read(1, out_shape=(350, 300))
    assert set(np.unique(reduced)) == {0, 1, 2, 255}
    assert (reduced[:2] == 255).all() and (reduced[3:] != 255).all()
    # Blocks of 16 pixels survive halving: the most frequent of four equal pixels.
    np.testing.assert_array_equal(reduced[8:344], mask[16:688:2, ::2])


@pytest.mark.parametrize("transform", [(8.0, 2.0, 5e5, 2.0, -8.0, 5e6), (0.5, 0.0, -3.0, 0.0, 0.5, 7.0)])
def test_rotated_and_flipped_grids_are_taken_over(transform, tmp_path):
    grid = make_grid(64, 48, transform=transform)
    path = write_scene(grid, "a", make_layers(grid)[0], CLASSES, make_output(tmp_path))
    with rasterio.open(path) as raster:
        assert tuple(raster.transform)[:6] == transform


def test_a_grid_without_crs_gives_a_mask_without_crs(tmp_path):
    grid = make_grid(64, 48, crs=None, transform=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0))
    path = write_scene(grid, "a", make_layers(grid)[0], CLASSES, make_output(tmp_path))
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning), rasterio.open(path) as raster:
        assert raster.crs is None and raster.transform == rasterio.Affine.identity()


def test_the_same_layers_give_the_same_bytes_however_they_are_cut(tmp_path):
    grid = make_grid()
    for name, block in (("one", 300), ("two", 41)):
        layers = make_layers(grid, block)[0]
        write_scene(grid, "a", layers, CLASSES, make_output(tmp_path / name, confidence=True, scores=True))
    first, second = ({file.name: file.read_bytes() for file in (tmp_path / name).iterdir()} for name in ("one", "two"))
    assert first == second and len(first) == 5


def test_the_style_names_every_class(tmp_path):
    grid = make_grid(32, 32)
    write_scene(grid, "a", make_layers(grid)[0], CLASSES, make_output(tmp_path))
    style = ElementTree.fromstring((tmp_path / "a_mask.qml").read_text())
    entries = [(e.get("value"), e.get("label"), e.get("color")) for e in style.iter("paletteEntry")]
    assert entries == [("0", "Forest", "#009900"), ("1", CLASSES.names[1], "#a5a5a5"), ("2", "Wäter", "#1c0dff")]


def test_layers_that_do_not_cover_the_grid_are_refused(tmp_path):
    grid = make_grid()
    layers = make_layers(grid)[0]
    for wrong in (layers[:-1], layers[1:], [layers[0], layers[2]]):
        with pytest.raises(ValueError, match="row"):
            write_scene(grid, "a", wrong, CLASSES, make_output(tmp_path))
    assert not list(tmp_path.glob("*.tif")) and not list(tmp_path.glob(".*"))


def test_what_an_older_call_wrote_goes_with_its_mask(tmp_path):
    grid = make_grid(32, 32)
    layers = make_layers(grid)[0]
    write_scene(grid, "a", layers, CLASSES, make_output(tmp_path, confidence=True))
    write_scene(grid, "a", layers, CLASSES, make_output(tmp_path))
    assert {file.name for file in tmp_path.iterdir()} == {"a_mask.tif", "a_mask.tif.aux.xml", "a_mask.qml"}


def test_tags_of_no_mask_and_of_a_foreign_file(tmp_path):
    assert scene_tags("a", tmp_path) is None
    (tmp_path / "a_mask.tif").write_bytes(b"no raster")
    with pytest.raises(DataError, match=r"a_mask\.tif: not a readable raster"):
        scene_tags("a", tmp_path)
    with rasterio.open(
        tmp_path / "a_mask.tif", "w", driver="GTiff", height=1, width=1, count=1, dtype="uint8",
        crs="EPSG:4326", transform=rasterio.Affine(1, 0, 5, 0, -1, 5),
    ):  # fmt: skip
        pass
    with pytest.raises(DataError, match="was not written by wsss"):
        scene_tags("a", tmp_path)


def test_an_output_folder_that_is_a_file_is_one_error(tmp_path):
    (tmp_path / "out").write_text("")
    grid = make_grid(32, 32)
    with pytest.raises(WsssError, match="cannot write"):
        write_scene(grid, "a", make_layers(grid)[0], CLASSES, make_output(tmp_path / "out"))


FULL = """
import resource, signal, sys
sys.path[:0] = {paths!r}
from pathlib import Path
from test_scene_writer import CLASSES, make_grid, make_layers, make_output, write_scene
from wsss_toolkit.errors import WsssError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # what a full disk looks like: writing fails
grid = make_grid(3000, 3000)
layers = make_layers(grid)[0]
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
try:
    write_scene(grid, "a", layers, CLASSES, make_output(Path({folder!r}), confidence=True))
except WsssError as error:
    print(error)
    sys.exit(7)
"""


@pytest.mark.parametrize("limit", [100, 200_000, 6_000_000])
def test_a_disk_that_fills_up_leaves_nothing_under_a_final_name(limit, tmp_path):
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    paths = [str(REPOSITORY), str(REPOSITORY / "adapters"), str(Path(__file__).parent)]
    code = FULL.format(paths=paths, limit=limit, folder=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 7, done.stderr
    assert "cannot write" in done.stdout and "--out" in done.stdout
    assert not (tmp_path / "a_mask.tif").exists() and not (tmp_path / "a_confidence.tif").exists()
    assert not list(tmp_path.glob(".*"))


def test_a_full_disk_is_called_full_whatever_the_writer_says(tmp_path, monkeypatch):
    assert cannot_write(tmp_path / "a.tif", "TIFFReadEncodedTile() failed").what.endswith("Tile() failed")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=4096))
    error = cannot_write(tmp_path / "a.tif", "TIFFReadEncodedTile() failed")
    assert error.what == "cannot write: no space left on device" and "--out" in error.fix


@pytest.mark.parametrize(
    "source, shown",
    [
        ("/home/jane/scenes/a.tif", "a.tif"),
        ("https://jane:secret@host/a.tif?token=1", "https://host/a.tif"),
        ("/vsicurl/https://jane:secret@host/b/a.tif?sig=1", "https://host/.../a.tif"),
        ("/vsis3/bucket/a.tif", "s3://bucket/a.tif"),
        ("s3://bucket/a.tif", "s3://bucket/a.tif"),
        ("/vsizip//home/jane/a.zip/b.tif", "b.tif"),
    ],
)
def test_sources_are_published_without_secrets(source, shown):
    assert _source_tags(SceneGrid(1, 1, None, (1, 0, 0, 0, 1, 0), None, (source,)))["wsss_sources"] == shown


@pytest.mark.external
@pytest.mark.skipif(shutil.which("gdalinfo") is None, reason="needs Debian's gdal-bin")
def test_gdalinfo_shows_names_colours_and_overviews(tmp_path):
    grid = make_grid()
    path = write_scene(grid, "a", make_layers(grid)[0], CLASSES, make_output(tmp_path))
    done = subprocess.run(["gdalinfo", str(path)], capture_output=True, text=True, check=True)
    text = done.stdout
    for expected in (
        "LAYOUT=COG",
        "NoData Value=255",
        "Overviews: 300x350",
        "0: Forest",
        "2: Wäter",
        "2: 28,13,255,255",
        "<GDALRasterAttributeTable",
        "wsss_recipe_digest=abc",
        'ID["EPSG",32632]',
    ):
        assert expected in text, f"{expected!r} is missing in\n{text}"
    assert not done.stderr


QGIS_PYTHON = Path("/usr/bin/python3")


def has_qgis():
    if not QGIS_PYTHON.exists():
        return False
    return subprocess.run([QGIS_PYTHON, "-c", "import qgis.core"], capture_output=True).returncode == 0


@pytest.mark.external
def test_qgis_shows_the_class_names_in_its_legend(tmp_path):
    if not has_qgis():
        pytest.skip("needs Debian's python3-qgis")
    grid = make_grid()
    path = write_scene(grid, "a", make_layers(grid)[0], CLASSES, make_output(tmp_path))
    script = REPOSITORY / "scripts" / "qgis_legend.py"
    environment = {"QT_QPA_PLATFORM": "offscreen", "HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
    done = subprocess.run(
        [QGIS_PYTHON, str(script), str(path)], capture_output=True, text=True, env=environment, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "renderer paletted",
        "crs EPSG:32632",
        "0 #009900 Forest",
        f"1 #a5a5a5 {CLASSES.names[1]}",
        "2 #1c0dff Wäter",
    ]
