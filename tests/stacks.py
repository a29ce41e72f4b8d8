"""Scenes for the tiny recipe: one stack of its six bands."""

import numpy as np
import rasterio

from wsss_adapters.synthetic_scenes import draw_scene

BANDS = ("VV", "VH", "B02", "B03", "B04", "B08")


def write_scene(path, height, width, *, seed=0, crs="EPSG:32632", bands=BANDS, missing=None):
    """Write a scene of repeated synthetic tiles; `missing` rows from the top hold no data."""
    tile = draw_scene(64, np.random.default_rng(seed))
    stack = np.concatenate([tile.sentinel1, tile.sentinel2[[1, 2, 3, 7]].astype(np.float32)])[: len(bands)]
    pixels = np.tile(stack, (1, height // 64 + 1, width // 64 + 1))[:, :height, :width].copy()
    if missing:
        pixels[:, :missing] = np.nan
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"crs": crs, "transform": rasterio.Affine(10, 0, 5e5, 0, -10, 5e6)} if crs else {}
    with rasterio.open(
        path, "w", driver="GTiff", count=len(bands), height=height, width=width, dtype="float32", tiled=True, **options
    ) as raster:
        raster.write(pixels)
        for index, name in enumerate(bands, start=1):
            raster.set_band_description(index, name)
    return path


def read_mask(path):
    with rasterio.open(path) as raster:
        return raster.read(1)
