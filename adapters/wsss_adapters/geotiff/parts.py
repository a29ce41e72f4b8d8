"""The files that a raster is made of: a virtual raster is what its sources are."""

from pathlib import Path

from wsss_adapters.geotiff.opening import vrt_sources
from wsss_toolkit.errors import DataError


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
        waiting.append(file.with_name(f"{file.name}.msk"))
        try:
            waiting += [source for source in vrt_sources(file) if isinstance(source, Path)]
        except (DataError, OSError):
            continue  # a damaged text has no sources; opening it says so
    return list(found)
