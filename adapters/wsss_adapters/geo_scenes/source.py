"""What a scene is made of, as plain values: found once, opened by any process."""

import hashlib
import re
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any, Literal

from wsss_adapters.geotiff.opening import REMOTE, shown
from wsss_adapters.geotiff.parts import parts_of
from wsss_adapters.geotiff.values import BandValues

SECONDS = 10
"""How long a server is waited for that is asked about a file."""


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
    notices: tuple[str, ...] = ()
    """What the user should know of where it was found, such as what was left out."""

    def values_of(self, file: SceneFile, sensor: str) -> BandValues:
        """Return how the numbers of a sensor in one of the files become values."""
        return file.values or dict(self.values).get(sensor, BandValues())

    def fingerprint(self) -> str:
        """Return a digest of the files' paths, sizes and times, and of how they are read.

        A virtual raster's sources count as it does; of a file behind http, what the server says of it counts.
        """
        digest = hashlib.sha256(repr((self.files, self.reference, self.values, self.clouds)).encode())
        for name in [file.path for file in self.files] + [layer.path for layer in self.clouds]:
            path = Path(name)
            if REMOTE.match(name):
                inner = re.match(r"/vsi(?:zip|tar)/(/.*?\.(?:zip|tar|tgz))", name)
                path = Path(inner[1]) if inner else path
            for part in parts_of(path):
                stat = part.stat()
                digest.update(f"{stat.st_size} {stat.st_mtime_ns}\n".encode())
            digest.update(_said_by_server(name))
        return digest.hexdigest()


def _said_by_server(path: str) -> bytes:
    """Return the size, time and tag that a server states of a file; nothing where it is asked in vain, or not at all.

    Opening the file tells whether it is there: what is missing here only means that a change may stay unseen.
    """
    if not path.startswith(("/vsicurl/http://", "/vsicurl/https://")):
        return b""
    request = urllib.request.Request(path.removeprefix("/vsicurl/"), method="HEAD")  # http as said above
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            found = [answer.headers.get(name, "") for name in ("ETag", "Last-Modified", "Content-Length")]
    except (OSError, ValueError, HTTPException):
        return b""
    return "\n".join(found).encode()


def gdal_path(text: str) -> str:
    """Return a URL as GDAL opens it; everything else as it is."""
    if text.startswith(("https://", "http://")):
        return f"/vsicurl/{text}"
    return re.sub("^(s3|gs|az)://", r"/vsi\1/", text)


def checked_values(
    source: GeoSource, file: SceneFile, dataset: Any, bands: Mapping[tuple[str, str], int]
) -> dict[int, float]:
    """Refuse scale tags that nobody said what to do with, and return what means "no data" by the band's number.

    Args:
        source: The scene.
        file: One of its files.
        dataset: The same, open.
        bands: Its bands that the model wants, by sensor and band.

    Raises:
        DataError: If there are such tags.
    """
    nodata: dict[int, float] = {}
    for sensor in dict.fromkeys(name for name, _ in bands):
        values = source.values_of(file, sensor)
        numbers = [number for (name, _), number in bands.items() if name == sensor]
        values.check(dataset, numbers, shown(file.path), f"data.scenes.sensors.{sensor}")
        if values.nodata is not None:
            nodata |= dict.fromkeys(numbers, values.nodata)
    return nodata
