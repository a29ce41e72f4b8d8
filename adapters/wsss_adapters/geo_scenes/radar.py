"""Which Sentinel-1 files beside a Sentinel-2 product belong to it."""

import re
import warnings
from collections.abc import Sequence
from pathlib import Path

from wsss_adapters.geo_scenes.bands import plain_band
from wsss_adapters.geo_scenes.source import SceneFile
from wsss_adapters.geotiff.grid import SceneGrid, grid_of, share_ground
from wsss_toolkit.domain import Sensor
from wsss_toolkit.errors import DataError


def radar_files(sensors: Sequence[Sensor], beside: Sequence[Path], product: Sequence[SceneFile]) -> list[SceneFile]:
    """Return the files that hold polarisations of the product's place.

    Polarisations are known by band descriptions, or one by one by the files' names. Files of other places, and those
    that cannot be read, are left out: nobody said that they belong here.

    Args:
        sensors: The radar sensors that the model sees.
        beside: Rasters beside the product.
        product: The product's own files.

    Raises:
        DataError: If two files hold the same polarisation of the place.
    """
    ground = _header(product[0].path) if product else None
    files: list[SceneFile] = []
    holder: dict[tuple[str, str], str] = {}
    for sensor in sensors:
        wanted = {plain_band(band) for band in sensor.bands}
        for path in beside:
            header = _header(str(path))
            if header is None or (ground is not None and not share_ground(ground[0], header[0])):
                continue
            found = {plain_band((name or "").split(".")[-1]) for name in header[1]} & wanted
            bands = None
            if not found:
                tokens = {plain_band(token) for token in re.split(r"[^A-Za-z0-9]+", path.stem)} & wanted
                found = tokens if len(tokens) == 1 else set()
                bands = tuple(found)
            if not found:
                continue
            for band in sorted(found):
                other = holder.setdefault((sensor.name, band), str(path))
                if other != str(path):
                    raise DataError(
                        f"{Path(other).name} and {path.name} beside it both hold {band}",
                        fix="leave one of them there, or say which files make a scene in data.scenes (--set)",
                    )
            files.append(SceneFile(str(path), sensor.name, bands))
    return files


def _header(path: str) -> tuple[SceneGrid, tuple[str | None, ...]] | None:
    """Return a raster's grid and band descriptions, or None if it cannot be opened."""
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(path) as raster:
                return grid_of(raster), tuple(raster.descriptions)
    except RasterioError:
        return None
