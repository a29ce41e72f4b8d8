"""Patch tokens of several blocks as features: at a resolution of their own, decorrelated and of equal variance."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wsss_toolkit.model.layout import TokenLayout, unless_all, visible_patches
from wsss_toolkit.model.vit import MultiTokenViT
from wsss_toolkit.pseudo_masks.consensus.cache import TokenCache

MARGIN = 1
"""Patches no farther than this from the border, or from missing data, teach nothing: devices differ in the frames
around what they see, and classifiers of whole images would look there."""
COMPONENTS = 256
"""Principal components of the tokens that are kept; no more than the tokens have channels."""


class Tokens(NamedTuple):
    """The patches of images of one size.

    Attributes:
        values: `b n d`.
        inner: Patches that hold data and lie within the margin, bool `b n`.
        grid: Rows and columns of patches, whose product is n.
    """

    values: Tensor
    inner: Tensor
    grid: tuple[int, int]


def shown_size(size: Sequence[int], resolution: int, patch: int, reference: Sequence[int] | None = None) -> list[int]:
    """Return height and width in pixels at which an image is looked at, multiples of the patch size.

    The image keeps its proportions, to a patch; its area becomes that of a square of `resolution` pixels.

    Args:
        size: Height and width of the image.
        resolution: Side of that square.
        patch: Side of a patch.
        reference: Height and width of the training images where the image is a larger one or a part: its scale is then
            the one at which training images have that area.

    >>> shown_size((256, 320), 384, 14)
    [350, 434]
    """
    scale = resolution / math.sqrt(math.prod(reference or size))
    return [max(1, round(side * scale / patch)) * patch for side in size]


class TokenReader(nn.Module):
    """Reads patch tokens after some blocks of a backbone that stays as it is.

    Args:
        backbone: The Vision Transformer.
        blocks: Indices of blocks; negative ones count from the last.
        resolution: See `shown_size`.
        kept: Whether tokens are kept on disk; see `TokenCache`.
    """

    def __init__(self, backbone: MultiTokenViT, blocks: Sequence[int], resolution: int, *, kept: bool = False) -> None:
        """Note what to read."""
        super().__init__()
        self.backbone = backbone.requires_grad_(False).eval()
        self.blocks = sorted({block % backbone.depth for block in blocks})
        self.resolution = resolution
        self.cache = TokenCache(backbone, self.blocks) if kept else None

    @torch.no_grad()
    def forward(self, images: Tensor, valid: Tensor, present: Tensor, reference: Sequence[int] | None = None) -> Tokens:
        """Return the tokens, those of all blocks side by side, rounded to half precision and not yet standardised.

        Args:
            images: Scaled, missing pixels 0, `b c h w`.
            valid: Pixels that hold data, bool `b h w`.
            present: Sensors that each image has, bool `b s`.
            reference: See `shown_size`.
        """
        patch, shape = self.backbone.patch_size, images.shape[-2:]
        size = shown_size(shape, self.resolution, patch, reference)
        files = None if self.cache is None else self.cache.files(images, valid, present, size)
        if tuple(shape) != tuple(size):
            images = F.interpolate(images, size, mode="bilinear", align_corners=False, antialias=True)
            valid = F.interpolate(valid[:, None].float(), size, mode="nearest-exact")[:, 0] > 0.5
        visible, grid = visible_patches(valid, patch), self.backbone.patch_embed.grid(images)
        values = None if self.cache is None or files is None else self.cache.read(files)
        if values is None:
            values = self._compute(images, present, self.backbone.layout(grid, unless_all(visible))).half()
            if self.cache is not None and files is not None:
                self.cache.write(files, values)
        return Tokens(values.to(images.device).float(), within_margin(visible, grid), grid)

    def _compute(self, images: Tensor, present: Tensor, layout: TokenLayout) -> Tensor:
        backbone = self.backbone
        x, found = backbone.embed(images, present), []
        for index in range(self.blocks[-1] + 1):
            if index == backbone.enter_at and not layout.asymmetric:
                # Patches were trained beside class tokens that they read.
                entering = backbone.enter(len(x))
                x, layout = torch.cat((entering.to(x.dtype), x), 1), layout.with_classes(entering.shape[1])
            x, _ = backbone.block(index)(x, layout)
            if index in self.blocks:
                found.append(x[:, layout.classes : layout.classes + layout.patches])
        return torch.cat(found, -1)


def within_margin(visible: Tensor, grid: tuple[int, int]) -> Tensor:
    """Return which patches `b n` are farther than `MARGIN` from the border of the grid and from patches without data.

    Where there are none, all that hold data are taken.

    >>> within_margin(torch.ones(1, 13 * 13, dtype=torch.bool), (13, 13)).sum().item()  # a ring of one is left out
    121
    """
    hidden = F.pad(~visible.view(-1, 1, *grid), (MARGIN,) * 4, value=True).float()
    inner = (F.max_pool2d(hidden, 2 * MARGIN + 1, stride=1) == 0).flatten(1)
    return torch.where(inner.any(1, keepdim=True), inner, visible)


class Standardise(nn.Module):
    """Makes principal components of equal variance of tokens: ``u = (x / s - m) V / sqrt(e)``.

    s gives each block the same total variance, the sum of e is 1; m is the mean, V and e are eigenvectors and values
    of the covariance, all of training images.

    Args:
        channels: Channels of the tokens.
        components: Components that are kept.
    """

    mean: Tensor
    projection: Tensor
    variances: Tensor

    def __init__(self, channels: int, components: int) -> None:
        """Make room for the statistics."""
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("projection", torch.zeros(channels, components))
        self.register_buffer("variances", torch.ones(components))

    def forward(self, values: Tensor) -> Tensor:
        """Return white features `b n k` of tokens `b n d`."""
        return (values - self.mean) @ self.projection

    def half_white(self, white: Tensor) -> Tensor:
        """Return ``u e^(1/4)``: between the principal components as they are and white ones."""
        return white * self.variances**0.25


def measure(tokens: Iterable[Tokens], blocks: int) -> Standardise:
    """Find the statistics of `Standardise`, in float64.

    Args:
        tokens: Of training images.
        blocks: Blocks that the tokens are from.
    """
    count, total, product = 0, torch.zeros(()), torch.zeros(())
    for batch in tokens:
        seen = batch.values[batch.inner].double()
        count += len(seen)
        total = total + seen.sum(0)
        product = product + seen.T @ seen
    mean = total / count
    covariance = product / count - mean[:, None] * mean
    size = len(mean) // blocks
    scale = (covariance.diagonal().view(blocks, size).sum(1) * blocks).sqrt().clamp_min(1e-12).repeat_interleave(size)
    variances, vectors = torch.linalg.eigh(covariance / scale[:, None] / scale)
    # Components without any variance, of which there are some where images are few, would become noise.
    kept = int((variances > variances[-1] * 1e-6).sum().clamp_max(COMPONENTS))
    variances, vectors = variances[-kept:].flip(0), vectors[:, -kept:].flip(1)
    # The sign of an eigenvector has no meaning: its largest entry is made positive.
    vectors = vectors * vectors.gather(0, vectors.abs().argmax(0, keepdim=True)).sign()
    found = Standardise(len(mean), kept)
    found.mean.copy_(mean)
    found.projection.copy_(vectors / scale[:, None] / variances.sqrt())
    found.variances.copy_(variances)
    return found
