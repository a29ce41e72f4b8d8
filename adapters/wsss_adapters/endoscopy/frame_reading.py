"""Frames and masks from picture files."""

from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from wsss_toolkit.domain import IGNORE_INDEX, ClassTable
from wsss_toolkit.errors import DataError

Mode = Literal["RGB", "grey", "index"]
"""Whether a picture is read as colours, as grey values or as class indices."""

EXIF_ORIENTATION: Final = 0x0112
BINARY_THRESHOLD: Final = 128
"""Binary masks are "yes" from this grey value on: JPEG leaves neither black nor white exact."""


def read_frame(path: Path) -> NDArray[np.uint8]:
    """Read a picture upright, as its EXIF orientation says: uint8 `h w 3`, red, green and blue.

    Raises:
        DataError: If the file is missing, damaged or no picture.
    """
    return _read(path, "RGB")


def read_indices(path: Path) -> NDArray[np.uint8]:
    """Read an index mask: uint8 `h w`; the indices of a palette picture, else the values of its only channel.

    Raises:
        DataError: If the file is missing, damaged, a JPEG, or has colours or values above 255.
    """
    if path.suffix.lower() in (".jpg", ".jpeg"):
        raise DataError(
            "index masks cannot be JPEG, which changes their values",
            where=str(path),
            fix="use PNG, or set data.mask_class if the mask is black and white",
        )
    return _read(path, "index")


def read_binary(path: Path, index: int, background: int) -> NDArray[np.uint8]:
    """Read a black and white mask of one class: uint8 `h w`, `index` where it is grey 128 or brighter.

    Raises:
        DataError: If the file is missing, damaged or no picture.
    """
    return np.where(_read(path, "grey") >= BINARY_THRESHOLD, index, background).astype(np.uint8)


def frame_size(path: Path) -> tuple[int, int]:
    """Return height and width of a picture as `read_frame` returns it, from its header.

    Raises:
        DataError: If the file is missing or no picture.
    """
    from PIL import Image, UnidentifiedImageError

    _check_there(path)
    try:
        with Image.open(path) as picture:
            width, height = picture.size
            turned = picture.getexif().get(EXIF_ORIENTATION, 1) in (5, 6, 7, 8)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise _unreadable(path, error) from error
    return (width, height) if turned else (height, width)


def check_indices(mask: NDArray[np.uint8], classes: ClassTable, path: Path) -> NDArray[np.uint8]:
    """Return an index mask `h w` unchanged.

    Raises:
        DataError: If it holds values other than class indices and 255, or looks black and white.
    """
    number = len(classes.names)
    found = np.flatnonzero(np.bincount(mask.ravel(), minlength=256))
    unknown = found[(found >= number) & (found != IGNORE_INDEX)]
    if unknown.size:
        shown = ", ".join(map(str, unknown[:5])) + (", ..." if unknown.size > 5 else "")
        raise DataError(
            f"mask values {shown} are neither classes (0 to {number - 1}) nor 255",
            where=str(path),
            fix="list all classes in data.classes, or set data.mask_class if the mask is black and white",
        )
    if number == 2 and found.tolist() == [0, IGNORE_INDEX]:
        # Of two classes, one never drawn beside unlabelled pixels is less likely than white for "yes".
        raise DataError(
            "holds only 0 and 255: read as indices, all of 255 is unlabelled",
            where=str(path),
            fix=f"set data.mask_class to {classes.names[1]!r} if 255 means that class",
        )
    return mask


def _read(path: Path, mode: Mode) -> NDArray[np.uint8]:
    from wsss_adapters.endoscopy.monai_reading import picture_reader

    _check_there(path)
    try:
        pixels = picture_reader(mode)({"picture": path})["picture"]
    except Exception as error:  # MONAI's Compose wraps what Pillow raises in RuntimeError, and Pillow raises many kinds
        raise _unreadable(path, error.__cause__ or error) from error
    array: NDArray[np.uint8] = pixels.numpy()
    return np.ascontiguousarray(array.transpose(1, 2, 0) if mode == "RGB" else array[0])


def _check_there(path: Path) -> None:
    if not path.is_file():
        raise DataError("no such file", where=str(path), fix="copy or download it again")
    if not path.stat().st_size:
        raise DataError("is empty (0 bytes)", where=str(path), fix="copy or download it again, or move it away")


def _unreadable(path: Path, cause: BaseException) -> DataError:
    return DataError(f"cannot read ({cause})", where=str(path), fix="copy or download it again, or move it away")
