"""Ground truth on the images' grid, whatever it comes on."""

import numpy as np
import pyogrio
import pytest
import rasterio
import rasterio.warp
import shapely
from fake_tiles import draw_tile, sentinel_section, write_tiff

from wsss_adapters.remote_sensing.sentinel import Sentinel, SentinelOptions
from wsss_toolkit.errors import DataError

CLASSES = np.array([255, 0, 1, 2, 2, 255], np.uint8)
"""The mask value of each code; 5 is ignored."""


@pytest.fixture
def site(tmp_path):
    write_tiff(tmp_path / "S2/a.tif", draw_tile(0, 40)[1])
    return tmp_path


def labels_of(site, *, crop=None, **changes):
    labels = {
        "path": "labels/{site}.*",
        "codes": {1: "Water", 2: "Trees", 3: "Open", 4: "Open"},
        "ignore": [5],
        **changes,
    }
    section = sentinel_section(
        site,
        sensors={"sentinel2": {"path": "S2/{site}.tif"}},
        labels=labels,
        splits={"lists": {"train": ["a"]}},
        crop=crop,
    )
    section["sensors"]["sentinel2"]["bands"] = [f"X{number}" for number in range(13)]
    return Sentinel(SentinelOptions.model_validate(section))


def write_codes(site, codes, *, crs="EPSG:32632", place=(10, 0, 500_000, 0, -10, 5_000_000), **options):
    path = site / "labels/a.tif"
    path.parent.mkdir(exist_ok=True)
    codes = codes if codes.ndim == 3 else codes[None]
    count, height, width = codes.shape
    profile = {"driver": "GTiff", "count": count, "height": height, "width": width, "dtype": codes.dtype, "crs": crs}
    with rasterio.open(path, "w", **profile, transform=rasterio.Affine(*place), **options) as raster:
        raster.write(codes)
    return path


def draw_codes(height, width):
    return np.random.default_rng(0).integers(1, 6, (height, width)).astype(np.uint8)


def test_coarser_labels_give_each_pixel_the_nearest_one(site):
    codes = draw_codes(20, 20)
    write_codes(site, codes, place=(20, 0, 500_000, 0, -20, 5_000_000))
    expected = CLASSES[codes].repeat(2, axis=0).repeat(2, axis=1)
    adapter = labels_of(site)
    np.testing.assert_array_equal(adapter.read_mask("a"), expected)
    np.testing.assert_array_equal(labels_of(site, crop=16).read_mask("a_r016_c000"), expected[16:32, :16])
    adapter.read_mask("a")[:] = 7
    np.testing.assert_array_equal(adapter.read_mask("a"), expected), "callers may change what they get"


def test_finer_labels_give_each_pixel_the_class_that_covers_most_of_it(site):
    codes = np.full((120, 120), 1, np.uint8)
    codes[:, 60:] = 2
    codes[0:3, 0:3] = [[3, 1, 4], [3, 1, 4], [1, 1, 1]]  # five of Water, four of Open in two codes: by class
    codes[0:3, 3:6] = [[3, 1, 4], [3, 1, 4], [1, 3, 1]]  # four of Water, five of Open
    codes[0:3, 6:9] = [[5, 5, 5], [5, 5, 1], [1, 1, 1]]  # mostly unknown
    write_codes(site, codes, place=(10 / 3, 0, 500_000, 0, -10 / 3, 5_000_000))
    found = labels_of(site).read_mask("a")
    assert found[0, :3].tolist() == [0, 2, 255]
    assert (found[1:, :20] == 0).all() and (found[:, 20:] == 1).all()


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3035", "EPSG:32633"])
def test_labels_in_another_crs_lie_where_they_say(crs, site):
    """Left of a line Water, right of it Trees; the raster covers more than the site."""
    width = height = 120
    size = 1e-4 if crs == "EPSG:4326" else 9.0
    [x], [y] = rasterio.warp.transform("EPSG:32632", crs, [500_200], [4_999_800])
    place = (size, 0, x - 60 * size, 0, -size, y + 60 * size)
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    a, b, c, d, e, f = place
    x, _ = rasterio.warp.transform(crs, "EPSG:32632", *(
        values.ravel() for values in (a * columns + b * rows + c, d * columns + e * rows + f)
    ))  # fmt: skip
    codes = np.where(np.array(x).reshape(height, width) < 500_200, 1, 2).astype(np.uint8)
    write_codes(site, codes, crs=crs, place=place)
    found = labels_of(site).read_mask("a")
    assert (found[:, :19] == 0).all() and (found[:, 21:] == 1).all()


