"""Opens pictures (PNG, JPEG, TIFF, BMP) as scenes of one frame, upright and in red, green and blue."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wsss_adapters.endoscopy.frame_scene import FrameScene
from wsss_adapters.endoscopy.frame_source import MAX_PIXELS, FrameSource
from wsss_adapters.endoscopy.quiet import quiet
from wsss_toolkit.domain import ChannelTable
from wsss_toolkit.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "MPO")
"""What Pillow may take a picture for; MPO is JPEG as some cameras write it."""


class PictureFrames:
    """One decoded picture; see `wsss_adapters.endoscopy.frame_scene.Frames`.

    Args:
        pixels: uint8 `h w 3`.
        there: bool `h w`: False where the picture is fully transparent; None where it is nowhere.
        notices: What the user should know.
    """

    count = 1

    def __init__(
        self, pixels: NDArray[np.uint8], there: NDArray[np.bool_] | None, notices: tuple[str, ...] = ()
    ) -> None:
        self.rows, self.columns = pixels.shape[:2]
        self.notices = notices
        self._pixels, self._there = pixels, there

    def frame(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None]:
        """Return the picture, whose index is 0."""
        return self._pixels, self._there


@contextmanager
def open_picture_scene(source: FrameSource, channels: ChannelTable, *, mask_borders: bool) -> Iterator[FrameScene]:
    """Open a picture; its EXIF orientation is applied, its colour profile is not.

    Args:
        source: The file.
        channels: The bands to deliver.
        mask_borders: Whether pixels outside the endoscope's field of view count as missing.

    Raises:
        DataError: If it cannot be read, or is too large.
    """
    yield FrameScene(source, channels, _read(source.path, source.shown), mask_borders=mask_borders)


def _read(path: Path, where: str) -> PictureFrames:
    from PIL import Image, ImageOps

    try:
        with quiet("PIL"):  # remarks on metadata, and on sizes that are checked below
            with Image.open(path, formats=FORMATS) as picture:
                if picture.width * picture.height > MAX_PIXELS:
                    raise _too_large(f"{picture.height} x {picture.width} pixels", where)
                count = int(getattr(picture, "n_frames", 1)) if picture.format != "MPO" else 1
                upright = ImageOps.exif_transpose(picture)
                pixels, there = _rgb(upright, where)
    except Image.DecompressionBombError:
        raise _too_large("far too large", where) from None
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
    return PictureFrames(pixels, there, notice)


def _too_large(size: str, where: str) -> DataError:
    return DataError(f"is {size}; a frame has at most {MAX_PIXELS}", where=where, fix="cut it into smaller pictures")


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
