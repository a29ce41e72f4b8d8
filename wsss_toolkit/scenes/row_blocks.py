"""The blocks of rows that a scene's masks are written in."""

from collections.abc import Iterator

from wsss_toolkit.images.windows import WindowGrid


def row_blocks(height: int, rows: int) -> Iterator[tuple[int, int]]:
    """Yield first and end row of the blocks that a scene is written in; the last may be lower."""
    for start in range(0, height, rows):
        yield start, min(start + rows, height)


def block_rows(grid: WindowGrid) -> int:
    """Return the height of a block: many strides, because windows at its borders are computed for both sides.

    With an overlap of one half a block of 8 window heights costs 1/16 more than its share of a whole scene.
    """
    return 8 * grid.side
