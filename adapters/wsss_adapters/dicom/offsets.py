"""Where the frames of a DICOM file lie, found in one pass without reading them."""

from array import array
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from wsss_adapters.dicom.jpeg_markers import is_whole
from wsss_toolkit.errors import DataError

ITEM, END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
"""Tags of a fragment, and of the end of them all."""

CUT = "copy it again; the file is not complete"


@dataclass(frozen=True, slots=True)
class Frames:
    """The compressed frames of an open file."""

    offsets: NDArray[np.int64]
    """Per fragment, where its bytes begin."""
    lengths: NDArray[np.int64]
    """Per fragment, how many there are."""
    first: NDArray[np.int64]
    """Per frame, its first fragment; one more number at the end."""

    def read(self, file: BinaryIO, index: int) -> bytes:
        """Return the bytes of a frame."""
        pieces = []
        for fragment in range(self.first[index], self.first[index + 1]):
            file.seek(int(self.offsets[fragment]))
            pieces.append(file.read(int(self.lengths[fragment])))
        return b"".join(pieces)


def find_frames(file: BinaryIO, frames: int, extended: bytes, where: str) -> Frames:
    """Find compressed frames in a file that is at the first item of its pixel data.

    The extended offset table is b"" where there is none.

    Raises:
        DataError: If the file ends too early, holds fewer frames, or does not tell where they begin.
    """
    start = file.tell()
    size = file.seek(0, 2)
    file.seek(start)
    basic = _basic_table(file, size, where)
    begin = file.tell()
    offsets, lengths = _walk(file, size, where)
    if not len(offsets):
        raise DataError("holds no pixel data", where=where, fix=CUT)
    if len(offsets) < frames:
        fix = "correct NumberOfFrames"
        raise DataError(f"declares {frames} frames and holds at most {len(offsets)}", where=where, fix=fix)
    first = np.arange(frames + 1) if len(offsets) == frames else None
    for table, width in ((extended, 8), (basic, 4)):
        if first is None:
            first = _from_table(np.frombuffer(table[: len(table) // width * width], f"<u{width}"), offsets - 8 - begin)
            first = first if first is not None and len(first) == frames + 1 else None
    if first is None:
        first = _from_ends(file, offsets, lengths)
        if frames == 1 and len(first) <= 2:
            first = np.array([0, len(offsets)])
        if len(first) != frames + 1:
            fix = "correct NumberOfFrames"
            raise DataError(f"declares {frames} frames and holds {len(first) - 1}", where=where, fix=fix)
    return Frames(offsets, lengths, first)


def _basic_table(file: BinaryIO, size: int, where: str) -> bytes:
    head = file.read(8)
    length = int.from_bytes(head[4:8], "little")
    if head[:4] != ITEM:
        raise DataError("its compressed pixel data do not begin with an offset table", where=where, fix=CUT)
    if file.tell() + length > size:
        raise DataError("ends inside its offset table", where=where, fix=CUT)
    return file.read(length)


def _walk(file: BinaryIO, size: int, where: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where fragments begin and how long they are."""
    offsets, lengths = array("q"), array("q")
    while True:
        head = file.read(8)
        if head[:4] == END or not head:
            break
        length = int.from_bytes(head[4:8], "little")
        place = file.tell()
        if head[:4] != ITEM or len(head) < 8 or place + length > size:
            known = f"after {len(offsets)} complete pieces of pixel data"
            raise DataError(f"is cut short or damaged {known}", where=where, fix=CUT)
        offsets.append(place)
        lengths.append(length)
        file.seek(place + length)
    return np.array(offsets, np.int64), np.array(lengths, np.int64)


def _from_table(table: NDArray[np.unsignedinteger], items: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """Return the first fragment of each frame, None if the table does not point at fragments in their order."""
    wanted = table.astype(np.int64)
    if not len(wanted) or wanted[0] != 0 or (np.diff(wanted) <= 0).any():
        return None
    first = np.searchsorted(items, wanted)
    if first[-1] >= len(items) or (items[first] != wanted).any():
        return None
    return np.append(first, len(items)).astype(np.int64)


def _from_ends(file: BinaryIO, offsets: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the first fragment of each frame by the markers that end JPEG frames."""
    first = [0]
    for number, (offset, length) in enumerate(zip(offsets.tolist(), lengths.tolist(), strict=True)):
        tail = min(length, 32)
        file.seek(offset + length - tail)
        if is_whole(file.read(tail)):
            first.append(number + 1)
    return np.array(first, np.int64)
