"""Blends the class scores of overlapping windows, holding no more than one window's height of a scene."""

import torch
from torch import Tensor

from wsss_toolkit.images.windows import hann_window


class RowBlender:
    """Sums weighted scores of windows that arrive row by row, and gives out rows that no later window reaches.

    `side` is the height of the windows in pixels, `width` that of the scene, `top` the first row that is asked for.
    """

    def __init__(self, classes: int, side: int, width: int, device: torch.device, top: int = 0) -> None:
        self.scores = torch.zeros(classes, side, width, device=device)
        self.weights = torch.zeros(side, width, device=device)
        self.valid = torch.zeros(side, width, dtype=torch.bool, device=device)
        self.top = top

    def add(self, row: int, column: int, scores: Tensor, valid: Tensor) -> None:
        """Add a window.

        Args:
            row: The window's first row in the scene, not above the first row that is kept.
            column: The window's first column in the scene.
            scores: Class scores `c h w`, not negative.
            valid: bool `h w`: pixels that hold data; it is the same in every window that sees the pixel.
        """
        height, width = valid.shape
        weight = hann_window(height, width, scores.device)
        rows = slice(row - self.top, row - self.top + height)
        columns = slice(column, column + width)
        self.scores[:, rows, columns] += scores * weight
        self.weights[rows, columns] += weight
        self.valid[rows, columns] |= valid

    def take(self, stop: int) -> tuple[Tensor, Tensor]:
        """Return the rows before row `stop` of the scene, which no later window reaches, and forget them.

        Returns:
            Blended scores `c h w`, and the pixels that hold data, bool `h w`.
        """
        count = stop - self.top
        # Pixels of windows that were skipped, because nothing in them holds data, have no weight.
        weights = self.weights[:count].clamp_min(torch.finfo(torch.float32).tiny)
        scores, valid = self.scores[:, :count] / weights, self.valid[:count].clone()
        for buffer in (self.scores, self.weights, self.valid):
            kept = buffer[..., count:, :].clone()
            buffer[..., : kept.shape[-2], :] = kept
            buffer[..., kept.shape[-2] :, :] = 0
        self.top = stop
        return scores, valid