@pytest.mark.parametrize("west", [179.998, -180.002])
def test_labels_across_the_antimeridian(west, tmp_path):
    """The image has longitudes beyond 180, the labels those of the other side, or the other way round."""
    with rasterio.open(tmp_path / "image.tif", "w", driver="GTiff", count=1, height=40, width=40, dtype="uint8",
                       crs="EPSG:4326", transform=rasterio.Affine(1e-4, 0, west, 0, -1e-4, -17)):  # fmt: skip
        pass
    (tmp_path / "S2").mkdir()
    with rasterio.open(tmp_path / "S2/a.tif", "w", driver="GTiff", count=13, height=40, width=40, dtype="uint8",
                       crs="EPSG:4326", transform=rasterio.Affine(1e-4, 0, west, 0, -1e-4, -17)) as raster:  # fmt: skip
        raster.write(np.ones((13, 40, 40), np.uint8))
    codes = draw_codes(20, 20)
    other = west - 360 if west > 0 else west + 360
    write_codes(tmp_path, codes, crs="EPSG:4326", place=(2e-4, 0, other, 0, -2e-4, -17))
    np.testing.assert_array_equal(labels_of(tmp_path).read_mask("a"), CLASSES[codes].repeat(2, 0).repeat(2, 1))


def test_where_labels_end_nothing_is_known(site):
    write_codes(site, np.ones((10, 10), np.uint8), place=(20, 0, 500_100, 0, -20, 5_000_000))
    found = labels_of(site).read_mask("a")
    assert (found[:20, 10:30] == 0).all() and (found == 0).sum() == 400
    write_codes(site, np.ones((10, 10), np.uint8), place=(20, 0, 600_100, 0, -20, 5_000_000))
    with pytest.raises(DataError, match=r"labels.a\.tif: does not overlap .*S2.a\.tif; correct data\.labels\.path"):
        labels_of(site).prepare()


def test_labels_without_crs_on_another_grid_are_refused(site):
    write_codes(site, np.ones((20, 20), np.uint8), crs=None, place=(20, 0, 500_000, 0, -20, 5_000_000))
    with pytest.raises(DataError, match="is 20 x 20 pixels, not 40 x 40 as"):
        labels_of(site).prepare()
    write_codes(site, np.ones((20, 20), np.uint8), crs=rasterio.crs.CRS.from_wkt('LOCAL_CS["site",UNIT["metre",1]]'))
    with pytest.raises(DataError, match="no transformation leads from its coordinate reference system"):
        labels_of(site).prepare()


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_a_nodata_value_that_is_a_class_is_named(dtype, site):
    """Water, code 1 here and the file's nodata, never occurred, and nothing said why."""
    write_codes(site, draw_codes(40, 40).astype(dtype), nodata=1)
    with pytest.raises(DataError, match=r"code 1, which data\.labels\.codes gives a class, is the file's nodata"):
        labels_of(site).prepare()
    codes = {2: "Trees", 3: "Open", 4: "Open"}
    assert labels_of(site, codes=codes).read_mask("a").min() == 1, "a code that is no class may be nodata"


def test_labels_of_several_bands_ask_which_one(site):
    codes = np.stack([draw_codes(40, 40), np.full((40, 40), 2, np.uint8), np.full((40, 40), 9, np.uint8)])
    write_codes(site, codes)
    with pytest.raises(DataError, match=r"a\.tif: has 3 bands; one of them must hold the codes .* data\.labels\.band"):
        labels_of(site).prepare()
    assert (labels_of(site, band=2).read_mask("a") == 1).all()
    with pytest.raises(DataError, match=r"has 3 bands, data\.labels\.band is 4"):
        labels_of(site, band=4).prepare()


def test_an_alpha_band_of_labels_is_a_mask(site):
    codes = np.stack([np.full((40, 40), 2, np.uint8), np.full((40, 40), 255, np.uint8)])
    codes[1, :7] = 0
    path = write_codes(site, codes)
    with rasterio.open(path, "r+") as raster:
        raster.colorinterp = [rasterio.enums.ColorInterp.gray, rasterio.enums.ColorInterp.alpha]
    found = labels_of(site).read_mask("a")
    assert (found[:7] == 255).all() and (found[7:] == 1).all()


