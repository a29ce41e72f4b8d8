"""A stack of frames as the core sees it, whatever its frames are stored in."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from wsss_toolkit.domain import ChannelTable, Sample, Window
from wsss_toolkit.errors import DataError

SENSOR = "rgb"
"""The sensor of endoscopic frames."""

BANDS = ("R", "G", "B")
"""Its bands, in 0..255."""

MAX_PIXELS = 2**26
"""Pixels of one frame beyond which a file is taken for damaged or hostile: twice an 8K frame."""

SegmentationType = Literal["binary", "labelmap"]
"""A DICOM-SEG holds a binary frame per class and source frame, or one frame of class numbers per source frame."""

READING = 3
"""Raised when frames come to be read differently, so that finished masks of the older reading are made anew."""


@dataclass(frozen=True, slots=True)
class FrameSource:
    """A file of frames, a picture or a DICOM object, as plain values: found once, opened by any process."""

    name: str
    """What its files are named after; holds nothing of the DICOM header."""
    shown: str
    """What messages call it: the path as it was given, without parts that name the patient."""
    path: Path
    kind: Literal["dicom", "picture"]
    segmentation_type: SegmentationType = "binary"
    """What a DICOM-SEG made of it holds; nothing to pictures."""
    salt: str = field(default="", repr=False)
    """A secret of a hidden file, without which nobody can tell by its fingerprint which file it is; else ""."""

    def fingerprint(self) -> str:
        """Return a digest of the file's path, size and time, of how it is read and how its mask is written."""
        kind = f"{self.kind} {self.segmentation_type}" if self.kind == "dicom" else self.kind
        digest = hashlib.sha256(
            f"{self.salt}{READING} {kind} {self.path.absolute()}\n".encode("utf-8", "surrogateescape")
        )
        try:
            stat = self.path.stat()
        except OSError:  # it fails when it is opened
            return digest.hexdigest()
        digest.update(f"{stat.st_size} {stat.st_mtime_ns} {self.salt}".encode())
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Frames:
    """Open frames of one size, with square pixels, decoded one at a time."""

    rows: int
    columns: int
    count: int
    notices: tuple[str, ...]
    """What the user should know of them."""
    decode: Callable[[int], tuple[NDArray[np.uint8], NDArray[np.bool_] | None]]
    """Decodes a frame: uint8 `h w 3`, red, green and blue; and bool `h w`, where there are pixels, None for everywhere.
    It raises DataError."""


class FrameScene:
    """An open stack of frames; see `wsss_toolkit.domain.Scene`.

    Under `mask_borders`, pixels outside the endoscope's field of view count as missing.

    Raises:
        DataError: If the model sees other bands than frames have.
    """

    def __init__(self, source: FrameSource, channels: ChannelTable, frames: Frames, *, mask_borders: bool) -> None:
        known = {f"{SENSOR}.{band}" for band in BANDS}
        missing = [name for name in channels.names if name not in known]
        if missing:
            raise DataError(f"has no {', '.join(missing)}; frames have {', '.join(sorted(known))}", where=source.shown)
        self._source, self._channels, self._frames, self._mask_borders = source, channels, frames, mask_borders
        self.frame_height = frames.rows
        self.height, self.width = frames.rows * frames.count, frames.columns
        self.sensors: tuple[str, ...] = tuple(sensor.name for sensor in channels.sensors)
        self.notices = frames.notices

    def read(self, window: Window) -> Sample:
        """Read a window, NaN where there is no pixel or it lies outside the field of view.

        Raises:
            DataError: If a frame cannot be decoded.
        """
        rgb = np.empty((3, window.height, window.width), np.float32)
        side = slice(window.column, window.column + window.width)
        row = 0
        while row < window.height:
            index, top = divmod(window.row + row, self._frames.rows)
            take = min(window.height - row, self._frames.rows - top)
            rgb[:, row : row + take] = self._frame(index)[:, top : top + take, side]
            row += take
        order = {band: number for number, band in enumerate(BANDS)}
        bands = {sensor.name: rgb[[order[band] for band in sensor.bands]] for sensor in self._channels.sensors}
        return Sample(self._source.name, bands)

    def _frame(self, index: int) -> NDArray[np.float32]:
        """Return a frame as float32 `3 h w`."""
        pixels, there = self._frames.decode(index)
        frame: NDArray[np.float32] = pixels.transpose(2, 0, 1).astype(np.float32)
        if there is not None:
            frame[:, ~there] = np.nan
        if self._mask_borders:
            from wsss_adapters.frames.field_of_view import field_of_view

            frame[:, ~field_of_view(pixels)] = np.nan
        return frame
