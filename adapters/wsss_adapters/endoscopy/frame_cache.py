"""Decoded frames with their field of view, kept in memory where a recipe asks for it."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsss_adapters.pictures.decoding import decode_picture

Decoded = tuple[NDArray[np.uint8], NDArray[np.bool_]]
"""Colours `h w 3`, and which pixels are inside the field of view `h w`; neither may be written to."""


class FrameCache:
    """Reads frames, and keeps the first ones until `room_mb` are full; 0 keeps nothing.

    MONAI's `CacheDataset` counts images and reads them all at once; this counts bytes and reads what is asked for.
    Without `borders`, all pixels are inside the field of view.
    """

    def __init__(self, room_mb: int, *, borders: bool) -> None:
        self._room, self._borders = room_mb * 2**20, borders
        self._kept: dict[Path, Decoded] = {}

    def read(self, path: Path) -> Decoded:
        """Return a frame.

        Raises:
            DataError: If it cannot be read.
        """
        if path in self._kept:
            return self._kept[path]
        pixels = decode_picture(path).pixels
        if self._borders:
            from wsss_adapters.frames.field_of_view import field_of_view

            inside = field_of_view(pixels)
        else:
            inside = np.ones(pixels.shape[:2], dtype=bool)
        pixels.flags.writeable = inside.flags.writeable = False
        size = pixels.nbytes + inside.nbytes
        if size <= self._room:
            self._room -= size
            self._kept[path] = (pixels, inside)
        return pixels, inside
