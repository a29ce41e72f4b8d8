"""Crops of pictures: windows by key, in a grid or at random places."""

import hashlib
from collections.abc import Iterator

import numpy as np

from wsss_adapters.geotiff.sites import crop_windows
from wsss_toolkit.domain import Window


def crop_keys(key: str, height: int, width: int, side: int, number: int | None) -> Iterator[tuple[str, Window]]:
    """Yield the crops of a picture with their keys ``KEY_r000_c112``.

    Args:
        key: The picture's.
        height: Rows of the picture.
        width: Columns of the picture.
        side: Side of the square crops in pixels; a picture that is smaller has none.
        number: So many at random places, which depend on nothing but the key; None for all of a grid.
    """
    windows = crop_windows(height, width, side) if number is None else _drawn(key, height, width, side, number)
    for window in windows:
        yield f"{key}_r{window.row:03d}_c{window.column:03d}", window


def _drawn(key: str, height: int, width: int, side: int, number: int) -> Iterator[Window]:
    """Draw different places, as many as there are."""
    rows, columns = height - side + 1, width - side + 1
    if rows < 1 or columns < 1:
        return
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")
    drawn = np.random.default_rng(seed).choice(rows * columns, size=min(number, rows * columns), replace=False)
    for place in sorted(int(place) for place in drawn):
        yield Window(place // columns, place % columns, side, side)
