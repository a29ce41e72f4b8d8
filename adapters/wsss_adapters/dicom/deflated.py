"""DICOM files that are compressed as a whole: unpacked within limits, since a few bytes can stand for gigabytes."""

import zlib
from typing import BinaryIO

SYNTAX = b"1.2.840.10008.1.2.1.99"
"""The transfer syntax Deflated Explicit VR Little Endian."""

CHUNK = 2**18
"""Bytes that are unpacked at a time."""


def is_deflated(start: bytes) -> bool:
    """Tell from the first kilobyte whether a file is compressed as a whole."""
    return start[128:132] == b"DICM" and SYNTAX in start


def inflate(file: BinaryIO, plain: BinaryIO, limit: int) -> bool:
    """Write the data set of a deflated file as Explicit VR Little Endian, without what comes before it.

    Args:
        file: The file, at its beginning.
        plain: What is written to; at its beginning afterwards.
        limit: Bytes after which no more is written.

    Returns:
        Whether that was all.

    Raises:
        ValueError: If it does not say where its data set begins, or the compressed bytes are damaged.
    """
    start = file.read(144)
    if start[132:140] != b"\x02\x00\x00\x00UL\x04\x00":
        raise ValueError("no group length")
    file.seek(144 + int.from_bytes(start[140:144], "little"))
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    written, more = 0, b""
    try:
        while written < limit and not unpacker.eof:
            more = more or file.read(CHUNK)
            if not more:
                raise ValueError("ends too early")
            piece = unpacker.decompress(more, min(CHUNK, limit - written))
            more = unpacker.unconsumed_tail
            written += plain.write(piece)
    except zlib.error as error:
        raise ValueError("is damaged") from error
    plain.seek(0)
    return unpacker.eof
