"""A minimum mapping unit: areas of few pixels become part of their largest neighbour."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from wsss_adapters.polygons.components import Block
from wsss_toolkit.domain import IGNORE_INDEX, Layers


def generalised(layers: Sequence[Layers], smallest: int) -> Iterator[Block]:
    """Yield blocks whose areas of fewer than `smallest` pixels are merged into their largest neighbour.

    Each block is sieved together with `smallest` rows above and below it. An area that is cut off by that margin and
    still reaches the block has at least as many pixels as the margin has rows, so none is taken for a small one.

    Args:
        layers: Blocks of rows from top to bottom.
        smallest: Pixels of the smallest area that stays; more than 1.
    """
    from rasterio.features import sieve

    for index, part in enumerate(layers):
        above = _rows(layers, range(index - 1, -1, -1), smallest, last=True)
        below = _rows(layers, range(index + 1, len(layers)), smallest, last=False)
        joined = np.concatenate([*above[::-1], part.mask, *below])
        merged: NDArray[np.uint8] = sieve(joined, smallest, mask=joined != IGNORE_INDEX, connectivity=4)
        start = sum(len(rows) for rows in above)
        rows = merged[start : start + len(part.mask)]
        # Sieving leaves missing pixels alone, and what only they surround.
        yield part.row, np.where(part.mask == IGNORE_INDEX, part.mask, rows), part.confidence


def _rows(layers: Sequence[Layers], order: range, wanted: int, *, last: bool) -> list[NDArray[np.uint8]]:
    """Return the masks of neighbouring blocks, the nearest first, until there are enough rows."""
    found: list[NDArray[np.uint8]] = []
    for index in order:
        mask = layers[index].mask
        left = wanted - sum(len(rows) for rows in found)
        found.append(mask[-left:] if last else mask[:left])
        if left <= len(mask):
            break
    return found
