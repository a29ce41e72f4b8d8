"""Frames and masks from picture files, read by MONAI."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsss_toolkit.domain import IGNORE_INDEX
from wsss_toolkit.errors import DataError

BINARY_THRESHOLD = 128
"""Binary masks are "yes" from this grey value on: JPEG leaves neither black nor white exact."""


def read_frame(path: Path) -> NDArray[np.uint8]:
    """Read a picture upright, as its EXIF orientation says: uint8 `h w 3`, red, green and blue.

    Raises:
        DataError: If the file is missing, damaged or no picture.
    """
    return _read(path, "RGB")


def read_grey(path: Path) -> NDArray[np.uint8]:
    """Read a mask: uint8 `h w`; the indices of a palette picture, else grey values.

    Raises:
        DataError: If the file is missing, damaged or no picture of one channel.
    """
    return _read(path, "index")


def binary_mask(grey: NDArray[np.uint8], index: int, background: int) -> NDArray[np.uint8]:
    """Turn grey values `h w` into a mask of one class."""
    return np.where(grey >= BINARY_THRESHOLD, index, background).astype(np.uint8)


def check_indices(mask: NDArray[np.uint8], classes: int, path: Path) -> NDArray[np.uint8]:
    """Return an index mask `h w` unchanged.

    Raises:
        DataError: If it holds values other than class indices and 255.
    """
    known = np.zeros(256, dtype=bool)
    known[:classes] = known[IGNORE_INDEX] = True
    found = np.bincount(mask.ravel(), minlength=256)
    unknown = np.flatnonzero((found > 0) & ~known)
    if unknown.size:
        shown = ", ".join(map(str, unknown[:5])) + (", ..." if unknown.size > 5 else "")
        raise DataError(
            f"mask values {shown} are neither classes (0 to {classes - 1}) nor 255",
            where=str(path),
            fix="list all classes in data.classes, or set data.mask_classes if the mask is black and white",
        )
    return mask


def _read(path: Path, mode: str) -> NDArray[np.uint8]:
    if not path.is_file():
        raise DataError("no such file", where=str(path))
    if not path.stat().st_size:
        raise DataError("is empty (0 bytes)", where=str(path), fix="copy or download it again")
    try:
        read: dict[str, Any] = _transform(mode)({"picture": str(path)})
    except Exception as error:  # MONAI wraps what Pillow raises in RuntimeError, and Pillow raises many kinds
        cause = error.__cause__ or error
        raise DataError(f"cannot read ({cause})", where=str(path), fix="copy or download it again") from error
    pixels = np.asarray(read["picture"])
    return np.ascontiguousarray(pixels.transpose(1, 2, 0) if mode == "RGB" else pixels[0])


@lru_cache(maxsize=2)
def _transform(mode: str) -> Any:
    """Return MONAI's dictionary transform that reads `picture` as `c h w`, upright."""
    from monai.data import PILReader
    from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged
    from PIL import Image, ImageOps

    def convert(picture: Image.Image) -> Image.Image:
        upright = ImageOps.exif_transpose(picture)
        if mode == "RGB":
            return upright.convert("RGB")
        if upright.mode in ("1", "L", "P"):
            # A bilevel picture would come as 0 and 1: read as indices, all of it background or class 1.
            return upright.convert("L") if upright.mode == "1" else upright
        bands = upright.convert("RGB").split()
        if any(band.tobytes() != bands[0].tobytes() for band in bands[1:]):
            raise ValueError(f"a mask has one channel; this picture is {upright.mode} and has colours")
        return bands[0]

    # MONAI's readers put the width first unless told otherwise.
    reader = PILReader(converter=convert, reverse_indexing=False)
    last = -1 if mode == "RGB" else "no_channel"
    return Compose(
        [
            LoadImaged(keys="picture", reader=reader, dtype=np.uint8, image_only=True),
            EnsureChannelFirstd(keys="picture", channel_dim=last),
        ]
    )
