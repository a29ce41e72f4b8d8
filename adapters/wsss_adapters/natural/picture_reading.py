"""Decodes photographs as red, green and blue in the pixel grid that their data set's annotations refer to.

Data sets outline the pixels as they are stored, and their masks are not rotated; an EXIF orientation is therefore
ignored, unless the size that the data set states for the image fits the upright picture only.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from wsss_toolkit.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

Size = tuple[int, int]
"""Height and width in pixels."""

MAX_PIXELS: Final = 2**27
"""Pixels beyond which a picture is taken for damaged or hostile."""

FORMATS: Final = ("JPEG", "PNG", "MPO", "BMP", "TIFF")
"""What Pillow may take a picture for; MPO is JPEG as some cameras write it."""

EIGHT_BITS: Final = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBX", "RGBA", "RGBa", "CMYK", "YCbCr", "LAB", "HSV")
"""Pillow's modes that turn into 8-bit colours without a choice of range."""

EXIF_ORIENTATION: Final = 0x0112
AS_STORED, TURNED = 1, frozenset({5, 6, 7, 8})
"""The EXIF orientation that changes nothing, and those that swap height and width."""

RULE: Final = "pixels are taken as stored, or upright as EXIF says where only that fits the stated size"


def read_picture(path: Path, stated: Callable[[], Size | None]) -> NDArray[np.uint8]:
    """Read a picture as red, green and blue: uint8 `h w 3`.

    Grey, palette and CMYK pictures become RGB; colour profiles are not applied, transparency is dropped.

    Args:
        path: The file.
        stated: Returns the size that the data set states for the image, None if it states none; asked only of pictures
            with an EXIF orientation.

    Raises:
        DataError: If the file is missing, empty, damaged or no picture of 8 bits, or its EXIF orientation leaves no
            way to fit the stated size.
    """
    from PIL import ImageOps

    with _opened(path) as picture:
        if picture.mode not in EIGHT_BITS:
            raise DataError(
                f"holds samples of more than 8 bits (Pillow's mode {picture.mode})",
                where=str(path),
                fix="convert it to 8 bits, or use the adapter folder",
            )
        picture.load()
        upright = _is_upright(picture, path, stated)
        turned = ImageOps.exif_transpose(picture) if upright else picture
        if turned.mode in ("P", "PA"):
            turned = turned.convert("RGBA")  # an opacity per colour makes Pillow ask for this step
        return np.array(turned.convert("RGB"))


def picture_size(path: Path, stated: Callable[[], Size | None]) -> Size:
    """Return height and width of a picture as `read_picture` returns it, from its header.

    Raises:
        DataError: If the file is missing, empty or no picture, or does not fit the stated size.
    """
    with _opened(path) as picture:
        width, height = picture.size
        swapped = _is_upright(picture, path, stated) and _orientation(picture) in TURNED
    return (width, height) if swapped else (height, width)


def check_there(path: Path) -> None:
    """Refuse a file that is missing or empty.

    Raises:
        DataError: If it is.
    """
    if not path.is_file():
        raise DataError("no such file", where=str(path), fix="the copy is incomplete: unpack or download it again")
    if not path.stat().st_size:
        raise DataError("is empty (0 bytes)", where=str(path), fix="copy or download it again")


@contextmanager
def _opened(path: Path) -> Iterator["Image.Image"]:
    """Open a picture; whatever its bytes make Pillow raise names the file.

    Raises:
        DataError: If the file is missing, empty, damaged or too large.
    """
    from PIL import Image

    check_there(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # remarks on metadata, and on sizes that are checked below
            with Image.open(path, formats=FORMATS) as picture:
                if picture.width * picture.height > MAX_PIXELS:
                    raise _too_large(path, f"{picture.height} x {picture.width} pixels")
                yield picture
    except DataError:
        raise
    except Image.DecompressionBombError as error:
        raise _too_large(path, "far too many pixels") from error
    except Exception as error:  # Pillow raises many kinds where bytes make no sense
        raise DataError(
            f"is no readable picture, truncated or damaged ({error})",
            where=str(path),
            fix="copy or download it again",
        ) from error


def _too_large(path: Path, size: str) -> DataError:
    return DataError(f"has {size}; at most {MAX_PIXELS} are read", where=str(path), fix="cut or shrink the picture")


def _orientation(picture: "Image.Image") -> int:
    """Return the EXIF orientation, `AS_STORED` where there is none or the metadata are damaged."""
    try:
        value = int(picture.getexif().get(EXIF_ORIENTATION, AS_STORED))
    except Exception:  # Pillow raises many kinds; pixels do not depend on metadata that make no sense
        return AS_STORED
    return value if value in range(1, 9) else AS_STORED


def _is_upright(picture: "Image.Image", path: Path, stated: Callable[[], Size | None]) -> bool:
    """Tell whether the EXIF orientation is applied.

    Raises:
        DataError: If neither the stored nor the upright picture has the stated size.
    """
    if _orientation(picture) == AS_STORED:
        return False
    size = stated()
    stored = (picture.height, picture.width)
    if size is None or size == stored:
        return False
    if _orientation(picture) in TURNED and size == stored[::-1]:
        return True
    raise DataError(
        f"is {stored[0]} x {stored[1]} pixels and turned by EXIF, its annotation {size[0]} x {size[1]}; {RULE}",
        where=str(path),
        fix="copy or download picture and annotation again",
    )
