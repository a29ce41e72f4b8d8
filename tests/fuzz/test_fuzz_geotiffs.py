"""Spoiled GeoTIFFs: a command names those that it cannot label, and labels the good scene beside them as ever."""

import contextlib
import random
import shutil
import warnings

import numpy as np
import pytest
import rasterio
import stacks
from fuzzing import none_of, spoil_bytes, wsss
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("adapters")]

CASES, BATCH = 300, 10
DTYPES = ["uint8", "int8", "int16", "uint16", "int32", "uint32", "float64", "complex64", "int64", "uint64"]
CRSS = ["EPSG:4326", "EPSG:32601", "EPSG:3413", "EPSG:3857", "EPSG:2193", 'LOCAL_CS["site",UNIT["metre",1]]', None]
TRANSFORMS = [
    rasterio.Affine(0, 0, 0, 0, 0, 0), rasterio.Affine(10, 0, float("nan"), 0, -10, 0),
    rasterio.Affine(10, 0, 5e5, 0, 10, 0), rasterio.Affine(1e-30, 0, 0, 0, -1e-30, 0),
    rasterio.Affine(1e30, 0, 0, 0, -1e30, 0), rasterio.Affine(7, 7, 5e5, 7, -7, 5e6),
    rasterio.Affine(0.1, 0, 179.95, 0, -0.1, 89.9), rasterio.Affine(10, 0, -5e9, 0, -10, 9e9),
    rasterio.Affine.identity(),
]  # fmt: skip
NAMES = ["", "VV", "B02", "B2", "blue", "nir", "ä" * 40, "\u0441", "B02 B03", "Band 1", "alpha", "../x", "=1+1"]


def odd_raster(path, chance):
    """Write a raster that is well formed, of a kind that someone has somewhere."""
    height, width = chance.choice([(48, 40), (1, 1), (1, 300), (300, 1), (16, 16), (33, 70)])
    count = chance.choice([6, 6, 6, 6, 1, 3, 7, 8, 20])
    dtype = chance.choice(["float32", "float32", "uint16", *DTYPES])
    values = np.random.default_rng(chance.randrange(2**32)).normal(
        chance.choice([0, -12, 1500, 1e30]), 500, (count, height, width)
    )
    if chance.random() < 0.2:
        values[:, chance.randrange(height)] = chance.choice([np.nan, np.inf, -np.inf, -9999])
    profile = {"driver": "GTiff", "height": height, "width": width, "count": count, "dtype": dtype}
    profile["crs"] = chance.choice(["EPSG:32632", "EPSG:32632", *CRSS])
    profile["transform"] = chance.choice([rasterio.Affine(10, 0, 5e5, 0, -10, 5e6)] * 3 + TRANSFORMS)
    if chance.random() < 0.3:
        profile["nodata"] = chance.choice([0, 1, 100])
    if chance.random() < 0.3:
        profile |= {
            "tiled": True,
            "blockxsize": 16,
            "blockysize": 16,
            "compress": chance.choice(["deflate", "lzw", "zstd"]),
        }
    if chance.random() < 0.2:
        profile |= {"interleave": "pixel", "photometric": chance.choice(["rgb", "minisblack"])}
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        cast = values.astype("complex64") if dtype == "complex64" else np.nan_to_num(values).clip(0, 100).astype(dtype)
        cast = values.astype(dtype) if dtype in ("float32", "float64") else cast
        with rasterio.open(path, "w", **profile) as raster:
            raster.write(cast)
            names = (
                stacks.BANDS if chance.random() < 0.6 and count == 6 else [chance.choice(NAMES) for _ in range(count)]
            )
            for index, name in enumerate(names, start=1):
                raster.set_band_description(index, name)
            if chance.random() < 0.2:
                raster.scales = [chance.choice([1.0, 1e-4, 0.0, float("nan"), 1e300])] * count
                raster.offsets = [chance.choice([0.0, -0.1, float("inf")])] * count
            date = chance.choice(
                ["2024:06:01 10:20:21", "0000:00:00 00:00:00", "yesterday", "2024:13:45 99:99:99", "9" * 5000]
            )
            raster.update_tags(TIFFTAG_DATETIME=date, note=chance.choice(["", "\x01", "<x>", "ä", "{}"]))


@pytest.fixture
def good(trained, tmp_path):
    """A scene and the mask that the run gives it when it is alone."""
    (tmp_path / "alone").mkdir()
    scene = stacks.write_scene(tmp_path / "alone" / "good.tif", 48, 40)
    result, why = wsss(
        "pseudolabel", "--run", trained, "--tiles", scene, "--out", tmp_path / "alone-out", "--device", "cpu"
    )
    assert why is None and result.exit_code == 0, result.output
    return scene, stacks.read_mask(tmp_path / "alone-out" / "good_mask.tif")


@pytest.mark.parametrize("part", range(6))
def test_spoiled_geotiffs(trained, tmp_path, good, part):
    scene, mask = good
    broken = []
    for batch in range(part * CASES // BATCH // 6, (part + 1) * CASES // BATCH // 6):
        folder, out = tmp_path / f"in{batch}", tmp_path / f"out{batch}"
        folder.mkdir()
        shutil.copy(scene, folder / "good.tif")
        for number in range(BATCH):
            chance = random.Random(f"geotiff {batch} {number}")
            path = folder / f"case{number}.tif"
            if chance.random() < 0.5:
                path.write_bytes(spoil_bytes(scene.read_bytes(), chance))
            else:
                with contextlib.suppress(
                    ValueError, RasterioError, CPLE_BaseError
                ):  # nobody has what GDAL does not write
                    odd_raster(path, chance)
        options = ["--polygons", "--confidence"] if batch % 2 else []
        result, why = wsss(
            "pseudolabel", "--run", trained, "--tiles", folder, "--out", out, "--device", "cpu", *options
        )
        if why is None and not (out / "good_mask.tif").is_file():
            why = f"the good scene has no mask: {result.output}"
        elif why is None and not np.array_equal(stacks.read_mask(out / "good_mask.tif"), mask):
            why = "the good scene has another mask"
        elif why is None and not (out / "collection.json").is_file():
            why = f"no catalogue: {result.output}"
        if why:
            broken.append((f"batch {batch}", why))
    none_of(broken)
