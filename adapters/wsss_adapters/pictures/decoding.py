"""Decodes pictures (PNG, JPEG, TIFF, BMP) upright, in red, green and blue."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from wsss_adapters.quiet import quiet
from wsss_toolkit.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

FORMATS: Final = ("PNG", "JPEG", "TIFF", "BMP", "MPO")
"""What Pillow may take a picture for; MPO is JPEG as some cameras write it."""

MAX_PIXELS: Final = 2**27
"""Pixels beyond which a picture is taken for damaged or hostile."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """One decoded picture.

    Attributes:
        pixels: uint8 `h w 3`: red, green and blue.
        there: bool `h w`: False where the picture is fully transparent; None where it is nowhere.
        notices: What the user should know.
    """

    pixels: NDArray[np.uint8]
    there: NDArray[np.bool_] | None
    notices: tuple[str, ...]


def decode_picture(path: Path, where: str, most: int = MAX_PIXELS) -> Decoded:
    """Decode a picture: turned as its EXIF orientation says, without its colour profile.

    Grey, palette and CMYK pictures become RGB; grey of 16 bits is scaled to 8.

    Args:
        path: The file.
        where: What messages call it.
        most: Pixels beyond which it is refused, before it is unpacked.

    Raises:
        DataError: If it cannot be read, or is too large.
    """
    from PIL import Image, ImageOps

    try:
        with quiet("PIL"):  # remarks on metadata, and on sizes that are checked below
            with Image.open(path, formats=FORMATS) as picture:
                if picture.width * picture.height > most:
                    raise _too_large(f"is {picture.height} x {picture.width} pixels", where, most)
                count = int(getattr(picture, "n_frames", 1)) if picture.format != "MPO" else 1
                pixels, there = _rgb(ImageOps.exif_transpose(picture), where)
    except Image.DecompressionBombError:
        raise _too_large("has far too many pixels", where, most) from None
    except OSError as error:
        what = (
            f"cannot be read ({error.strerror})" if error.strerror else "is no readable picture, truncated or damaged"
        )
        raise DataError(what, where=where, fix="copy it again") from None
    except DataError:
        raise
    except Exception:  # Pillow raises many kinds where bytes make no sense
        raise DataError("is no readable picture, damaged", where=where, fix="copy it again") from None
    notice = (f"holds {count} pictures, the first of which is taken",) if count > 1 else ()
    return Decoded(pixels, there, notice)


def _too_large(size: str, where: str, most: int) -> DataError:
    return DataError(f"{size}; at most {most} are read", where=where, fix="cut it into smaller pictures")


def _rgb(picture: "Image.Image", where: str) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None]:
    """Return red, green and blue `h w 3`, and where the picture is not fully transparent."""
    if picture.mode == "F":
        raise DataError("holds floating-point numbers, not a picture", where=where, fix="convert it to 8 bits")
    if picture.mode.startswith("I"):
        wide = np.asarray(picture).astype(np.int64)
        if wide.min() < 0 or wide.max() > 65535:
            raise DataError("has more than 16 bits per sample", where=where, fix="convert it to 8 bits")
        grey = (wide * 255 + 32767) // 65535
        return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=-1), None
    there = None
    if picture.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in picture.info:
        rgba = picture.convert("RGBA")
        visible = np.asarray(rgba)[..., 3] > 0
        there = None if visible.all() else visible
        picture = rgba
    return np.asarray(picture.convert("RGB")), there
