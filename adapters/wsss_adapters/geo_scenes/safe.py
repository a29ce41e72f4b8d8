"""Sentinel-2 products in the SAFE format, folders or zip archives of them, and the Sentinel-1 files beside them."""

import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from wsss_adapters.geo_scenes.radiometry import radiometry
from wsss_adapters.geo_scenes.source import SceneFile
from wsss_adapters.geotiff.band_names import plain_band
from wsss_adapters.geotiff.grid import SceneGrid, grid_of, share_ground
from wsss_adapters.geotiff.opening import open_dataset
from wsss_adapters.geotiff.values import BandValues
from wsss_adapters.xml_text import MOST_BYTES, read_xml
from wsss_toolkit.domain import Sensor
from wsss_toolkit.errors import DataError, said

IMAGE = re.compile(r"GRANULE/([^/]+)/IMG_DATA/(?:R\d+m/)?[^/]*_(B\d\d|B8A)(?:_(\d+)m)?\.jp2")
"""A band's file in a product; level 2A has several resolutions of a band, and says them in the name."""

CLASSIFICATION = re.compile(r"GRANULE/([^/]+)/IMG_DATA/(?:R\d+m/)?[^/]*_SCL_20m\.jp2")
"""The scene classification of level 2A in its finer resolution."""

METADATA = re.compile(r"MTD_MSIL(1C|2A)\.xml")


@dataclass(frozen=True, slots=True)
class Granule:
    """One tile of a product."""

    name: str
    """Name of the product, and of the granule where there are several."""
    files: tuple[SceneFile, ...]
    """One file per band."""
    acquired: str | None
    """Start of the acquisition, ISO 8601 in UTC, or None."""
    level: str
    """``1C`` (top of atmosphere) or ``2A`` (surface)."""
    clouds: str | None = None
    """The scene classification (SCL), which level 2A has."""


def is_safe(path: Path) -> bool:
    """Return whether a path is a product's folder or a zip archive of one."""
    if path.is_dir():
        return path.name.upper().endswith(".SAFE")
    return path.suffix.lower() == ".zip" and _may_hold_a_product(path)


def _may_hold_a_product(path: Path) -> bool:
    """Tell whether an archive holds one product; a damaged one may, and fails by name when it is read."""
    try:
        if zipfile.is_zipfile(path):
            return _root_in_zip(path) is not None
        with path.open("rb") as file:
            return file.read(4) == b"PK\3\4"  # cut off: the list of members stands at the end
    except Exception:  # zipfile raises many kinds where bytes make no sense
        return True


def read_safe(path: Path, sensor: str) -> Iterator[Granule]:
    """Yield the granules of a product; `sensor` is the name under which the model knows Sentinel-2.

    Values get the offset that the product's metadata state, so that they are on the scale of products from before
    baseline 04.00 (January 2022): reflectance x 10000. 0 means no data.

    Raises:
        DataError: If the product lacks its metadata or its images.
    """
    prefix, names = _contents(path)
    metadata = [name for name in names if METADATA.fullmatch(name)]
    if not metadata:
        raise DataError("has no MTD_MSIL1C.xml or MTD_MSIL2A.xml", where=str(path), fix="unpack or download it again")
    level = "1C" if "L1C" in metadata[0] else "2A"
    values, acquired = _read_metadata(path, metadata[0])
    granules: dict[str, dict[str, tuple[int, str]]] = {}
    for name in names:
        image = IMAGE.fullmatch(name)
        if image is None:
            continue
        granule, band, resolution = image[1], image[2], int(image[3] or 0)
        best = granules.setdefault(granule, {}).get(band)
        if best is None or resolution < best[0]:
            granules[granule][band] = (resolution, prefix + name)
    layers = {match[1]: prefix + name for name in names if (match := CLASSIFICATION.fullmatch(name))}
    if not granules:
        raise DataError("holds no band images (GRANULE/*/IMG_DATA/*.jp2)", where=str(path), fix="download it again")
    product = re.sub(r"\.(SAFE|zip)", "", path.name, flags=re.IGNORECASE)
    for granule, bands in sorted(granules.items()):
        files = tuple(SceneFile(file, sensor, (band,), values[band]) for band, (_, file) in sorted(bands.items()))
        named = product if len(granules) == 1 else f"{product}_{granule}"
        yield Granule(named, files, acquired, level, layers.get(granule))


def _contents(path: Path) -> tuple[str, Sequence[str]]:
    """Return what GDAL opens the product's files by, and their names inside the product."""
    if path.is_dir():
        inside = sorted(file for file in path.rglob("*") if file.is_file())
        return f"{path}/", [file.relative_to(path).as_posix() for file in inside]
    root = _root_in_zip(path)
    with zipfile.ZipFile(path) as archive:
        names = [name.removeprefix(root or "") for name in sorted(archive.namelist()) if name.startswith(root or "")]
    # GDAL reads members in place; nothing is unpacked, so no name can leave the archive.
    return f"/vsizip/{path.absolute()}/{root}", names


def _root_in_zip(path: Path) -> str | None:
    with zipfile.ZipFile(path) as archive:
        roots = {name.split("/")[0] for name in archive.namelist() if "/" in name}
    safe = [root for root in roots if root.upper().endswith(".SAFE")]
    return f"{safe[0]}/" if len(safe) == 1 else None


def _read_metadata(path: Path, name: str) -> tuple[dict[str, BandValues], str | None]:
    """Return how each band's numbers become values, and the start of the acquisition."""
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
    start = next((element.text for element in root.iter("PRODUCT_START_TIME")), None)
    return radiometry(root, f"{path}/{name}"), start


def radar_files(sensors: Sequence[Sensor], beside: Sequence[Path], product: Sequence[SceneFile]) -> list[SceneFile]:
    """Return the files that hold polarisations of the product's place, among the rasters beside it.

    Polarisations are known by band descriptions, or one by one by the files' names. Files of other places, and those
    that cannot be read, are left out: nobody said that they belong here.

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
            if header is None or (ground is not None and share_ground(ground[0], header[0]) is False):
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
                    fix = "leave one of them there, or say which files make a scene in data.scenes (--set)"
                    raise DataError(f"{Path(other).name} and {path.name} beside it both hold {band}", fix=fix)
            files.append(SceneFile(str(path), sensor.name, bands))
    return files


def _header(path: str) -> tuple[SceneGrid, tuple[str | None, ...]] | None:
    """Return a raster's grid and band descriptions, or None if it cannot be opened."""
    try:
        with open_dataset(path) as raster:
            return grid_of(raster), tuple(raster.descriptions)
    except DataError:
        return None
