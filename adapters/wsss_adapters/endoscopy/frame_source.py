"""What was found and may hold frames, as plain values: found once, opened by any process."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

SENSOR = "rgb"
"""The sensor of endoscopic frames."""

BANDS = ("R", "G", "B")
"""Its bands, in 0..255."""

PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
"""Suffixes of pictures, in lower case."""

MAX_PIXELS = 2**26
"""Pixels of one frame beyond which a file is taken for damaged or hostile: twice an 8K frame."""

READING = 1
"""Raised when frames come to be read differently, so that finished masks of the older reading are made anew."""


@dataclass(frozen=True, slots=True)
class FrameSource:
    """A file of frames: a picture, or a DICOM object of one frame or many.

    Attributes:
        name: What its files are named after; holds nothing of the DICOM header.
        shown: What messages call it: the path as it was given, without parts that name the patient.
        path: The file.
        kind: How it is read.
    """

    name: str
    shown: str
    path: Path
    kind: Literal["dicom", "picture"]

    def fingerprint(self) -> str:
        """Return a digest of the file's path, size and time, and of how it is read."""
        digest = hashlib.sha256(f"{READING} {self.kind} {self.path.absolute()}\n".encode("utf-8", "surrogateescape"))
        try:
            stat = self.path.stat()
        except OSError:  # it fails when it is opened
            return digest.hexdigest()
        digest.update(f"{stat.st_size} {stat.st_mtime_ns}".encode())
        return digest.hexdigest()
