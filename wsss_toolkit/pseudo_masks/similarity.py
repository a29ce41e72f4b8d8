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
"""Pixels of a batch that are worked on at a time: their neighbours' weights take 50 MB in single precision."""


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
    # The weights of many images at once would fit neither into memory nor, where they do, into a processor's caches.
    at_once = max(1, PIXELS_AT_ONCE // (maps.shape[-2] * maps.shape[-1]))
    if len(maps) > at_once:
        parts = [slice(start, start + at_once) for start in range(0, len(maps), at_once)]
        return torch.cat(
            [pixel_adaptive(maps[part], images[part], iterations=iterations, dilations=dilations) for part in parts]
        )
    weights = _neighbour_weights(images, dilations).to(maps.dtype)
    for _ in range(iterations):
        refined = torch.zeros_like(maps)
        for index, shifted in enumerate(_neighbours(maps, dilations)):
            refined.addcmul_(weights[:, index : index + 1], shifted)
        maps = refined
    return maps


def _neighbour_weights(images: Tensor, dilations: Sequence[int]) -> Tensor:
    """Return the weight of every neighbour of every pixel, ``b neighbours h w``; they sum to 1 per pixel."""
    count = 8 * len(dilations)
    # Two passes over the neighbours, because all of them at once would take `count` copies of the images; in place,
    # because new memory for every neighbour would take as long as the arithmetic.
    total, squares, difference = torch.zeros_like(images), torch.zeros_like(images), torch.empty_like(images)
    for shifted in _neighbours(images, dilations):
        # Differences to the pixel itself: their variance is the same and does not cancel for large values.
        torch.sub(shifted, images, out=difference)
        total += difference
        squares.addcmul_(difference, difference)
    deviation = squares.sub_(total.square_().div_(count)).clamp_min_(0).div_(count - 1).sqrt_()
    sharpness = deviation.mul_(COLOR_WIDTH).add_(1e-8).reciprocal_()
    color = images.new_empty(len(images), count, *images.shape[-2:])
    for index, shifted in enumerate(_neighbours(images, dilations)):
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


def _neighbours(images: Tensor, dilations: Sequence[int]) -> Iterator[Tensor]:
    """Yield the images shifted to each neighbour, borders repeated, in the order dilation, direction."""
    height, width = images.shape[-2:]
    reach = max(dilations)
    padded = F.pad(images, (reach, reach, reach, reach), mode="replicate")
    for dilation in dilations:
        for dy, dx in _directions():
            top, left = reach + dilation * dy, reach + dilation * dx
            yield padded[..., top : top + height, left : left + width]
