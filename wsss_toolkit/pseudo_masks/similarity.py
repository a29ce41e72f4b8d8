"""Class maps or scores refined along the image's own similarity, pixel by pixel."""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

DILATIONS = (1, 2, 4, 8, 12, 24)
"""Distances in pixels of the neighbours that a pixel is compared with (Ru et al., 2022)."""

COLOR_WIDTH = 0.3
POSITION_WIDTH = 0.3
POSITION_WEIGHT = 0.01
"""Widths and weight of the two kernels (Ru et al., 2022: w1, w2, w3)."""

PIXELS_AT_ONCE = 2**18
"""Pixels of a batch whose neighbours' weights are kept at a time: they take 50 MB in single precision."""

PIXELS_OF_A_STRIP = 2**16
"""Pixels of a strip of rows, whose channels stay in a processor's caches while 48 neighbours pass by: twice as fast."""


def pixel_adaptive(maps: Tensor, images: Tensor, *, iterations: int, dilations: Sequence[int] = DILATIONS) -> Tensor:
    """Refine class maps so that their borders follow the image's (pixel-adaptive refinement).

    Pixel ``i`` is compared with its 8 neighbours ``j`` at every dilation. With the standard deviation
    ``sigma_k`` of channel ``k`` and ``sigma_p`` of the distance over those neighbours (Ru et al., "Learning
    Affinity from Attention", CVPR 2022, equations 5 to 7)::

        color_ij    = -mean_k (|I_ik - I_jk| / (0.3 sigma_k))^2
        position_ij = -(|P_i - P_j| / (0.3 sigma_p))^2
        weight_ij   = (softmax_j color_ij + 0.01 softmax_j position_ij) / 1.01

    and every step replaces a map's value by the weighted mean of its neighbours'. The division by 1.01 is
    ours: it makes the weights sum to 1, so that a flat map stays as it is.

    Args:
        maps: Class maps ``b c h w`` at the size of the images.
        images: The model's input ``b k h w``, any number of channels and any scale.
        iterations: Steps; 0 returns the maps.
        dilations: Distances of the neighbours in pixels.

    Returns:
        ``b c h w``.
    """
    if iterations == 0:
        return maps
    # The weights of many images at once would not fit into memory.
    at_once = max(1, PIXELS_AT_ONCE // (maps.shape[-2] * maps.shape[-1]))
    if len(maps) > at_once:
        parts = [slice(start, start + at_once) for start in range(0, len(maps), at_once)]
        return torch.cat(
            [pixel_adaptive(maps[part], images[part], iterations=iterations, dilations=dilations) for part in parts]
        )
    weights = maps.new_empty(len(maps), 8 * len(dilations), *maps.shape[-2:])
    for rows, around in _strips(images, dilations):
        weights[..., rows, :] = _neighbour_weights(around, dilations)
    for _ in range(iterations):
        refined = torch.zeros_like(maps)
        for rows, around in _strips(maps, dilations):
            for index, shifted in enumerate(_neighbours(around, dilations)):
                refined[..., rows, :].addcmul_(weights[:, index : index + 1, rows], shifted)
        maps = refined
    return maps


def _strips(images: Tensor, dilations: Sequence[int]) -> Iterator[tuple[slice, Tensor]]:
    """Yield the rows of each strip of images, and these rows with all their neighbours; borders are repeated."""
    count, height, width = images.shape[0], *images.shape[-2:]
    reach = max(dilations)
    padded = F.pad(images, (reach, reach, reach, reach), mode="replicate")
    step = max(1, PIXELS_OF_A_STRIP // (count * width))
    for start in range(0, height, step):
        rows = slice(start, min(start + step, height))
        yield rows, padded[..., rows.start : rows.stop + 2 * reach, :]


def _neighbour_weights(around: Tensor, dilations: Sequence[int]) -> Tensor:
    """Return the weight of every neighbour of every pixel, ``b neighbours h w``; they sum to 1 per pixel."""
    count, reach = 8 * len(dilations), max(dilations)
    images = around[..., reach:-reach, reach:-reach].contiguous()
    # Two passes over the neighbours, because all of them at once would take `count` copies of the images; in place,
    # because new memory for every neighbour would take as long as the arithmetic.
    total, squares, difference = torch.zeros_like(images), torch.zeros_like(images), torch.empty_like(images)
    for shifted in _neighbours(around, dilations):
        # Differences to the pixel itself: their variance is the same and does not cancel for large values.
        torch.sub(shifted, images, out=difference)
        total += difference
        squares.addcmul_(difference, difference)
    deviation = squares.sub_(total.square_().div_(count)).clamp_min_(0).div_(count - 1).sqrt_()
    sharpness = deviation.mul_(COLOR_WIDTH).add_(1e-8).reciprocal_()
    color = images.new_empty(len(images), count, *images.shape[-2:])
    for index, shifted in enumerate(_neighbours(around, dilations)):
        torch.sub(shifted, images, out=difference)
        torch.sum(difference.mul_(sharpness).square_(), dim=1, out=color[:, index])
    color.div_(-images.shape[1])
    distance = torch.tensor(
        [dilation * (dy * dy + dx * dx) ** 0.5 for dilation in dilations for dy, dx in _directions()],
        dtype=images.dtype,
        device=images.device,
    )
    position = -((distance / (POSITION_WIDTH * distance.std() + 1e-8)) ** 2)
    weights = color.softmax(dim=1)
    weights += POSITION_WEIGHT * position.softmax(dim=0)[None, :, None, None]
    return weights.div_(1 + POSITION_WEIGHT)


def _directions() -> tuple[tuple[int, int], ...]:
    return tuple((dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0))


def _neighbours(around: Tensor, dilations: Sequence[int]) -> Iterator[Tensor]:
    """Yield images shifted to each neighbour, in the order dilation, direction, of these with what lies around them."""
    reach = max(dilations)
    height, width = around.shape[-2] - 2 * reach, around.shape[-1] - 2 * reach
    for dilation in dilations:
        for dy, dx in _directions():
            top, left = reach + dilation * dy, reach + dilation * dx
            yield around[..., top : top + height, left : left + width]
