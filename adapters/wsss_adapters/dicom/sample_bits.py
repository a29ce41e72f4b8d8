"""How many bits of a stored sample hold its value, where header and pixel data may disagree."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsss_adapters.dicom.pixel_format import PixelFormat
from wsss_toolkit.errors import DataError

MOST_SEGMENTS = 15
"""Segments that a frame in RLE has at most (PS3.5, G.5); more are another format's bytes."""


@dataclass(frozen=True, slots=True)
class Bits:
    """What is decided of all frames of an object."""

    depth: int
    """Bits per sample."""
    notice: str = ""
    """What the user should know."""


def bits_of(samples: NDArray[Any], stored: int, precision: int, where: str, decided: Bits | None) -> Bits:
    """Decide whether samples have the header's bits (BitsStored) or those of their codestream.

    The smaller number is right where the samples keep to it: encoders write 12 bits into streams of 16, and headers of
    16 bits stand before streams of 12. `decided` is what the first frame told; None for that frame itself.

    Raises:
        DataError: If a later frame does not keep to it.
    """
    if decided is None:
        depth = stored if stored < precision and _most(samples) < 2**stored else precision
        if stored == precision:
            return Bits(depth)
        what = f"says BitsStored {stored}, its frames have {precision} bits per sample: they are read as {depth} bits"
        return Bits(depth, what)
    if decided.depth < precision and _most(samples) >= 2**decided.depth:
        what = f"holds samples of up to {_most(samples)}, and the first frame kept to the {decided.depth} of BitsStored"
        raise DataError(what, where=where, fix="correct BitsStored")
    return decided


def used_bits(samples: NDArray[Any], format: PixelFormat, where: str) -> NDArray[Any]:
    """Return samples, which pixel data hold as they are, with nothing in the bits beyond BitsStored but their sign.

    Retired objects keep overlays there, and say so.

    Raises:
        DataError: If something else is there: BitsStored is wrong.
    """
    shift = format.allocated - format.stored
    if shift <= 0:
        return samples
    low = -(2 ** (format.stored - 1)) if format.signed else 0
    if not format.overlaid and samples.size and (int(samples.min()) < low or _most(samples) >= 2**format.stored):
        what = f"holds samples of up to {_most(samples)}, which do not fit BitsStored {format.stored}"
        raise DataError(what, where=where, fix="correct BitsStored")
    used: NDArray[Any] = np.right_shift(np.left_shift(samples, shift), shift)
    return used


def require_segments(frame: bytes, format: PixelFormat, where: str) -> None:
    """Raise a DataError for a frame in RLE of another number of segments than its description asks for."""
    segments, wanted = int.from_bytes(frame[:4], "little"), format.samples * format.allocated // 8
    if segments != wanted and 1 <= segments <= MOST_SEGMENTS:
        what = f"holds {segments} bytes per pixel, the header says {wanted}"
        raise DataError(what, where=where, fix="correct SamplesPerPixel or BitsAllocated")


def _most(samples: NDArray[Any]) -> int:
    return int(samples.max()) if samples.size else 0
