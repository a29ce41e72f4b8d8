"""Small generated scenes: stacks, single bands, Sentinel-2 products."""

from pathlib import Path

import numpy as np
import rasterio
from fake_tiles import write_tiff

from wsss_toolkit.domain import ChannelTable, Sensor

S1 = Sensor("sentinel1", ("VV", "VH"))
S2 = Sensor("sentinel2", ("B02", "B03", "B04", "B08"), ("B04", "B03", "B02"))
BOTH = ChannelTable((S1, S2))
OPTICAL = ChannelTable((S2,))
ALL_S2 = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
RESOLUTION = {"B02": 10, "B03": 10, "B04": 10, "B08": 10, "B01": 60, "B09": 60, "B10": 60}
"""Metres per pixel; 20 where not listed."""


def draw(count, height=40, width=50, *, seed=0, dtype=np.uint16):
    return np.random.default_rng(seed).integers(100, 6000, (count, height, width)).astype(dtype)


def radar(height=40, width=50, seed=1):
    return np.random.default_rng(seed).normal(-12, 4, (2, height, width)).astype(np.float32)


def write_band(path: Path, pixels, resolution, *, origin=(500_000.0, 5_000_000.0), driver="JP2OpenJPEG"):
    """Write one band at a resolution, lossless."""
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"QUALITY": 100, "REVERSIBLE": "YES"} if driver == "JP2OpenJPEG" else {}
    with rasterio.open(
        path,
        "w",
        driver=driver,
        count=1,
        height=pixels.shape[0],
        width=pixels.shape[1],
        dtype=pixels.dtype,
        crs="EPSG:32632",
        transform=rasterio.Affine(resolution, 0, origin[0], 0, -resolution, origin[1]),
        **options,
    ) as raster:
        raster.write(pixels, 1)
    return path


def write_safe(
    root: Path, name="S2B_MSIL1C_20240601T102021_N0510_R065_T32TPT_20240601T120000", *, size=60, offset=-1000
):
    """Write a level 1C product of `size` x `size` pixels at 10 m; return its folder."""
    safe = root / f"{name}.SAFE"
    images = safe / "GRANULE" / "L1C_T32TPT_A037" / "IMG_DATA"
    for index, band in enumerate(ALL_S2):
        metres = RESOLUTION.get(band, 20)
        side = size * 10 // metres
        pixels = np.random.default_rng(index).integers(1001, 7000, (side, side)).astype(np.uint16)
        if band == "B02":
            pixels[:10] = 0  # no data
        write_band(images / f"T32TPT_20240601T102021_{band}.jp2", pixels, metres)
    offsets = "".join(f'<RADIO_ADD_OFFSET band_id="{index}">{offset}</RADIO_ADD_OFFSET>' for index in range(13))
    listed = f"<Radiometric_Offset_List>{offsets}</Radiometric_Offset_List>" if offset else ""
    start = "<PRODUCT_START_TIME>2024-06-01T10:20:21.024Z</PRODUCT_START_TIME>"
    (safe / "MTD_MSIL1C.xml").write_text(f"<Level-1C_User_Product>{start}{listed}</Level-1C_User_Product>")
    return safe


def write_stack(path: Path, bands=("B02", "B03", "B04", "B08"), *, size=(40, 50), seed=0, names=True, **options):
    """Write a stack of bands with their names as descriptions."""
    pixels = draw(len(bands), *size, seed=seed)
    write_tiff(path, pixels, names=bands if names else None, **options)
    return pixels
