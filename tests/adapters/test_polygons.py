"""Areas of scenes as polygons: whole across blocks, measured on the ellipsoid."""

import shutil
import subprocess

import numpy as np
import pytest
import rasterio
from scipy.ndimage import gaussian_filter

from wsss_toolkit.domain import LEVELS, ClassTable, Layers
from wsss_toolkit.errors import WsssError

pyogrio = pytest.importorskip("pyogrio")
pyproj = pytest.importorskip("pyproj")
shapely = pytest.importorskip("shapely")

from wsss_adapters.geotiff.grid import SceneGrid  # noqa: E402
from wsss_adapters.polygons.components import (  # noqa: E402
    areas,
    generalised,
    polygon,
)
from wsss_adapters.polygons.geopackage import write_polygons  # noqa: E402

CLASSES = ClassTable(("Forest", "Water", "Urban"), ((0, 153, 0), (28, 13, 255), (165, 165, 165)))
UTM = ("EPSG:32632", (10.0, 0.0, 5e5, 0.0, -10.0, 5e6))
DEGREES = ("EPSG:4326", (1e-4, 0.0, -3.0, 0.0, -1e-4, 60.0))


def noise(size=48, seed=0):
    return np.random.default_rng(seed).integers(0, 3, (size, size)).astype(np.uint8)


def smooth(size=120, seed=0, scale=5):
    generator = np.random.default_rng(seed)
    fields = [gaussian_filter(generator.standard_normal((size, size)), scale) for _ in range(3)]
    mask = np.argmax(fields, axis=0).astype(np.uint8)
    mask[:7, :30] = 255
    return mask


def cut(mask, block, confidence=None):
    confidence = np.full(mask.shape, 127, np.uint8) if confidence is None else confidence
    return [Layers(row, mask[row : row + block], confidence[row : row + block], None)
            for row in range(0, len(mask), block)]  # fmt: skip


def make_grid(mask, crs="EPSG:32632", transform=UTM[1]):
    wkt = rasterio.crs.CRS.from_string(crs).to_wkt() if crs else None
    return SceneGrid(*mask.shape, wkt, transform, None, ())


def outlines(mask, block):
    blocks = ((part.row, part.mask, part.confidence) for part in cut(mask, block))
    return [(area, polygon(area)) for area in areas(blocks)]


def write(tmp_path, mask, *, block=50, crs=UTM[0], transform=UTM[1], min_area=0.0, confidence=None, name="p"):
    path = tmp_path / f"{name}.gpkg"
    write_polygons(path, "scene", make_grid(mask, crs, transform), cut(mask, block, confidence), CLASSES, min_area)
    info, _, geometry, fields = pyogrio.raw.read(path, layer="scene")
    return info, shapely.from_wkb(geometry), dict(zip(info["fields"], fields, strict=True))


@pytest.mark.parametrize("draw", [noise, smooth])
@pytest.mark.parametrize("block", [1, 7, 16, 47])
def test_polygons_are_the_same_whatever_the_blocks(draw, block):
    mask = draw()
    whole, parts = outlines(mask, len(mask)), outlines(mask, block)

    def described(found):
        return sorted((area.value, area.pixels, shapely.normalize(shape).wkt) for area, shape in found)

    assert described(parts) == described(whole), "also in their vertices"


@pytest.mark.parametrize("draw", [noise, smooth])
def test_polygons_are_the_connected_areas_of_the_mask(draw):
    mask = draw()
    found = outlines(mask, 13)
    shapes = [shape for _, shape in found]
    assert all(shapely.is_valid(shapes)) and {shape.geom_type for shape in shapes} == {"Polygon"}
    back = rasterio.features.rasterize(
        [(shape, area.value) for area, shape in found], mask.shape, fill=255, dtype=np.uint8
    )
    np.testing.assert_array_equal(back, mask)
    assert sum(area.pixels for area, _ in found) == (mask != 255).sum() == sum(shape.area for shape in shapes)


def test_an_area_that_winds_through_blocks_is_one_polygon_with_its_hole():
    mask = np.zeros((30, 30), np.uint8)
    mask[3:27, 3:27] = 1
    mask[6:24, 6:24] = 0
    mask[10:20, 12] = 2
    found = outlines(mask, 4)
    assert sorted((area.value, area.pixels, len(shape.interiors)) for area, shape in found) == [
        (0, 314, 1),
        (0, 324, 1),
        (1, 252, 1),
        (2, 10, 0),
    ]
    ring = next(shape for area, shape in found if area.value == 1)
    assert len(ring.exterior.coords) == 5 and len(ring.interiors[0].coords) == 5


