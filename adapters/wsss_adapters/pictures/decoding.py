"""Decodes pictures in red, green and blue, for all data sets with the same limits and errors.

They are PNG, JPEG, TIFF, BMP, GIF, WebP, AVIF or JPEG 2000 by their contents, whatever they are called.

Pictures are turned as their EXIF orientation says. Published data sets outline the pixels as they are stored: where one
states the size of an image's annotation, it decides, see `decode_picture`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from wsss_adapters.pictures.kinds import CONVERTIBLE, FORMATS, codec_missing, kind_of
from wsss_adapters.quiet import quiet
from wsss_toolkit.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

Size = tuple[int, int]
"""Height and width in pixels."""

Stated = Callable[[], Size | None]
"""Returns the size of an image's annotation, None where nothing states it; asked of pictures that EXIF turns only."""

MAX_PIXELS: Final = 2**27
"""Pixels beyond which a picture is taken for damaged or hostile."""

EXIF_ORIENTATION: Final = 0x0112
AS_STORED, SWAPPED = 1, frozenset({5, 6, 7, 8})
"""The EXIF orientation that changes nothing, and those that swap height and width."""

RULE: Final = "pixels are taken as stored, or upright as EXIF says where only that fits the stated size"


@dataclass(frozen=True, slots=True)
class Decoded:
    """One decoded picture."""

    pixels: NDArray[np.uint8]
    """uint8 `h w 3`: red, green and blue."""
    there: NDArray[np.bool_] | None
    """bool `h w`: False where the picture is fully transparent; None where it is nowhere."""
    notices: tuple[str, ...]
    """What the user should know."""


def decode_picture(
    path: Path,
    where: str | None = None,
    most: int = MAX_PIXELS,
    stated: Stated | None = None,
    *,
    deep: bool = True,
    thumbnail: int | None = None,
) -> Decoded:
    """Decode a picture: turned as its EXIF orientation says, without its colour profile.

    Grey, palette and CMYK pictures become RGB; grey of 16 bits is scaled to 8.

    Args:
        path: The file.
        where: What messages call it; its path if None.
        most: Pixels beyond which it is refused, before it is unpacked.
        stated: For data sets whose annotations refer to pixels as they are stored: the orientation counts only if the
            size that this returns fits the upright picture alone.
        deep: Whether grey of 16 bits is read, and not refused.
        thumbnail: The side in pixels that is enough, in grey: JPEG is then decoded to a fraction of its size at once.

    Raises:
        DataError: If it cannot be read, is too large or too deep, or its orientation leaves no way to fit the stated
            size.
    """
    from PIL import ImageOps

    with open_picture(path, where, most) as picture:
        if thumbnail is not None:
            picture.draft("L", (thumbnail, thumbnail))
        count = int(getattr(picture, "n_frames", 1)) if picture.format != "MPO" else 1
        if not deep and picture.mode.startswith("I"):
            raise DataError("holds samples of more than 8 bits", where=where or str(path), fix="convert it to 8 bits")
        turned = ImageOps.exif_transpose(picture) if _is_turned(picture, path, stated) else picture
        pixels, there = _rgb(turned, where or str(path))
    notice = (f"holds {count} pictures, the first of which is taken",) if count > 1 else ()
    return Decoded(pixels, there, notice)


def picture_size(path: Path, stated: Stated | None = None) -> Size:
    """Return height and width of a picture as `decode_picture` returns it, from its header.

    Raises:
        DataError: If the file is missing, empty or no picture, or does not fit the stated size.
    """
    with open_picture(path) as picture:
        swapped = orientation(picture) in SWAPPED and _is_turned(picture, path, stated)
        return (picture.width, picture.height) if swapped else (picture.height, picture.width)


