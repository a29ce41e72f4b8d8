"""From images to patch tokens: projections per sensor, and position embeddings for any grid."""

from collections.abc import Sequence

import torch
from timm.layers.pos_embed import resample_abs_pos_embed
from torch import Tensor, nn

from wsss_toolkit.errors import DataError, UsageError


class PatchEmbedding(nn.Module):
    """Cut an image into patches and project each to a token.

    With one projection all channels are stacked (early fusion). With one per sensor, a token is the mean over
    the sensors that are present, so its scale does not depend on how many there are.

    Args:
        channels: Number of input channels of each projection, in the order of the model's input.
        dim: Width D of a token.
        patch_size: Side of a patch in pixels.
        bias: Whether projections have a bias.
    """

    def __init__(self, channels: Sequence[int], dim: int, patch_size: int, *, bias: bool) -> None:
        super().__init__()
        self.channels = list(channels)
        self.patch_size = patch_size
        self.bias = bias
        self.projections = nn.ModuleList(
            nn.Conv2d(count, dim, kernel_size=patch_size, stride=patch_size, bias=bias) for count in channels
        )

    def grid(self, images: Tensor) -> tuple[int, int]:
        """Return rows and columns of patches in images `b c h w`.

        Raises:
            UsageError: If the size is not a whole number of patches, or the number of channels differs.
        """
        height, width = images.shape[-2:]
        side = self.patch_size
        if images.ndim != 4 or images.shape[1] != sum(self.channels):
            raise UsageError(f"images are {tuple(images.shape)}, but the model reads {sum(self.channels)} channels")
        if height < side or width < side or height % side or width % side:
            raise UsageError(
                f"an image of {height} x {width} pixels is not a whole number of patches of {side} x {side}",
                fix=f"crop, pad or resize it to a multiple of {side}",
            )
        return height // side, width // side

    def forward(self, images: Tensor, present: Tensor | None = None) -> Tensor:
        """Embed images.

        Args:
            images: float `b c h w`, scaled, missing pixels 0.
            present: bool `b s`, which sensors each image has (all if None); read only with one projection per sensor.

        Returns:
            Patch tokens `b n d`, row by row.

        Raises:
            DataError: If an image has no sensor at all.
        """
        self.grid(images)
        tokens: list[Tensor] = [
            projection(part).flatten(2).transpose(1, 2)
            for projection, part in zip(self.projections, torch.split(images, self.channels, 1), strict=True)
        ]
        if len(tokens) == 1:
            return tokens[0]
        stacked = torch.stack(tokens, 1)
        if present is None:
            return stacked.mean(1)
        if not bool(present.any(1).all()):
            raise DataError("an image of the batch has none of its sensors", fix="leave such images out")
        # where, not a product: a missing sensor's pixels may hold anything
        stacked = torch.where(present[:, :, None, None], stacked, torch.zeros((), device=stacked.device))
        return stacked.sum(1) / present.sum(1)[:, None, None]


class PositionEmbedding(nn.Module):
    """Learned positions of patches, resampled bicubically to the grid of the input.

    Args:
        weight: Positions `1 n d` of the grid that the model is built for.
        grid: Rows and columns of that grid.
    """

    def __init__(self, weight: Tensor, grid: tuple[int, int]) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.grid = grid
        self._resampled: dict[tuple[int, int], tuple[tuple[object, ...], Tensor]] = {}

    def forward(self, grid: tuple[int, int]) -> Tensor:
        """Return positions `1 n d` for a grid of patches."""
        if grid == self.grid:
            return self.weight
        if torch.is_grad_enabled() and self.weight.requires_grad:
            return self._resample(grid)
        # Scenes are read in thousands of windows of one size, so each grid's result is kept while the weight
        # stays the same: in-place updates raise its version, moves change its pointer.
        version = -1 if self.weight.is_inference() else self.weight._version
        state = (version, self.weight.data_ptr(), self.weight.device, self.weight.dtype)
        known = self._resampled.get(grid)
        if known is None or known[0] != state:
            if len(self._resampled) >= 8:
                self._resampled.clear()
            # A tensor born in inference mode could not be used later by autograd.
            with torch.inference_mode(False), torch.no_grad():
                known = self._resampled[grid] = (state, self._resample(grid))
        return known[1]

    def _resample(self, grid: tuple[int, int]) -> Tensor:
        resampled: Tensor = resample_abs_pos_embed(
            self.weight, new_size=list(grid), old_size=list(self.grid), num_prefix_tokens=0
        )
        return resampled
