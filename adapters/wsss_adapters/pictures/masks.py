"""Reads masks that are pictures of numbers: palette or one channel, or black and white for one class."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsss_adapters.geotiff.reading import encode_labels
from wsss_adapters.pictures.decoding import SWAPPED, Size, open_picture, orientation
from wsss_adapters.pictures.kinds import FORMATS, LOSSY
from wsss_adapters.pictures.mask_colors import BY_COLOR
from wsss_adapters.pictures.mask_values import is_yes
from wsss_toolkit.domain import IGNORE_INDEX
from wsss_toolkit.errors import DataError


def read_mask(
    path: Path,
    picture: Path,
    size: Size,
    codes: Mapping[int, int],
    ignored: Collection[int] = (),
    *,
    as_stored: bool = False,
    fix: str | None = None,
) -> NDArray[np.uint8]:
    """Read a mask as class indices and 255: uint8 `h w`.

    Args:
        path: The mask.
        picture: Its picture, for errors.
        size: The picture's height and width.
        codes: Class index of each value.
        ignored: Values that become 255.
        as_stored: See `read_codes`.
        fix: What to do about values that are in neither; None lists those that are known.

    Raises:
        DataError: If it cannot be read, is of another size, or holds a value that is in neither.
    """
    values = read_codes(path, as_stored=as_stored)
    return encode_mask(values, path, picture, size, {**dict.fromkeys(ignored, IGNORE_INDEX), **codes}, fix)


def encode_mask(
    values: NDArray[Any], path: Path, picture: Path, size: Size, codes: Mapping[int, int], fix: str | None = None
) -> NDArray[np.uint8]:
    """Turn the values of a mask `h w` into class indices and 255; see `read_mask`.

    Raises:
        DataError: If they are of another size than the picture, or one has no code.
    """
    check_size((values.shape[0], values.shape[1]), path, size, picture)
    return encode_labels(values, codes, (), path, fix)


def read_binary_mask(path: Path, picture: Path, size: Size, index: int, background: int) -> NDArray[np.uint8]:
    """Read a black and white mask of one class, or one of 0 and 1: uint8 `h w`, `index` where it is white or 1.

    White is grey from 128 on; of more than 8 bits, or of fractions, half of the largest value.

    Raises:
        DataError: If it cannot be read, is of another size than its picture, or another kind of mask.
    """
    from PIL import ImageOps

    with open_picture(path) as opened:
        mask = ImageOps.exif_transpose(opened)
        check_size((mask.height, mask.width), path, size, picture)
        yes = is_yes(mask, path, lossy=opened.format in LOSSY)
    return np.where(yes, index, background).astype(np.uint8)


def read_codes(path: Path, *, as_stored: bool = False) -> NDArray[Any]:
    """Read a mask's values: whole numbers `h w`; the indices of a palette, else the values of its only channel.

    Under `as_stored`, the file's own grid and samples count, as in published data sets; otherwise the mask is what
    programs show, turned as its EXIF orientation says and grey of 2 or 4 bits stretched to 0..255.

    Raises:
        DataError: If the file is missing, damaged, a JPEG, or has colours or fractions.
    """
    from PIL import ImageOps

    with open_picture(path) as mask:
        if mask.format in LOSSY:
            kind = FORMATS[mask.format]
            raise DataError(f"masks cannot be {kind}, which changes their values", where=str(path), fix="use PNG")
        values = np.asarray(mask if as_stored else ImageOps.exif_transpose(mask))
        if as_stored and mask.format == "PNG" and mask.mode == "L":
            values = values // (255 // (2 ** min(8, _bit_depth(path)) - 1))
    if values.ndim == 3:
        # Grey stored in colours is a habit of drawing programs; an opaque fourth channel says nothing.
        colors = values[..., :3] if values.shape[2] >= 3 else values[..., :1]
        if (colors != colors[..., :1]).any():
            fix = f"save it as palette or grey PNG, or, in a folder of pictures, {BY_COLOR}"
            raise DataError("has colours; masks hold one number for each pixel", where=str(path), fix=fix)
        values = colors[..., 0]
    if values.dtype == np.uint8:
        return values
    whole = values.astype(np.int32)
    if not np.array_equal(whole, values):
        raise DataError("holds fractions; masks hold whole numbers", where=str(path))
    return whole


def mask_size(path: Path, size: Size | None = None) -> Size | None:
    """Return height and width of a mask from its header alone, None where it cannot be read.

    It is taken as stored, but where its EXIF orientation makes it fit the size of its picture, if that is given.
    """
    try:
        with open_picture(path) as mask:
            own = mask.height, mask.width
            # Pillow decodes a whole PNG to find its orientation: it is asked for where it could mend something.
            return own[::-1] if size not in (None, own) and orientation(mask) in SWAPPED else own
    except DataError:
        return None


def check_size(own: Size | None, path: Path, size: Size, picture: Path) -> None:
    """Raise a DataError for a mask of another size than its picture; None, of an unreadable header, passes."""
    if own not in (None, size):
        fix = f"resize it to the size of {picture.name}, by the nearest pixel"
        if own == size[::-1]:
            fix = f"turn it as EXIF turns {picture.name}, or save both upright"
        raise DataError(f"is {own[0]} x {own[1]} pixels, its picture {size[0]} x {size[1]}", where=str(path), fix=fix)


def _bit_depth(path: Path) -> int:
    """Return the bits per sample of a PNG: byte 24 of its header."""
    with path.open("rb") as file:
        return file.read(25)[24]
