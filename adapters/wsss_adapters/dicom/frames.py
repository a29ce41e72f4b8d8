"""Opens DICOM objects of frames and decodes them one at a time, with the colours that they were meant to have."""

import struct
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from wsss_adapters.dicom.colors import Palette, to_8_bit, to_grey, ybr_to_rgb
from wsss_adapters.dicom.decoder import FrameDecoder
from wsss_adapters.dicom.evidence import odd_black, swapped
from wsss_adapters.dicom.header import inflate, is_deflated
from wsss_adapters.dicom.library import bytes_of, require_pydicom
from wsss_adapters.dicom.offsets import CUT, ITEM, find_frames
from wsss_adapters.dicom.pixel_format import GREY, PALETTE, PixelFormat, read_format, require_frames_class
from wsss_adapters.dicom.pixel_shape import square_size, squared
from wsss_adapters.dicom.text import require_texts
from wsss_adapters.frames.scene import Frames, FrameScene, FrameSource
from wsss_adapters.quiet import quiet
from wsss_toolkit.domain import ChannelTable
from wsss_toolkit.errors import DataError

UNPACKED_LIMIT = 2**32
"""Bytes that a file which is compressed as a whole may unpack to."""

DIM = 32
"""A frame of deep samples that uses fewer than so many of 255 levels may be one of fewer bits than it says."""

UNDEFINED = 0xFFFFFFFF
"""The length of compressed pixel data."""


def _frames(header: Any, format: PixelFormat, decoder: FrameDecoder, where: str) -> Frames:
    """Return the frames of an open file with all of its header; the first is decoded, to see that it can be."""
    palette = Palette(header, where) if format.photometric == PALETTE else None

    def colors(index: int) -> NDArray[np.uint8]:
        decoded = decoder.decode(index)
        if palette is not None:
            return palette.colors(decoded.samples)
        if format.photometric in GREY:
            grey = to_grey(decoded.samples, header, index, decoded.depth, where, signed=decoded.signed)
            return np.repeat(grey[..., None], 3, axis=-1)
        if decoded.space == "rgb":
            return to_8_bit(decoded.samples, decoded.depth)
        return ybr_to_rgb(decoded.samples, decoded.depth, partial=decoded.space == "partial")

    first, shown = decoder.decode(0), colors(0)
    if swapped(first.samples):
        rows, columns = format.columns, format.rows
        what = f"its pixels make a picture of {rows} x {columns} only, not of {columns} x {rows}"
        raise DataError(what, where=where, fix="correct Rows and Columns, which are swapped")
    notices = first.notices
    # Signed samples have their 0 in the middle.
    used = int(shown.max()) if not first.signed else 2 * int(np.abs(shown - 127.5).max())
    if first.depth > 8 and 0 < used < DIM:
        what = f"its first frame uses {used} of 255 levels, if samples have {first.depth} bits"
        notices += (f"{what}; correct BitsStored if they have fewer",)
    if format.samples == 3 and (odd := odd_black(first.samples, first.depth, first.space)):
        notices += (odd,)
    rows, columns, shape = square_size(header, format.rows, format.columns)
    notices += tuple(filter(None, (shape,)))
    return Frames(rows, columns, format.frames, notices, lambda index: (squared(colors(index), (rows, columns)), None))


@contextmanager
def open_dicom_scene(
    source: FrameSource, channels: ChannelTable, *, mask_borders: bool, copied: Iterable[str] = ()
) -> Iterator[FrameScene]:
    """Open a DICOM object for reading its frames; see `FrameScene`. `copied` are keywords of texts to be copied.

    Raises:
        DataError: If it is damaged, holds no frames, or needs a decoder that is not there; it never quotes the header.
    """
    require_pydicom(source.shown)
    with ExitStack() as stack:
        stack.enter_context(quiet("pydicom"))
        file = _open(source, stack)
        header = _header(file, source.shown)
        said = require_texts(header, copied, source.shown)
        require_frames_class(header, source.shown)
        format = read_format(header, source.shown)
        compressed, length, vr = _pixel_data(file, header, source.shown)
        extra = ""
        decoder = FrameDecoder(file, header, format, compressed=compressed, vr=vr, where=source.shown)
        if compressed:
            table = bytes_of(header, "ExtendedOffsetTable")
            decoder.frames = find_frames(file, format.frames, table, source.shown)
        else:
            extra = _check_length(file, format, length, source.shown)
        frames = _frames(header, format, decoder, source.shown)
        frames = replace(frames, notices=(*frames.notices, *filter(None, (extra, said))))
        yield FrameScene(source, channels, frames, mask_borders=mask_borders)


