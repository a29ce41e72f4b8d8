"""Masks of photographs: index PNGs as data sets publish them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wsss_adapters.natural.picture_reading import Size, check_there
from wsss_toolkit.errors import DataError

UNKNOWN: Final = 254
"""Where a table of codes has no entry; no table leads here, so that 254 among encoded values is a code unknown."""


def bit_palette(count: int) -> tuple[tuple[int, int, int], ...]:
    """Return the first colours of Pascal VOC's palette, all different for up to 256.

    The bits of an index, from the lowest up, go to red, green and blue in turn, each time from the highest bit down.
    """
    colors = []
    for index in range(count):
        rgb = [0, 0, 0]
        for bit in range(8):
            rgb[bit % 3] |= (index >> bit & 1) << 7 - bit // 3
        colors.append((rgb[0], rgb[1], rgb[2]))
    return tuple(colors)


def read_indices(path: Path) -> NDArray[np.uint8]:
    """Read an index PNG: uint8 `h w`; the indices of a palette picture, else the stored values of its only channel.

    Raises:
        DataError: If the file is missing, empty, damaged, no PNG, or holds colours or more than 8 bits.
    """
    from PIL import Image

    check_there(path)
    try:
        with Image.open(path, formats=["PNG"]) as picture:
            mode, stored_bits = picture.mode, _bit_depth(path)
            pixels = np.array(picture)
    except Exception as error:  # Pillow raises many kinds where bytes make no sense
        raise DataError(
            f"is no readable PNG, truncated or damaged ({error})", where=str(path), fix="copy or download it again"
        ) from error
    if mode not in ("P", "L", "1"):
        raise DataError(
            f"holds colours or more than 8 bits (Pillow's mode {mode}), not class indices",
            where=str(path),
            fix="use the data set's index masks: 8 bits, one channel or a palette",
        )
    if mode == "L" and stored_bits < 8:
        pixels = pixels // (255 // (2**stored_bits - 1))  # Pillow stretches grey of 2 and 4 bits to 0..255
    return pixels.astype(np.uint8)


def mask_size(path: Path) -> Size | None:
    """Return height and width of a mask from its header alone, None where there is no such PNG."""
    try:
        with path.open("rb") as file:
            head = file.read(24)
    except OSError:
        return None
    if len(head) < 24 or head[:8] != b"\x89PNG\r\n\x1a\n":
        return None
    return int.from_bytes(head[20:24], "big"), int.from_bytes(head[16:20], "big")


def encode(codes: NDArray[np.uint8], table: Mapping[int, int], path: Path, meaning: str) -> NDArray[np.uint8]:
    """Translate the codes of a file into class indices and 255.

    Args:
        codes: uint8 of any shape.
        table: Class index or 255 of every code that may occur.
        path: The file, for messages.
        meaning: What codes are allowed, for messages.

    Raises:
        DataError: If the file holds a code without an entry; the error names it.
    """
    lut = np.full(256, UNKNOWN, dtype=np.uint8)
    lut[list(table)] = list(table.values())
    encoded = lut[codes]
    if (encoded == UNKNOWN).any():
        wrong = sorted(set(np.unique(codes).tolist()) - set(table))
        shown = ", ".join(map(str, wrong[:5])) + (", ..." if len(wrong) > 5 else "")
        raise DataError(
            f"holds {shown}; {meaning}", where=str(path), fix="the file belongs to another data set, or is damaged"
        )
    return encoded


def check_size(mask: NDArray[np.uint8], size: Size, path: Path, picture: Path) -> NDArray[np.uint8]:
    """Return a mask `h w` unchanged.

    Raises:
        DataError: If it has another size than its picture.
    """
    if mask.shape != size:
        raise DataError(
            f"the mask is {mask.shape[0]} x {mask.shape[1]} pixels, its picture {size[0]} x {size[1]}",
            where=str(path),
            fix=f"download both again; the picture is {picture}",
        )
    return mask


def identity(indices: Sequence[int]) -> dict[int, int]:
    """Return the table of codes that are class indices already, and 255."""
    return {index: index for index in (*indices, 255)}


def _bit_depth(path: Path) -> int:
    """Return the bits per sample of a PNG."""
    with path.open("rb") as file:
        head = file.read(25)
    return head[24]
