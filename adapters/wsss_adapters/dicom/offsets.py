"""Where the frames of a DICOM file lie, found in one pass without reading them."""

from array import array
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from wsss_adapters.dicom.jpeg_markers import BEGINNINGS
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
    filled = np.flatnonzero(lengths)
    if len(filled) < frames:
        fix = "correct NumberOfFrames"
        raise DataError(f"declares {frames} frames and holds at most {len(filled)}", where=where, fix=fix)
    return Frames(offsets, lengths, _first(file, frames, (extended, basic), (offsets, lengths), begin, where))


def _first(
    file: BinaryIO,
    frames: int,
    tables: tuple[bytes, bytes],
    fragments: tuple[NDArray[np.int64], NDArray[np.int64]],
    begin: int,
    where: str,
) -> NDArray[np.int64]:
    """Return the first fragment of each frame, and one more number at the end.

    What fragments begin with outweighs the tables, the extended and the basic one, which may be wrong.
    """
    offsets, lengths = fragments
    filled, starts = np.flatnonzero(lengths), _starts(file, offsets, lengths)
    known = len(starts) > 0 and starts[0] == filled[0]
    if known and len(starts) == frames:
        return np.append(starts, len(offsets))
    if len(filled) == frames:
        return np.append(filled, len(offsets))
    held = len(starts)
    if not known or held < frames:
        for table, width in zip(tables, (8, 4), strict=True):
            numbers = np.frombuffer(table[: len(table) // width * width], f"<u{width}")
            first = _from_table(numbers, offsets - 8 - begin)
            if first is not None and len(first) == frames + 1:
                return first
        first = _from_ends(file, offsets, lengths)
        if len(first) == frames + 1:
            return first
        if frames == 1 and len(first) <= 2:
            return np.array([0, len(offsets)])
        held = len(first) - 1
    raise DataError(f"declares {frames} frames and holds {held}", where=where, fix="correct NumberOfFrames")


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


def _starts(file: BinaryIO, offsets: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the fragments that begin as frames of JPEG, JPEG 2000 or RLE do."""
    found = []
    for number, (offset, length) in enumerate(zip(offsets.tolist(), lengths.tolist(), strict=True)):
        file.seek(offset)
        head = file.read(min(length, 64))
        # A frame in RLE begins with the number of its segments and the place of the first, which is 64.
        rle = len(head) == 64 and 1 <= int.from_bytes(head[:4], "little") <= 15 and head[4:8] == b"\x40\0\0\0"
        if rle or head.startswith(BEGINNINGS):
            found.append(number)
    return np.array(found, np.int64)


def _from_ends(file: BinaryIO, offsets: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the first fragment of each frame by the markers that end JPEG frames; some fill up with 0 or 0xFF."""
    first = [0]
    for number, (offset, length) in enumerate(zip(offsets.tolist(), lengths.tolist(), strict=True)):
        tail = min(length, 32)
        file.seek(offset + length - tail)
        if file.read(tail).rstrip(b"\0\xff").endswith(b"\xff\xd9"):
            first.append(number + 1)
    return np.array(first, np.int64)
