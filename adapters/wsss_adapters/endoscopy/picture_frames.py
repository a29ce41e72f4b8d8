"""Opens pictures (PNG, JPEG, TIFF, BMP) as scenes of one frame, upright and in red, green and blue."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from wsss_adapters.frames.scene import MAX_PIXELS, FrameScene, FrameSource
from wsss_adapters.pictures.decoding import Decoded, decode_picture
from wsss_toolkit.domain import ChannelTable


class PictureFrames:
    """One decoded picture; see `wsss_adapters.frames.scene.Frames`.

    Args:
        picture: Its pixels.
    """

    count = 1

    def __init__(self, picture: Decoded) -> None:
        self.rows, self.columns = picture.pixels.shape[:2]
        self.notices = picture.notices
        self._picture = picture

    def frame(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None]:
        """Return the picture, whose index is 0."""
        return self._picture.pixels, self._picture.there


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
    frames = PictureFrames(decode_picture(source.path, source.shown, MAX_PIXELS))
    yield FrameScene(source, channels, frames, mask_borders=mask_borders)