def write_outlines(path, boxes, columns, *, crs="EPSG:32632", append=False, **options):
    """Write boxes (left, bottom, right, top in metres from the site's upper left corner, in EPSG:32632)."""
    path.parent.mkdir(exist_ok=True)
    shapes = [shapely.box(500_000 + a, 5_000_000 + b, 500_000 + c, 5_000_000 + d) for a, b, c, d in boxes]
    if crs not in ("EPSG:32632", None):
        moved = [rasterio.warp.transform_geom("EPSG:32632", crs, shapely.geometry.mapping(shape)) for shape in shapes]
        shapes = [shapely.geometry.shape(shape) for shape in moved]
    with np.errstate(all="ignore"):
        pyogrio.raw.write(
            path, np.array(shapely.to_wkb(shapes), object), list(columns.values()), list(columns), crs=crs,
            geometry_type="Polygon", append=append, **options,
        )  # fmt: skip
    return path


WEST, EAST, BOTH_SIDES = (0, -400, 200, 0), (200, -400, 400, 0), (100, -400, 300, -200)


@pytest.mark.parametrize(
    ("name", "crs"),
    [("a.gpkg", "EPSG:32632"), ("a.geojson", "EPSG:4326"), ("a.shp", "EPSG:3035"), ("a.fgb", "EPSG:32633")],
)
def test_outlines_are_drawn_on_the_images_grid(name, crs, site):
    values = np.array([1, 4], np.int32)
    path = write_outlines(site / "labels" / name, [WEST, EAST], {"class": values}, crs=crs)
    found = labels_of(site, path=f"labels/{{site}}{path.suffix}").read_mask("a")
    assert (found[:, :19] == 0).all() and (found[:, 21:] == 2).all()


def test_outlines_may_hold_names_gaps_and_overlaps(site):
    names = np.array(["Water", "Trees", "Open"], object)
    boxes = [(0, -400, 200, -200), EAST, BOTH_SIDES]
    write_outlines(site / "labels/a.gpkg", boxes, {"class": names, "note": np.array(["", "", ""], object)})
    with pytest.raises(DataError, match=r"a\.gpkg: has 2 columns \(class, note\); say in data\.labels\.column which"):
        labels_of(site).read_mask("a")
    found = labels_of(site, column="class", crop=20).read_mask("a")
    assert (found[:20, :20] == 255).all(), "no polygon"
    assert (found[20:, :10] == 0).all() and (found[20:, 10:30] == 255).all() and (found[:, 30:] == 1).all()
    np.testing.assert_array_equal(labels_of(site, column="class", crop=20).read_mask("a_r020_c000"), found[20:, :20])


def test_outlines_that_say_nothing_useful_are_named(site):
    path = site / "labels/a.gpkg"
    write_outlines(path, [WEST, EAST], {"class": np.array([1, 7], np.int32)})
    with pytest.raises(DataError, match=r"is of class '7', which data\.labels\.codes .* lack; known are 1"):
        labels_of(site).read_mask("a")
    assert set(np.unique(labels_of(site, ignore=[7]).read_mask("a"))) == {0, 255}
    with pytest.raises(DataError, match=r"has no column 'kind'; data\.labels\.column: one of class"):
        labels_of(site, column="kind").read_mask("a")
    path.unlink()
    write_outlines(path, [(9000, -400, 9200, 0)], {"class": np.array([1], np.int32)})
    with pytest.raises(DataError, match="no polygon overlaps"):
        labels_of(site).read_mask("a")
    path.write_bytes(b"no outlines")
    with pytest.raises(DataError, match=r"a\.gpkg: is no \.gpkg file, whatever its name says"):
        labels_of(site).read_mask("a")
    path.unlink()
    point = np.array([shapely.to_wkb(shapely.Point(500_000, 5_000_000))], object)
    pyogrio.raw.write(path, point, [np.array([1])], ["class"], geometry_type="Point", crs="EPSG:32632")
    with pytest.raises(DataError, match="holds Point, not polygons alone; draw the areas"):
        labels_of(site).read_mask("a")


def test_a_shapefiles_table_is_part_of_the_data(site):
    path = write_outlines(site / "labels/a.shp", [WEST, EAST], {"class": np.array([1, 2], np.int32)})
    first = labels_of(site, path="labels/{site}.shp").fingerprint()
    table = path.with_suffix(".dbf")
    table.write_bytes(table.read_bytes()[:-1] + b"x")
    after = labels_of(site, path="labels/{site}.shp").fingerprint()
    assert first.images == after.images and first.masks != after.masks
