"""What a scene is made of, as plain values: found once, opened by any process."""

import hashlib
import re
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Literal

from wsss_adapters.geotiff.opening import REMOTE
from wsss_adapters.geotiff.parts import parts_of

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
    add: float = 0.0
    """Added to every value."""
    nodata: float | None = None
    """The value that means "no data", where the file does not say it."""
    resampling: Literal["nearest", "bilinear", "cubic"] = "bilinear"
    """How it is brought to another grid."""


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
    notices: tuple[str, ...] = ()
    """What the user should know, such as what was left out where it was found."""

    def fingerprint(self) -> str:
        """Return a digest of the files' paths, sizes and times, and of how they are read.

        A virtual raster's sources count as it does; of a file behind http, what the server says of it counts.
        """
        digest = hashlib.sha256(repr((self.files, self.reference)).encode())
        for file in self.files:
            path = Path(file.path)
            if REMOTE.match(file.path):
                inner = re.match(r"/vsi(?:zip|tar)/(/.*?\.(?:zip|tar|tgz))", file.path)
                path = Path(inner[1]) if inner else path
            for part in parts_of(path):
                stat = part.stat()
                digest.update(f"{stat.st_size} {stat.st_mtime_ns}\n".encode())
            digest.update(_said_by_server(file.path))
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