@contextmanager
def open_picture(path: Path, where: str | None = None, most: int = MAX_PIXELS) -> Iterator["Image.Image"]:
    """Open a picture with Pillow; whatever its bytes make Pillow raise, also while it is open, names the file.

    Messages hold nothing of Pillow's, which may quote a path that names a patient, and call the file what `where` says.

    Raises:
        DataError: If the file is missing, empty, damaged, no picture or of more than `most` pixels.
    """
    from PIL import Image

    shown = where or str(path)
    check_there(path, shown)
    Image.init()
    formats = tuple(name for name in FORMATS if name in Image.OPEN)  # some builds lack a name: MPO comes with JPEG
    try:
        with quiet("PIL"), Image.open(path, formats=formats) as picture:
            if picture.width * picture.height > most:
                raise _too_large(f"is {picture.height} x {picture.width} pixels", shown, most)
            if picture.format == "PNG":
                _require_checksums(path)
            yield picture
    except DataError:
        raise
    except Image.DecompressionBombError:
        size = _stated_size(path)
        what = f"is {size[0]} x {size[1]} pixels" if size else "has far too many pixels"
        raise _too_large(what, shown, most) from None
    except Exception as error:  # Pillow raises many kinds where bytes make no sense
        raise _unreadable(error, path, shown) from None


def _require_checksums(path: Path) -> None:
    """Raise what Pillow raises over a PNG whose bytes do not fit its checksums, which it decodes without a word."""
    from PIL import Image

    with Image.open(path, formats=("PNG",)) as picture:
        picture.verify()


def _unreadable(error: Exception, path: Path, shown: str) -> DataError:
    """Return the error for a file that Pillow does not read, by what its first bytes say it is."""
    fix = "copy or download it again, or move it away"
    if isinstance(error, OSError) and error.strerror:
        return DataError(f"cannot be read ({error.strerror})", where=shown, fix=fix)
    kind = kind_of(path)
    if kind is not None and codec_missing(kind):
        fix = "install a Pillow that can, or convert it to PNG"
        return DataError(f"is a {kind} picture, which this build of Pillow cannot read", where=shown, fix=fix)
    if kind is not None and kind not in FORMATS.values():
        article = "an" if kind[0] in "AH" and kind != "HEIC" else "a"
        fix = "convert it to PNG, or move it away" if kind in CONVERTIBLE else fix
        return DataError(f"is {article} {kind} file, no picture that is read", where=shown, fix=fix)
    return DataError("is no readable picture, truncated or damaged", where=shown, fix=fix)


def _stated_size(path: Path) -> Size | None:
    """Return the height and width that a header states, however large; None where Pillow finds none."""
    from PIL import Image

    for name in FORMATS:
        if name not in Image.OPEN:
            continue
        factory, accept = Image.OPEN[name]
        try:
            with path.open("rb") as file:
                start = file.read(16)
            if accept is None or accept(start) is True:
                with path.open("rb") as file, factory(file, str(path)) as picture:  # Image.open would look at the size
                    return picture.height, picture.width
        except Exception:  # another kind of picture, or damaged
            continue
    return None


def check_there(path: Path, where: str | None = None) -> None:
    """Raise a DataError for a file that is missing or empty."""
    if not path.is_file():
        raise DataError("no such file", where=where or str(path), fix="copy, unpack or download it again")
    if not path.stat().st_size:
        fix = "copy or download it again, or move it away"
        raise DataError("is empty (0 bytes)", where=where or str(path), fix=fix)


def orientation(picture: "Image.Image") -> int:
    """Return the EXIF orientation, `AS_STORED` where there is none or the metadata are damaged."""
    try:
        value = int(picture.getexif().get(EXIF_ORIENTATION, AS_STORED))
    except Exception:  # Pillow raises many kinds; pixels do not depend on metadata that make no sense
        return AS_STORED
    return value if value in range(1, 9) else AS_STORED


def _is_turned(picture: "Image.Image", path: Path, stated: Stated | None) -> bool:
    """Tell whether the EXIF orientation is applied; refuse a picture that fits the stated size in neither way."""
    turn = orientation(picture)
    if turn == AS_STORED or stated is None:
        return turn != AS_STORED
    size, stored = stated(), (picture.height, picture.width)
    if size is None or size == stored:
        return False
    if turn in SWAPPED and size == stored[::-1]:
        return True
    what = f"is {stored[0]} x {stored[1]} pixels and turned by EXIF, its annotation {size[0]} x {size[1]}; {RULE}"
    raise DataError(what, where=str(path), fix="copy or download picture and annotation again")


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
