"""What was found and may hold frames, as plain values: found once, opened by any process."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

SENSOR = "rgb"
"""The sensor of endoscopic frames."""

BANDS = ("R", "G", "B")
"""Its bands, in 0..255."""

MAX_PIXELS = 2**26
"""Pixels of one frame beyond which a file is taken for damaged or hostile: twice an 8K frame."""

SegmentationType = Literal["binary", "labelmap"]
"""A DICOM-SEG holds a binary frame per class and source frame, or one frame of class numbers per source frame."""

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
        segmentation_type: What a DICOM-SEG made of it holds; nothing to pictures.
    """

    name: str
    shown: str
    path: Path
    kind: Literal["dicom", "picture"]
    segmentation_type: SegmentationType = "binary"

    def fingerprint(self) -> str:
        """Return a digest of the file's path, size and time, of how it is read and how its mask is written."""
        kind = f"{self.kind} {self.segmentation_type}" if self.kind == "dicom" else self.kind
        digest = hashlib.sha256(f"{READING} {kind} {self.path.absolute()}\n".encode("utf-8", "surrogateescape"))
        try:
            stat = self.path.stat()
        except OSError:  # it fails when it is opened
            return digest.hexdigest()
        digest.update(f"{stat.st_size} {stat.st_mtime_ns}".encode())
        return digest.hexdigest()
