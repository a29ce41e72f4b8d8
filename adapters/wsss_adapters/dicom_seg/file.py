"""A multi-frame DICOM file that is written frame by frame: neither pixels nor frame descriptions fill the memory."""

import hashlib
import shutil
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray

from wsss_adapters.dicom_seg.frames import SegFrame
from wsss_adapters.quiet import quiet
from wsss_toolkit.errors import WsssError

if TYPE_CHECKING:
    from pydicom import Dataset

MOST_BYTES = 2**32 - 2
"""Bytes of pixels without compression that one object holds: their length has 32 bits, and is even."""

UNDEFINED = 0xFFFFFFFF
ITEM = struct.pack("<HH", 0xFFFE, 0xE000)
END_OF_ITEMS = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)


@dataclass(slots=True)
class Spool:
    """Frames on disk, in the form in which the finished file holds them."""

    bits: int
    """1 for packed bits; 8 for bytes in RLE."""
    items: BinaryIO
    """The file of encoded items of the Per-Frame Functional Groups Sequence."""
    pixels: BinaryIO
    """The file of pixels, or of fragments."""
    frames: int = 0
    size: int = 0
    """Bytes of pixels."""
    digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    """SHA-256 of pixels and their meaning."""
    _rest: NDArray[np.uint8] = field(default_factory=lambda: np.empty(0, np.uint8))

    def __enter__(self) -> "Spool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.items.close()
        self.pixels.close()

    def add(self, item: "Dataset", frame: SegFrame) -> None:
        """Append a frame.

        Raises:
            WsssError: If one object cannot hold so many pixels.
        """
        encoded = _encode_item(item)
        self.items.write(ITEM + struct.pack("<I", len(encoded)) + encoded)
        self.digest.update(f"{frame.source} {frame.segment}\n".encode())
        self.digest.update(np.ascontiguousarray(frame.pixels).data)
        if self.bits == 1:
            bits = np.concatenate([self._rest, frame.pixels.reshape(-1)])
            whole = len(bits) // 8 * 8
            self._rest = bits[whole:]
            self._write(np.packbits(bits[:whole], bitorder="little").tobytes())
        else:
            fragment = _run_lengths(frame.pixels)
            fragment += b"\0" * (len(fragment) % 2)
            self._write(ITEM + struct.pack("<I", len(fragment)) + fragment)
        self.frames += 1
        if self.bits == 1 and self.size > MOST_BYTES:
            what = f"the segments of frame {frame.source + 1} and those before need more than 4 GiB in one DICOM object"
            raise WsssError(what, fix="write a labelmap, which is compressed, or cut the video")

    def finish(self) -> None:
        """Write the last bits."""
        if len(self._rest):
            self._write(np.packbits(self._rest, bitorder="little").tobytes())
        if self.size % 2:
            self._write(b"\0")
        self.items.flush()
        self.pixels.flush()

    def _write(self, content: bytes) -> None:
        self.pixels.write(content)
        self.size += len(content)


def open_spool(partial: Path, bits: int) -> Spool:
    """Open the two temporary files beside a temporary file, named after it."""
    items = partial.with_name(f"{partial.stem}.items")
    pixels = partial.with_name(f"{partial.stem}.pixels")
    return Spool(bits, items.open("w+b"), pixels.open("w+b"))


def write_file(path: Path, head: "Dataset", spool: Spool) -> None:
    """Write the head, then the frames of a finished spool.

    The head holds everything but per-frame functional groups and pixels, explicit VR little endian; its transfer syntax
    is that of the spool.
    """
    from pydicom import dcmwrite

    head.NumberOfFrames = spool.frames
    with path.open("wb") as file, quiet("pydicom", "highdicom"):
        dcmwrite(file, head, enforce_file_format=True)
        file.write(struct.pack("<HH2s2xI", 0x5200, 0x9230, b"SQ", UNDEFINED))
        _append(file, spool.items)
        file.write(END_OF_ITEMS)
        length = spool.size if spool.bits == 1 else UNDEFINED
        file.write(struct.pack("<HH2s2xI", 0x7FE0, 0x0010, b"OB", length))
        if spool.bits == 8:
            file.write(ITEM + struct.pack("<I", 0))  # no table of offsets
        _append(file, spool.pixels)
        if spool.bits == 8:
            file.write(END_OF_ITEMS)


def _append(file: BinaryIO, part: BinaryIO) -> None:
    part.seek(0)
    shutil.copyfileobj(part, file, 1 << 20)


def _encode_item(item: "Dataset") -> bytes:
    """Return a dataset in explicit VR little endian."""
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_dataset

    buffer = DicomBytesIO()
    buffer.is_little_endian = True
    buffer.is_implicit_VR = False
    write_dataset(buffer, item)
    return bytes(buffer.getvalue())


def _run_lengths(pixels: NDArray[np.uint8]) -> bytes:
    """Return a frame in DICOM's RLE (PS3.5, annex G).

    The plug-in is named because pydicom's first choice, GDCM, ends the process at some sizes of frames.
    """
    from pydicom.pixels.encoders.base import RLELosslessEncoder

    rows, columns = pixels.shape
    return RLELosslessEncoder.encode(
        np.ascontiguousarray(pixels),
        encoding_plugin="pylibjpeg" if "pylibjpeg" in RLELosslessEncoder.available_plugins else "pydicom",
        rows=rows,
        columns=columns,
        number_of_frames=1,
        samples_per_pixel=1,
        bits_allocated=8,
        bits_stored=8,
        pixel_representation=0,
        photometric_interpretation="MONOCHROME2",
    )


def spool_frames(spool: Spool, frames: Iterable[SegFrame], describe: Callable[[SegFrame], "Dataset"]) -> None:
    """Append all frames, each with its description."""
    for frame in frames:
        spool.add(describe(frame), frame)
    spool.finish()