@pytest.mark.parametrize("crs, transform", [UTM, DEGREES, ("EPSG:32632", (8.0, 3.0, 5e5, 3.0, -8.0, 5e6))])
def test_areas_are_those_on_the_ellipsoid(crs, transform, tmp_path):
    mask = smooth()
    _, shapes, fields = write(tmp_path, mask, crs=crs, transform=transform)
    to_degrees = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    geod = pyproj.Geod(ellps="WGS84")
    for shape, area in zip(shapes, fields["area_m2"], strict=True):
        fine = shapely.segmentize(shape, abs(transform[0]) * 4)
        degrees = shapely.transform(fine, lambda points: np.column_stack(to_degrees.transform(*points.T)))
        expected = abs(geod.geometry_area_perimeter(degrees)[0])
        assert area == pytest.approx(expected, rel=1e-3)
    # The sum of the polygons is the mask: pixels times the area of a pixel.
    pixel = abs(transform[0] * transform[4] - transform[1] * transform[3])
    assert shapely.area(shapes).sum() == pytest.approx((mask != 255).sum() * pixel, rel=1e-9)


def test_fields_and_layer(tmp_path):
    mask = smooth()
    confidence = np.where(mask == 1, LEVELS, 127).astype(np.uint8)
    confidence[mask == 255] = 255
    info, shapes, fields = write(tmp_path, mask, confidence=confidence)
    assert pyproj.CRS.from_user_input(info["crs"]).to_epsg() == 32632 and info["geometry_type"] == "Polygon"
    assert list(fields) == ["class_id", "class", "color", "area_m2", "confidence"]
    assert {(i, n, c) for i, n, c in zip(*(fields[k] for k in ("class_id", "class", "color")), strict=True)} == {
        (0, "Forest", "#009900"),
        (1, "Water", "#1c0dff"),
        (2, "Urban", "#a5a5a5"),
    }
    expected = np.where(fields["class_id"] == 1, 1.0, 0.5)
    np.testing.assert_allclose(fields["confidence"], expected)
    assert shapely.total_bounds(shapes).tolist() == [5e5, 5e6 - 1200, 5e5 + 1200, 5e6]


def test_the_same_mask_gives_the_same_bytes(tmp_path):
    mask = smooth()
    for name in ("one", "two"):
        write(tmp_path, mask, name=name)
    assert (tmp_path / "one.gpkg").read_bytes() == (tmp_path / "two.gpkg").read_bytes()


def test_scenes_without_crs_and_without_data(tmp_path):
    mask = smooth()
    _, _, fields = write(tmp_path, mask, crs=None, transform=(2.0, 0.0, 0.0, 0.0, 2.0, 0.0))
    assert fields["area_m2"].sum() == pytest.approx((mask != 255).sum() * 4)
    _, shapes, _ = write(tmp_path, np.full((20, 20), 255, np.uint8), name="empty")
    assert len(shapes) == 0


@pytest.mark.parametrize("block", [11, 40, 120])
def test_small_areas_become_part_of_their_neighbours(block, tmp_path):
    mask = smooth(scale=2)
    mask[60:65, 60:65] = 255
    mask[62, 62] = 2  # two pixels of data amid missing ones have no neighbour
    mask[62, 61] = 2
    _, shapes, fields = write(tmp_path, mask, block=block, min_area=2000.0)
    assert fields["area_m2"].min() > 1990
    covered = shapely.area(shapes).sum() / 100
    assert covered == (mask != 255).sum() - 2
    whole = np.concatenate([rows for _, rows, _ in generalised(cut(mask, 120), 20)])
    parts = np.concatenate([rows for _, rows, _ in generalised(cut(mask, block), 20)])
    assert (whole != parts).mean() < 0.005, "of several neighbours the largest in sight is taken"


@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (6, 9)])
@pytest.mark.parametrize("share", [0.5, 1.5, 1e9])
def test_a_smallest_area_may_be_larger_than_the_scene(shape, share, tmp_path):
    mask = np.zeros(shape, np.uint8)
    mask[:, : shape[1] // 3] = 1
    _, shapes, _ = write(tmp_path, mask, min_area=mask.size * 99 * share)
    assert shapely.area(shapes).sum() == (mask.size * 100 if share < 1 else 0)


def test_a_file_that_cannot_be_written_is_one_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WsssError, match="cannot write"):
        write_polygons(tmp_path / "file" / "p.gpkg", "scene", make_grid(noise()), cut(noise(), 48), CLASSES, 0.0)


@pytest.mark.external
@pytest.mark.skipif(shutil.which("ogrinfo") is None, reason="needs Debian's gdal-bin")
def test_ogrinfo_sums_up_to_the_area_of_the_mask(tmp_path):
    mask = smooth()
    write(tmp_path, mask)
    query = "SELECT SUM(area_m2) AS total, SUM(ST_Area(geom)) AS plane, COUNT(*) AS n FROM scene"
    done = subprocess.run(
        ["ogrinfo", "-q", "-dialect", "SQLITE", "-sql", query, str(tmp_path / "p.gpkg")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    values = {line.split()[0]: float(line.split()[-1]) for line in done.stdout.splitlines() if " = " in line}
    pixels = (mask != 255).sum() * 100
    assert values["plane"] == pytest.approx(pixels, rel=1e-9)
    # UTM shrinks lengths by 0.9996 on the central meridian, so the ground is 0.08 % larger than the map.
    assert values["total"] == pytest.approx(pixels, rel=1e-3)
