"""What a scene is made of, as plain values: found once, opened by any process."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from wsss_adapters.geotiff.opening import REMOTE, shown
from wsss_adapters.geotiff.values import BandValues


@dataclass(frozen=True, slots=True)
class SceneFile:
    """One file of a scene."""

    path: str
    """A path or a GDAL path (``/vsicurl/...``)."""
    sensor: str | None = None
    """The sensor that it holds, or None where its bands tell."""
    bands: tuple[str, ...] | None = None
    """Names of its bands in order, or None where its descriptions or their number tell."""
    values: BandValues | None = None
    """How its numbers become values; None where that is said of the sensor."""
    resampling: Literal["nearest", "bilinear", "cubic"] = "bilinear"
    """How it is brought to another grid."""


@dataclass(frozen=True, slots=True)
class CloudLayer:
    """A raster of codes that says where a sensor sees no ground."""

    path: str
    sensor: str
    classes: tuple[int, ...]
    """The codes that make a pixel missing."""


@dataclass(frozen=True, slots=True)
class GeoSource:
    """A scene that was found."""

    name: str
    """What its files are named after."""
    shown: str
    """What messages call it."""
    files: tuple[SceneFile, ...]
    reference: str | None = None
    """The sensor whose grid it takes; None takes the one with the smallest pixels."""
    acquired: str | None = None
    """Acquisition time, ISO 8601 in UTC, or None."""
    hint: str | None = None
    """What else to say where bands are missing."""
    values: tuple[tuple[str, BandValues], ...] = ()
    """How the numbers of each sensor become values, where its files do not say it."""
    clouds: tuple[CloudLayer, ...] = ()
    """What makes pixels missing."""

    def values_of(self, file: SceneFile, sensor: str) -> BandValues:
        """Return how the numbers of a sensor in one of the files become values."""
        return file.values or dict(self.values).get(sensor, BandValues())

    def fingerprint(self) -> str:
        """Return a digest of the files' paths, sizes and times, and of how they are read."""
        digest = hashlib.sha256(repr((self.files, self.reference, self.values, self.clouds)).encode())
        for name in [file.path for file in self.files] + [layer.path for layer in self.clouds]:
            path = Path(name)
            if REMOTE.match(name):
                inner = re.match(r"/vsi(?:zip|tar)/(/.*?\.(?:zip|tar|tgz))", name)
                path = Path(inner[1]) if inner else path
            if path.is_file():
                stat = path.stat()
                digest.update(f"{stat.st_size} {stat.st_mtime_ns}\n".encode())
        return digest.hexdigest()


def gdal_path(text: str) -> str:
    """Return a URL as GDAL opens it; everything else as it is."""
    if text.startswith(("https://", "http://")):
        return f"/vsicurl/{text}"
    return re.sub("^(s3|gs|az)://", r"/vsi\1/", text)


def checked_values(
    source: GeoSource, file: SceneFile, dataset: Any, bands: Mapping[tuple[str, str], int]
) -> float | None:
    """Refuse scale tags that nobody said what to do with, and return the number that means "no data" in the file.

    Args:
        source: The scene.
        file: One of its files.
        dataset: The same, open.
        bands: Its bands that the model wants, by sensor and band.

    Raises:
        DataError: If there are such tags.
    """
    nodata = None
    for sensor in dict.fromkeys(name for name, _ in bands):
        values = source.values_of(file, sensor)
        numbers = [number for (name, _), number in bands.items() if name == sensor]
        values.check(dataset, numbers, shown(file.path), f"data.scenes.sensors.{sensor}")
        nodata = values.nodata if nodata is None else nodata
    return nodata
