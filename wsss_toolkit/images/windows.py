"""Where overlapping windows lie, and how much a window counts at each of its pixels."""

from dataclasses import dataclass

import torch
from torch import Tensor

from wsss_toolkit.domain import Window


@dataclass(frozen=True, slots=True)
class WindowGrid:
    """Square windows that overlap and together cover an image or a scene.

    Windows start at multiples of the stride; the last of each row and column is moved back so that it ends with
    the scene. Scenes smaller than a window have windows as small as they are.

    >>> grid = WindowGrid(100, 64, 64, 0.5)
    >>> grid.rows, grid.columns
    ((0, 32, 36), (0,))
    >>> grid.rows_for(0, 10)
    (0,)
    """

    height: int
    """Rows of the scene."""
    width: int
    """Columns of the scene."""
    side: int
    """Side of a window in pixels."""
    overlap: float
    """Share of a window that it has in common with the next, from 0 to below 1."""
    offset: int = 0
    """Rows and columns by which all windows but the first are moved; for measuring seams."""

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


def hann(length: int, device: torch.device) -> Tensor:
    """Return the weights of a window along one axis, float32 `length`.

    The Hann function ``sin^2(pi (k + 1/2) / n)``, sampled at pixel centres: positive everywhere, and the windows of an
    overlap of one half add up to 1.

    >>> weights = hann(4, torch.device("cpu"))
    >>> torch.allclose(weights[2:] + weights[:2], torch.ones(2))
    True
    """
    positions = (torch.arange(length, dtype=torch.float64, device=device) + 0.5) / length
    return torch.sin(torch.pi * positions).square().float()


def hann_window(height: int, width: int, device: torch.device) -> Tensor:
    """Return how much a window counts at each of its pixels, float32 `h w`: most in its middle, above 0 everywhere."""
    return hann(height, device)[:, None] * hann(width, device)[None, :]