def _open(source: FrameSource, stack: ExitStack) -> BinaryIO:
    """Open a file; one that is compressed as a whole is unpacked into a temporary file without a name."""
    try:
        file = stack.enter_context(source.path.open("rb"))
        start = file.read(1024)
        file.seek(0)
        if not is_deflated(start):
            return file
        plain = stack.enter_context(tempfile.TemporaryFile())
        if not inflate(file, plain, UNPACKED_LIMIT):
            raise DataError(f"unpacks to more than {UNPACKED_LIMIT >> 30} GB", where=source.shown)
        return plain
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", where=source.shown) from None
    except ValueError:
        raise DataError("its compressed data set is cut short or damaged", where=source.shown, fix=CUT) from None


def _header(file: BinaryIO, where: str) -> Any:
    """Read everything before the pixel data; the file is left there."""
    import pydicom

    try:
        return pydicom.dcmread(file, force=True, stop_before_pixels=True)
    except Exception:  # pydicom raises many kinds where bytes make no sense
        raise DataError("is no readable DICOM file, truncated or damaged", where=where, fix="copy it again") from None


def _pixel_data(file: BinaryIO, header: Any, where: str) -> tuple[bool, int, str]:
    """Read the head of the pixel data, whose value the file is left at.

    Returns:
        Whether it is compressed, its length, and its value representation.
    """
    order = "<" if header.original_encoding[1] else ">"
    head = file.read(8)
    explicit = head[4:6] in (b"OB", b"OW", b"UN", b"OF", b"OD")  # some files lie about it
    head += file.read(4) if explicit else b""
    if len(head) < (12 if explicit else 8):
        raise DataError("holds no pixel data", where=where, fix="the file is cut short, or pixels were left out")
    group, element = struct.unpack(f"{order}HH", head[:4])
    if (group, element) != (0x7FE0, 0x0010):
        raise DataError("its pixel data are floating-point numbers, not a picture", where=where)
    (length,) = struct.unpack(f"{order}L", head[-4:])
    first = file.read(4)
    file.seek(-len(first), 1)
    syntax = getattr(header, "file_meta", {}).get("TransferSyntaxUID")
    known = syntax is None or (not syntax.is_private and syntax.is_transfer_syntax)
    stated = known and syntax is not None and syntax.is_encapsulated
    compressed = length == UNDEFINED or (stated and first == ITEM)
    if known and stated != compressed:
        says = "are compressed" if stated else "are not compressed"
        raise DataError(f"its transfer syntax says that pixel data {says}, and they look otherwise", where=where)
    return compressed, length, head[4:6].decode() if explicit else "OW"


def _check_length(file: BinaryIO, format: PixelFormat, length: int, where: str) -> str:
    """Check that uncompressed pixel data are as many as their description says; the file is left where it was.

    Returns:
        What the user should know of a rest that is no frame; "" where there is none, or only padding.
    """
    start = file.tell()
    there = file.seek(0, 2) - start
    file.seek(start)
    wanted = format.frame_bytes * format.frames
    if there < min(length, wanted):
        raise DataError(f"is cut short: {there} of {length} bytes of pixel data", where=where, fix=CUT)
    if length < wanted:
        raise DataError(
            f"its {length} bytes of pixel data hold {length // format.frame_bytes} of the {format.frames} frames of"
            f" {format.rows} x {format.columns} pixels that it declares",
            where=where,
            fix="correct NumberOfFrames, Rows, Columns or PhotometricInterpretation",
        )
    if format.photometric.endswith("_422") and length >= format.frame_bytes // 2 * 3 * format.frames:
        what = f"declares {format.photometric}, whose colours are subsampled, and its pixel data are not"
        raise DataError(what, where=where, fix="correct PhotometricInterpretation: RGB or YBR_FULL")
    if length - wanted >= format.frame_bytes:
        held = length // format.frame_bytes
        fix = "correct NumberOfFrames, Rows, Columns or BitsAllocated"
        raise DataError(f"declares {format.frames} frames and holds {held}", where=where, fix=fix)
    padded = wanted + wanted % 2  # values have an even length, whatever fills them up
    file.seek(start + padded)
    rest = file.read(max(0, min(length, there) - padded))
    file.seek(start)
    if not rest.strip(b"\0\xff"):
        return ""
    return f"holds {len(rest)} bytes beyond its {format.frames} frames of {format.rows} x {format.columns} pixels"
