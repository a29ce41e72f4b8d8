"""Sentinel-2 products in the SAFE format, folders or zip archives of them, and the Sentinel-1 files beside them."""

import math
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from wsss_adapters.geo_scenes.products import METADATA, zip_roots
from wsss_adapters.geo_scenes.source import SceneFile
from wsss_adapters.geotiff.band_names import SENTINEL2_BANDS, read_name
from wsss_adapters.geotiff.grid import SceneGrid, grid_of, share_ground
from wsss_adapters.geotiff.opening import open_dataset
from wsss_adapters.xml_text import MOST_BYTES, read_xml
from wsss_toolkit.domain import Sensor
from wsss_toolkit.errors import DataError, said

IMAGE = re.compile(r"GRANULE/([^/]+)/IMG_DATA/(?:R\d+m/)?[^/]*_(B\d\d|B8A)(?:_(\d+)m)?\.jp2")
"""A band's file in a product; level 2A has several resolutions of a band, and says them in the name."""


@dataclass(frozen=True, slots=True)
class Granule:
    """One tile of a product."""

    name: str
    """Name of the product, and of the granule where there are several."""
    files: tuple[SceneFile, ...]
    """One file per band."""
    acquired: str | None
    """Start of the acquisition, ISO 8601 in UTC, or None."""
    folder: str
    """The granule's folder in the product."""
    level: str
    """``1C`` (top of atmosphere) or ``2A`` (surface)."""


def read_safe(path: Path, sensor: str) -> Iterator[Granule]:
    """Yield the granules of a product; `sensor` is the name under which the model knows Sentinel-2.

    Values get the offset that the product's metadata state, so that they are on the scale of products from before
    baseline 04.00 (January 2022): reflectance x 10000. 0 means no data.

    Raises:
        DataError: If the product lacks its metadata or its images.
    """
    prefix, names = _contents(path)
    metadata = [match for match in map(METADATA.fullmatch, names) if match]
    if not metadata:
        raise DataError("has no MTD_MSIL1C.xml or MTD_MSIL2A.xml", where=str(path), fix="unpack or download it again")
    level = metadata[0][1]
    offsets, acquired = _read_metadata(path, metadata[0][0])
    granules: dict[str, dict[str, tuple[int, str]]] = {}
    for name in names:
        image = IMAGE.fullmatch(name)
        if image is None:
            continue
        granule, band, resolution = image[1], image[2], int(image[3] or 0)
        best = granules.setdefault(granule, {}).get(band)
        if best is None or resolution < best[0]:
            granules[granule][band] = (resolution, prefix + name)
    if not granules:
        raise DataError("holds no band images (GRANULE/*/IMG_DATA/*.jp2)", where=str(path), fix="download it again")
    product = re.sub(r"\.(SAFE|zip)", "", path.absolute().name, flags=re.IGNORECASE)
    for granule, bands in sorted(granules.items()):
        files = tuple(
            SceneFile(file, sensor, (band,), add=offsets.get(band, 0.0), nodata=0.0)
            for band, (_, file) in sorted(bands.items())
        )
        yield Granule(product if len(granules) == 1 else f"{product}_{granule}", files, acquired, granule, level)


def _contents(path: Path) -> tuple[str, Sequence[str]]:
    """Return what GDAL opens the product's files by, and their names inside the product."""
    if path.is_dir():
        inside = sorted(file for file in path.rglob("*") if file.is_file())
        return f"{path}/", [file.relative_to(path).as_posix() for file in inside]
    root = _root_in_zip(path)
    with zipfile.ZipFile(path) as archive:
        names = [name.removeprefix(root) for name in sorted(archive.namelist()) if name.startswith(root)]
    # GDAL reads members in place; nothing is unpacked, so no name can leave the archive.
    return f"/vsizip/{path.absolute()}/{root}", names


