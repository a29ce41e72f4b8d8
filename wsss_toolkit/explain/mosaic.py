"""Many small pictures as one: rows and columns of cells with gaps, so that a figure needs one axes for all."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.float32]

CELL = 160
"""Longest side of a cell in pixels; larger maps are averaged down, smaller ones repeat their pixels."""


def cell_size(height: int, width: int) -> tuple[int, int]:
    """Return height and width in pixels of a cell that shows a map of this size."""
    scale = CELL / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def tile(maps: Floats, size: tuple[int, int], gap: int = 4) -> Floats:
    """Lay maps `r c h w` out as one array of cells, NaN in the gaps and where maps are; sizes are in pixels.

    Returns:
        float32 of ``r (height + gap) - gap`` rows and ``c (width + gap) - gap`` columns.
    """
    rows, columns, *_ = maps.shape
    height, width = size
    board = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap), np.nan, np.float32)
    for row in range(rows):
        for column in range(columns):
            top, left = row * (height + gap), column * (width + gap)
            board[top : top + height, left : left + width] = _fitted(maps[row, column], size)
    return board


def relative(maps: Floats, axis: tuple[int, ...] = (-2, -1)) -> Floats:
    """Divide maps by their largest value over some axes, so that they fill 0..1; maps of zeros stay."""
    filled = np.where(np.isnan(maps), 0, maps)
    highest = filled.max(axis=axis, keepdims=True, initial=0)
    return np.asarray(maps / np.where(highest > 0, highest, 1), np.float32)


def _fitted(values: Floats, size: tuple[int, int]) -> Floats:
    if np.isnan(values).all():
        return np.full(size, np.nan, np.float32)
    shrinking = values.shape[0] > size[0] or values.shape[1] > size[1]
    how = Image.Resampling.BOX if shrinking else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(np.ascontiguousarray(values, np.float32)).resize(size[::-1], how))
