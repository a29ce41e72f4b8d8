"""Products of the Sentinels among files: what a folder, an archive or a part of one is, before any of it is read."""

import re
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

METADATA = re.compile(r"(?:MTD_MSIL|S2[A-D]_(?:OPER|USER)_MTD_SAFL)(1C|2A)(?:_.+)?\.xml")
"""A Sentinel-2 product's own metadata; the second spelling is that of before December 2016."""

BAND_FILE = re.compile(r"(?:.*_)?(B\d\d|B8A)(?:_\d+m)?\.jp2", re.IGNORECASE)
"""A band of Sentinel-2 in a file of its own."""

RADAR = re.compile(r"S1[A-D]_.*\.SAFE", re.IGNORECASE)

RADAR_FIX = "is a Sentinel-1 product, to be calibrated and terrain-corrected first, e.g. with SNAP; give the result"
"""Why a Sentinel-1 product is left out."""


class Part(NamedTuple):
    """A path as a part of a Sentinel-2 product."""

    product: Path
    """The product's folder or archive."""
    granule: str | None
    """The granule's folder if the path lies in one; None means the whole product."""


def is_radar(path: Path) -> bool:
    """Return whether a path is a Sentinel-1 product as ESA delivers it: a folder or a zip archive."""
    if path.is_dir():
        made = (path / "manifest.safe").is_file() and (path / "measurement").is_dir()
        return RADAR.fullmatch(path.name) is not None or (made and not _metadata_in(path))
    return path.suffix.lower() == ".zip" and any(RADAR.fullmatch(Path(root).name) for root in zip_roots(path) or ())


def is_product(path: Path) -> bool:
    """Return whether a path is the folder of a Sentinel-2 product or a zip archive of one, damaged ones included."""
    if is_radar(path):
        return False
    if path.is_dir():
        return path.name.upper().endswith(".SAFE") or _metadata_in(path)
    if path.suffix.lower() != ".zip":
        return False
    roots = zip_roots(path)
    return roots is None or bool(roots)


def part_of_product(path: Path) -> Part | None:
    """Return what a path is of a Sentinel-2 product: the product, its metadata, its GRANULE folder or what is in it."""
    if is_product(path):
        return Part(path, None)
    if METADATA.fullmatch(path.name) and path.is_file():
        return Part(path.parent, None)
    whole = path.absolute()
    for above in whole.parents:
        inside = whole.relative_to(above).parts
        if inside[0] == "GRANULE" and is_product(above):
            found = path.parents[len(inside) - 1] if len(path.parents) >= len(inside) else above
            return Part(found, inside[1] if len(inside) > 1 else None)
    return None


def products_among(paths: Iterable[Path]) -> list[Path]:
    """Return the products (of either Sentinel) among the files and folders below a folder, outermost ones only."""
    found: list[Path] = []
    known: set[Path] = set()
    for path in sorted(paths):
        if not known.isdisjoint(path.parents):
            continue
        if (path.is_dir() or path.suffix.lower() == ".zip") and (is_radar(path) or is_product(path)):
            found.append(path)
            known.add(path)
    return found


def zip_roots(path: Path) -> list[str] | None:
    """Return the folders of products in an archive, "" for its top; None for a damaged archive, which may hold one."""
    if not path.is_file():  # who opens a pipe waits for ever
        return []
    try:
        if not zipfile.is_zipfile(path):
            with path.open("rb") as file:
                return None if file.read(4) == b"PK\3\4" else []  # cut off: the list of members stands at the end
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except Exception:  # zipfile raises many kinds where bytes make no sense
        return None
    roots = {name.rpartition("/")[0] for name in names if METADATA.fullmatch(name.rpartition("/")[2])}
    roots |= {name.split("/")[0] for name in names if name.split("/")[0].upper().endswith(".SAFE")}
    return sorted(root for root in roots if not root.startswith("__MACOSX"))


def loose_bands(rasters: Iterable[Path]) -> dict[Path, list[Path]]:
    """Return the files of folders that hold bands of Sentinel-2 one by one, by the folder of all resolutions."""
    folders: dict[Path, list[Path]] = {}
    for path in rasters:
        if path.suffix.lower() == ".jp2":
            above = path.parent
            folders.setdefault(above.parent if re.fullmatch(r"R\d+m", above.name) else above, []).append(path)
    return {
        folder: files
        for folder, files in folders.items()
        if len({match[1] for match in map(BAND_FILE.fullmatch, (file.name for file in files)) if match}) > 1
    }


def loose_bands_fix(folder: Path, files: Iterable[Path], sensor: str) -> str:
    """Return what is missing where bands lie without their product's metadata, and what to do."""
    names = [file for file in files if BAND_FILE.fullmatch(file.name)]
    what = "holds bands of Sentinel-2 one by one, without a product's metadata (MTD_MSIL*.xml), which state the offset"
    bare = all(re.fullmatch(r"(B\d\d|B8A)\.jp2", file.name) and file.parent == folder for file in names)
    if not bare:
        return f"{what}; give the whole product"
    key = f"data.scenes.sensors.{sensor}"
    pattern = f"--tiles {folder.parent} --set {key}.path='{{scene}}/{{band}}.jp2'"
    return f"{what}; use {pattern}, and --set {key}.add=-1000 if it was made since January 2022"


def _metadata_in(folder: Path) -> bool:
    try:
        return any(METADATA.fullmatch(file.name) for file in folder.iterdir())
    except OSError:
        return False