def _root_in_zip(path: Path) -> str:
    roots = zip_roots(path)
    if not roots:
        raise DataError("is no whole archive of a product", where=str(path), fix="download it again")
    if len(roots) > 1:
        raise DataError(f"holds {len(roots)} products", where=str(path), fix="unpack it")
    return f"{roots[0]}/" if roots[0] else ""


def _read_metadata(path: Path, name: str) -> tuple[dict[str, float], str | None]:
    """Return the offset of each band and the start of the acquisition."""
    try:
        if path.is_dir():
            with (path / name).open("rb") as file:
                text = file.read(MOST_BYTES + 1)
        else:
            with zipfile.ZipFile(path) as archive:
                member = archive.getinfo(f"{_root_in_zip(path)}{name}")
                if member.file_size > MOST_BYTES:
                    what = f"would be {member.file_size} bytes unpacked; at most {MOST_BYTES} are read"
                    raise DataError(what, where=f"{path}/{name}", fix="download it again")
                text = archive.read(member)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(f"cannot be read ({said(error)})", where=f"{path}/{name}", fix="download it again") from error
    root = read_xml(text, f"{path}/{name}")
    offsets = {}
    for tag in ("RADIO_ADD_OFFSET", "BOA_ADD_OFFSET"):
        for element in root.iter(tag):
            index = int(element.get("band_id", "-1"))
            if 0 <= index < len(SENTINEL2_BANDS):
                offset = float(element.text or 0)
                if not math.isfinite(offset):
                    what = f"states an offset that is not finite: {tag} {element.text}"
                    raise DataError(what, where=f"{path}/{name}", fix="download it again")
                offsets[SENTINEL2_BANDS[index]] = offset
    start = next((element.text for element in root.iter("PRODUCT_START_TIME")), None)
    return offsets, start


def radar_files(sensors: Sequence[Sensor], beside: Sequence[Path], product: Sequence[SceneFile]) -> list[SceneFile]:
    """Return the files that hold polarisations of the product's place, among the rasters beside it.

    Polarisations are known by band descriptions, or one by one by the files' names. Files of other places, and those
    that cannot be read, are left out: nobody said that they belong here.

    Raises:
        DataError: If two files hold the same polarisation of the place.
    """
    ground = _read_header(product[0].path) if product else None
    files: list[SceneFile] = []
    holder: dict[tuple[str, str], str] = {}
    for sensor in sensors:
        wanted = {band: read_name(band) for band in sensor.bands}
        for path in beside:
            header = _header(path)
            if header is None or (ground is not None and share_ground(ground[0], header[0]) is False):
                continue
            names = [read_name(text, [sensor.name]) for text in header[1] if text]
            found = {band for band, own in wanted.items() if any(own.means(name) for name in names)}
            bands = None
            if not found:
                tokens = {read_name(token).color for token in re.split(r"[^A-Za-z0-9]+", path.stem)}
                found = {band for band, own in wanted.items() if own.color in tokens}
                found = found if len(found) == 1 else set()
                bands = tuple(found)
            if not found:
                continue
            for band in sorted(found):
                other = holder.setdefault((sensor.name, band), str(path))
                if other != str(path):
                    fix = "leave one of them there, or say which files make a scene in data.scenes (--set)"
                    raise DataError(f"{Path(other).name} and {path.name} beside it both hold {band}", fix=fix)
            files.append(SceneFile(str(path), sensor.name, bands))
    return files


def _header(path: Path) -> tuple[SceneGrid, tuple[str | None, ...]] | None:
    """Return what `_read_header` does; a raster beside many products is opened once."""
    stat = path.stat()
    return _kept_header(str(path), stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=100_000)
def _kept_header(path: str, size: int, time: int) -> tuple[SceneGrid, tuple[str | None, ...]] | None:
    return _read_header(path)


def _read_header(path: str) -> tuple[SceneGrid, tuple[str | None, ...]] | None:
    """Return a raster's grid and band descriptions, or None if it cannot be opened."""
    try:
        with open_dataset(path) as raster:
            return grid_of(raster), tuple(raster.descriptions)
    except DataError:
        return None
