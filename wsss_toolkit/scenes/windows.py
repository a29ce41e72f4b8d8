"""Where the windows of a scene lie, and the blocks of rows that its masks are written in."""

from collections.abc import Iterator
from dataclasses import dataclass

from wsss_toolkit.domain import Window


@dataclass(frozen=True, slots=True)
class WindowGrid:
    """Square windows that overlap and together cover a scene.

    Windows start at multiples of the stride; the last of each row and column is moved back so that it ends with
    the scene. Scenes smaller than a window have windows as small as they are.

    Attributes:
        height: Rows of the scene.
        width: Columns of the scene.
        side: Side of a window in pixels.
        overlap: Share of a window that it has in common with the next, from 0 to below 1.
        offset: Rows and columns by which all windows but the first are moved; for measuring seams.
    """

    height: int
    width: int
    side: int
    overlap: float
    offset: int = 0

    @property
    def stride(self) -> int:
        """Distance of neighbouring windows in pixels."""
        return max(1, round(self.side * (1 - self.overlap)))

    @property
    def rows(self) -> tuple[int, ...]:
        """First rows of the windows, ascending."""
        return _starts(self.height, self.side, self.stride, self.offset)

    @property
    def columns(self) -> tuple[int, ...]:
        """First columns of the windows, ascending."""
        return _starts(self.width, self.side, self.stride, self.offset)

    def window(self, row: int, column: int) -> Window:
        """Return the window that starts there."""
        return Window(row, column, min(self.side, self.height), min(self.side, self.width))

    def rows_for(self, start: int, stop: int) -> tuple[int, ...]:
        """Return the first rows of the windows that see a pixel of the rows from `start` to before `stop`."""
        return tuple(row for row in self.rows if row < stop and row + self.side > start)


def _starts(extent: int, side: int, stride: int, offset: int) -> tuple[int, ...]:
    last = max(0, extent - side)
    inner = {start for start in range(offset, last, stride) if start < last}
    return tuple(sorted({0, *inner, last}))


def row_blocks(height: int, rows: int) -> Iterator[tuple[int, int]]:
    """Yield first and end row of the blocks that a scene is written in; the last may be lower."""
    for start in range(0, height, rows):
        yield start, min(start + rows, height)


def block_rows(grid: WindowGrid) -> int:
    """Return the height of a block: many strides, because windows at its borders are computed for both sides.

    With an overlap of one half a block of 8 window heights costs 1/16 more than its share of a whole scene.
    """
    return 8 * grid.side
