"""What the frames of JPEG, JPEG-LS and JPEG 2000 say of themselves, which outweighs what the DICOM header says."""

from dataclasses import dataclass
from typing import Literal

from wsss_toolkit.errors import DataError

Space = Literal["rgb", "ybr"]
"""Colour spaces of decoded samples: red, green, blue, or full-range luma and colour differences."""

BEGINNINGS = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  ")
"""What frames of JPEG, JPEG-LS and JPEG 2000 begin with, and no later part of one."""

NO_LENGTH = frozenset({0x01, *range(0xD0, 0xD8)})
"""JPEG markers without a segment."""

FRAME_HEADERS = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}
"""JPEG markers that begin a frame header; 0xF7 is JPEG-LS's."""

APP0, APP14 = 0xE0, 0xEE
ADOBE_RGB = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"
"""Adobe's segment saying that three components are red, green and blue."""


@dataclass(frozen=True, slots=True)
class Codestream:
    """The header of one compressed frame."""

    rows: int
    columns: int
    samples: int
    """Components."""
    precision: int
    """Bits per sample."""
    space: Space | None = None
    """What the three components are, None where nothing says so."""
    why: str = ""
    """What says so, for messages."""
    signed: bool | None = None
    """Whether samples are signed; None where nothing says so."""


def read_jpeg(frame: bytes, where: str) -> Codestream:
    """Read the header of a JPEG or JPEG-LS frame.

    Colour differences are coarser than luma only in YCbCr, so subsampling decides; then Adobe's marker, then component
    names R, G, B, then JFIF, whose files are YCbCr by definition.

    Raises:
        DataError: If it is no JPEG.
    """
    app: dict[int, bytes] = {}
    for marker, start, stop in segments(frame):
        if marker in FRAME_HEADERS:
            body = frame[start + 4 : stop]
            if len(body) < 6 or len(body) < 6 + 3 * body[5]:
                break
            space, why = _jpeg_space(app, body)
            rows, columns = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
            return Codestream(rows, columns, body[5], body[0], space, why)
        app.setdefault(marker, frame[start + 4 : stop])
    raise DataError("is no JPEG picture, though the transfer syntax says so", where=where, fix="copy the file again")


def whole(frame: bytes) -> bytes | None:
    """Return a frame of JPEG, JPEG-LS or JPEG 2000 up to its end marker, without what comes after; None if it has none.

    Coded data never hold the marker: JPEG puts 0 after 0xFF, JPEG-LS a byte below 0x80, JPEG 2000 one below 0x90.
    """
    if frame.rstrip(b"\0\xff").endswith(b"\xff\xd9"):  # as nearly all do; some are filled up
        return frame
    place = _coded(frame)
    while place is not None and (place := frame.find(b"\xff", place)) >= 0 and place + 1 < len(frame):
        marker = frame[place + 1]
        if marker == 0xD9:
            return frame[: place + 2]
        # Between scans of a progressive JPEG are tables, between tiles of JPEG 2000 a header: their bytes may be any.
        between = 0xC0 <= marker < 0xFF and marker not in NO_LENGTH if frame[1] == 0xD8 else marker == 0x90
        place += 2 + int.from_bytes(frame[place + 2 : place + 4], "big") if between else 1 if marker == 0xFF else 2
    return None


def followed(frame: bytes) -> bool:
    """Tell whether another JPEG comes behind the one that a frame begins with; one within it, a preview, is none."""
    place = _coded(frame)
    return frame[:2] == b"\xff\xd8" and place is not None and BEGINNINGS[0] in frame[place:]


def _coded(frame: bytes) -> int | None:
    """Return where coded data begin, or None."""
    if frame[:2] == b"\xff\x4f":
        place = frame.find(b"\xff\x93")
        return place + 2 if place >= 0 else None
    found = segments(frame)
    return found[-1][2] if found else None


def segments(frame: bytes) -> list[tuple[int, int, int]]:
    """Return marker, start and end of each segment of a JPEG before its first scan."""
    found = []
    place = 2
    while frame[:2] == b"\xff\xd8" and place + 4 <= len(frame) and frame[place] == 0xFF:
        marker = frame[place + 1]
        if marker == 0xFF:  # padding
            place += 1
            continue
        if marker == 0xDA:
            break
        stop = place + 2 if marker in NO_LENGTH else place + 2 + int.from_bytes(frame[place + 2 : place + 4], "big")
        found.append((marker, place, stop))
        place = stop
    return found


def _jpeg_space(app: dict[int, bytes], body: bytes) -> tuple[Space | None, str]:
    if body[5] != 3:
        return None, ""
    ids, factors = body[6:15:3], body[7:16:3]
    if len(set(factors)) > 1:
        return "ybr", "its colour differences are subsampled"
    adobe = app.get(APP14, b"")
    if adobe.startswith(b"Adobe") and len(adobe) >= 12:
        return ("rgb", "Adobe's marker says RGB") if adobe[11] == 0 else ("ybr", "Adobe's marker says YCbCr")
    if ids in (b"RGB", b"rgb"):
        return "rgb", "its components are called R, G, B"
    if app.get(APP0, b"").startswith(b"JFIF"):
        return "ybr", "it is a JFIF file, which is YCbCr"
    return None, ""


def unconverted(frame: bytes) -> bytes:
    """Return a JPEG that is said to be RGB whatever it is, so that decoders give its components as they are stored."""
    kept = [b"\xff\xd8", ADOBE_RGB]
    place = 2
    for marker, start, stop in segments(frame):
        named = frame[start + 4 : start + 9]
        if not (marker == APP0 and named.startswith(b"JFIF")) and not (marker == APP14 and named == b"Adobe"):
            kept.append(frame[start:stop])
        place = stop
    return b"".join([*kept, frame[place:]])


def read_jpeg2000(frame: bytes, where: str) -> Codestream:
    """Read the header of a JPEG 2000 frame: the codestream alone, as the standard wants it, or a JP2 file.

    Decoders undo its own colour transform, after which the samples are red, green and blue.

    Raises:
        DataError: If it is no JPEG 2000.
    """
    start = frame.find(b"\xff\x4f\xff\x51")
    size = frame[start + 6 : start + 4 + int.from_bytes(frame[start + 4 : start + 6], "big")]
    if start < 0 or len(size) < 39:
        raise DataError("is no JPEG 2000, though the transfer syntax says so", where=where, fix="copy the file again")
    if any(step != 1 for step in size[37::3] + size[38::3]):
        raise DataError("is JPEG 2000 with subsampled colours, which decoders read differently", where=where)
    right, lower, left, top = (int.from_bytes(size[2 + 4 * i : 6 + 4 * i], "big") for i in range(4))
    samples = int.from_bytes(size[34:36], "big")
    place = start + 4 + int.from_bytes(frame[start + 4 : start + 6], "big")
    transformed = False
    while place + 4 <= len(frame) and frame[place] == 0xFF and frame[place + 1] != 0x90:
        if frame[place + 1] == 0x52:
            transformed = samples == 3 and frame[place + 8 : place + 9] == b"\x01"
        place += 2 + int.from_bytes(frame[place + 2 : place + 4], "big")
    shape = lower - top, right - left, samples, (size[36] & 0x7F) + 1
    signed = bool(size[36] & 0x80)
    if transformed:
        return Codestream(*shape, "rgb", "its colour transform makes RGB", signed)
    return Codestream(*shape, signed=signed)
