"""Small generated tiles in the layouts that the adapters read."""

import warnings
from pathlib import Path

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning

S2_BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")


def write_tiff(path: Path, pixels, *, crs="EPSG:32632", origin=(500_000.0, 5_000_000.0), nodata=None, names=None):
    """Write `c h w` as GeoTIFF; `crs=None` leaves out CRS and transform, as in TorchGeo's copy."""
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {"crs": crs, "transform": rasterio.Affine(10, 0, origin[0], 0, -10, origin[1])} if crs else {}
    count, height, width = pixels.shape
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        raster = rasterio.open(
            path,
            "w",
            driver="GTiff",
            count=count,
            height=height,
            width=width,
            dtype=pixels.dtype,
            nodata=nodata,
            **profile,
        )
    with raster:
        raster.write(pixels)
        for index, name in enumerate(names or (), start=1):
            raster.set_band_description(index, name)
    return path


def read_tiff(path: Path):
    """Read the first band of a written mask."""
    with rasterio.open(path) as raster:
        return raster.read(1)


def draw_tile(seed: int, size: int = 24):
    """Return S1 `2 h w`, S2 `13 h w` and codes `h w` (0-10), each distinct for each seed."""
    generator = np.random.default_rng(seed)
    s1 = generator.normal(-12, 4, (2, size, size)).astype(np.float32)
    s2 = generator.integers(100, 6000, (13, size, size)).astype(np.uint16)
    codes = generator.integers(0, 11, (size, size)).astype(np.uint8)
    return s1, s2, codes


def write_contest(root: Path, train: int = 10, test: int = 4, size: int = 24) -> Path:
    """Write DFC2020 in the contest's layout."""
    for base, suffix, count in (("ROIs0000_test", "0", train), ("ROIs0000_validation", "validation", test)):
        for number in range(count):
            s1, s2, codes = draw_tile(1000 * len(base) + number, size)
            origin = (500_000.0 + 1000 * number, 5_000_000.0)
            for product, pixels in (("s1", s1), ("s2", s2), ("dfc", codes[None])):
                name = f"{base}_{product}_{suffix}_p{number}.tif"
                write_tiff(root / base / f"{product}_{suffix}" / name, pixels, origin=origin)
    return root


def write_torchgeo(root: Path) -> Path:
    """Write DFC2020 in the layout of TorchGeo's copy, without CRS or transform."""
    base = root / "dfc2020_s1s2"
    number = 0
    for split, count in (("train", 4), ("val", 2), ("test", 2)):
        names = []
        for _ in range(count):
            s1, s2, codes = draw_tile(number)
            name = f"ROIs0000_test_dfc_0_p{number}.tif"
            for product, pixels in (("s1", s1), ("s2", s2), ("dfc", codes[None])):
                write_tiff(base / product / name.replace("dfc", product), pixels, crs=None)
            names.append(name)
            number += 1
        (base / f"dfc-{split}-new.csv").write_text("\n".join(names) + "\n")
    return root


def write_sites(root: Path, names=("alpha", "beta", "gamma", "delta"), size: int = 40) -> Path:
    """Write sites with Sentinel-2 and -1 stacks and label codes 1-4, 8 (cloud)."""
    for index, name in enumerate(names):
        s1, s2, _ = draw_tile(index, size)
        codes = np.random.default_rng(index).choice([1, 2, 3, 4, 8], (1, size, size)).astype(np.uint8)
        origin = (500_000.0 + 1000 * index, 5_000_000.0)
        write_tiff(root / "S2" / f"{name}.tif", s2, origin=origin)
        write_tiff(root / "S1" / f"{name}.tif", s1, origin=origin)
        write_tiff(root / "labels" / f"{name}.tif", codes, origin=origin)
    return root


def sentinel_section(root: Path, **changes):
    """Return the data section of a recipe that reads `write_sites`."""
    section = {
        "adapter": "sentinel",
        "root": str(root),
        "sensors": {
            "sentinel2": {"path": "S2/{site}.tif", "bands": list(S2_BANDS), "rgb": ["B04", "B03", "B02"]},
            "sentinel1": {"path": "S1/{site}.tif", "bands": ["VV", "VH"]},
        },
        "classes": [
            {"name": "Water", "color": "#1c0dff"},
            {"name": "Trees", "color": "#009900"},
            {"name": "Open", "color": "#f9ffa4"},
        ],
        "labels": {
            "path": "labels/{site}.tif",
            "codes": {1: "Water", 2: "Trees", 3: "Open", 4: "Open"},
            "ignore": [8],
        },
        "splits": {"lists": {"train": ["beta", "alpha"], "val": ["gamma"], "test": ["delta"]}},
    }
    return {**section, **changes}
