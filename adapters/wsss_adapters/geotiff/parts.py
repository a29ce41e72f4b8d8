"""The files that a raster is made of: a virtual raster is what its sources are."""

from collections.abc import Iterator
from pathlib import Path

START = b"<VRTDataset"


def parts_of(path: Path) -> list[Path]:
    """Return a raster's file, the mask beside it, and what a virtual raster is drawn from, at any depth.

    Files that are not there, or not on this machine, are left out: opening the raster tells.
    """
    found: dict[Path, None] = {}
    waiting = [path]
    while waiting:
        file = waiting.pop()
        if file in found or not file.is_file():
            continue
        found[file] = None
        waiting += [file.with_name(f"{file.name}.msk"), *_sources(file)]
    return list(found)


def _sources(path: Path) -> Iterator[Path]:
    import rasterio
    from rasterio.errors import RasterioError

    with path.open("rb") as file:
        if START not in file.read(4096):
            return
    try:
        with rasterio.open(path) as raster:
            names = raster.files
    except RasterioError:
        return
    yield from (Path(name) for name in names if Path(name) != path and not name.endswith(".aux.xml"))
