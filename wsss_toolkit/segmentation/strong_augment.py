"""Strong random changes of training batches, masks and all: mosaics, zooms, channel gains, mixed-in or erased parts."""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from wsss_toolkit.domain import IGNORE_INDEX
from wsss_toolkit.images.augment import color_jitter
from wsss_toolkit.images.mosaic import smooth_shapes
from wsss_toolkit.recipe.schema import SegmentationAugment

SHARES = (0.1, 0.35)
"""Smallest and largest share of an image's area that a rectangle covers."""
RATIOS = (0.5, 2.0)
"""Smallest and largest ratio of a rectangle's relative height to its relative width."""


class Batch(NamedTuple):
    """Training images and what belongs to each of their pixels."""

    images: Tensor
    """float `b c h w`, missing pixels 0."""
    masks: Tensor
    """int64 `b h w`, class indices and 255."""
    valid: Tensor
    """Pixels that hold data, bool `b h w`."""
    present: Tensor
    """Sensors that each image has, bool `b s`."""


def strong_augment(batch: Batch, section: SegmentationAugment, generator: torch.Generator) -> Batch:
    """Change a batch as the recipe's `segmentation.augment` says; what is 0 there draws no random numbers.

    The generator is the source of all chance, on the images' device.
    """
    if section.mosaic:  # first: what else changes then changes both of its parts alike, and marks no border
        batch = mosaic(batch, section.mosaic, generator)
    if section.scale != (1.0, 1.0):
        batch = zoom(batch, section.scale, generator)
    images = color_jitter(batch.images, section.color_jitter, generator)
    if section.channel_jitter:
        images = channel_jitter(images, section.channel_jitter, generator)
    batch = batch._replace(images=images)
    if section.cutmix:
        batch = cutmix(batch, section.cutmix, generator)
    return erase(batch, section.erase, generator) if section.erase else batch


def mosaic(batch: Batch, share: float, generator: torch.Generator) -> Batch:
    """Cut a share of the images of one class together with an image of another class, along a smooth random shape.

    Where every pixel has a class, an image that shows one class alone has a known mask; cut together, two of them have
    one with borders and a mixed context, which no other image has for sure. An image is of one class if its mask is,
    apart from 255. Its partner is any other such image of the batch; where there is none, it stays as it is.
    """
    count, height, width = batch.masks.shape
    device = batch.masks.device
    unknown = batch.masks == IGNORE_INDEX
    lowest = batch.masks.flatten(1).amin(dim=1)  # 255 is the largest value there is
    highest = batch.masks.masked_fill(unknown, -1).flatten(1).amax(dim=1)
    single = lowest == highest
    drawn = torch.rand(count, count + 1, generator=generator, device=device)
    partners = single[:, None] & single & (highest[:, None] != highest)
    partner = drawn[:, 1:].masked_fill(~partners, -1.0).argmax(dim=1)
    chosen = partners.any(dim=1) & (drawn[:, 0] < share)
    own = smooth_shapes(count, height, width, generator) | ~chosen[:, None, None]

    def mixed(plane: Tensor) -> Tensor:
        where = own[:, None] if plane.ndim == 4 else own
        return torch.where(where, plane, plane[partner])

    present = batch.present | (batch.present[partner] & chosen[:, None])
    return Batch(mixed(batch.images), mixed(batch.masks), mixed(batch.valid), present)


def zoom(batch: Batch, scale: tuple[float, float], generator: torch.Generator) -> Batch:
    """Show each image larger or smaller by a random factor, evenly distributed in its logarithm.

    A larger image is seen through a window of its former size at a random place. A smaller one lies at a random place
    of such a window; around it are pixels without data. Images are interpolated bilinearly, all else by the nearest
    pixel. `scale` is the smallest and the largest factor.
    """
    count, device = len(batch.images), batch.images.device
    drawn = torch.rand(3, count, generator=generator, device=device)
    low, high = (math.log(value) for value in scale)
    shrink = torch.exp(-(low + (high - low) * drawn[0]))  # a step in the result is so large a step in the image
    shift = (drawn[1:] * 2 - 1) * (1 - shrink).abs()
    zero = torch.zeros_like(shrink)
    rows = (torch.stack((shrink, zero, shift[0]), 1), torch.stack((zero, shrink, shift[1]), 1))
    size = [count, 1, *batch.images.shape[-2:]]
    grid = F.affine_grid(torch.stack(rows, 1), size, align_corners=False)

    def nearest(plane: Tensor) -> Tensor:
        moved = F.grid_sample(plane[:, None].float(), grid, mode="nearest", padding_mode="zeros", align_corners=False)
        return moved[:, 0]

    valid = nearest(batch.valid) > 0.5
    images = F.grid_sample(batch.images, grid.to(batch.images.dtype), padding_mode="border", align_corners=False)
    # What comes from outside is 0: hence the shift, which makes that 255.
    masks = nearest(batch.masks - IGNORE_INDEX).long() + IGNORE_INDEX
    return Batch(images * valid[:, None], masks, valid, batch.present)


def channel_jitter(images: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Change brightness and contrast of each channel of each of the images `b c h w` on its own.

    As `color_jitter` does for whole images: contrast is a factor in ``1 +- strength`` around the channel's mean,
    brightness a shift of up to ``strength``, in 0..1, times its standard deviation. Of pictures this changes the
    colours, of sensors the gain.
    """
    amounts = torch.rand(2, *images.shape[:2], 1, 1, generator=generator, device=images.device) * 2 - 1
    std, mean = torch.std_mean(images, dim=(2, 3), keepdim=True)
    return (images - mean) * (1 + strength * amounts[0]) + mean + strength * amounts[1] * std


def cutmix(batch: Batch, share: float, generator: torch.Generator) -> Batch:
    """Put a random rectangle of the image before it into a share of the images, with its mask (Yun et al., 2019)."""
    inside = _rectangles(batch, share, generator)

    def mixed(plane: Tensor) -> Tensor:
        where = inside[:, None] if plane.ndim == 4 else inside
        return torch.where(where, plane.roll(1, dims=0), plane)

    got_any = inside.flatten(1).any(dim=1, keepdim=True)
    present = batch.present | (batch.present.roll(1, dims=0) & got_any)
    return Batch(mixed(batch.images), mixed(batch.masks), mixed(batch.valid), present)


def erase(batch: Batch, share: float, generator: torch.Generator) -> Batch:
    """Fill a random rectangle of a share of the images with their mean; it teaches nothing (Zhong et al., 2020)."""
    inside = _rectangles(batch, share, generator)
    mean = batch.images.mean(dim=(2, 3), keepdim=True)
    images = torch.where(inside[:, None], mean, batch.images)
    return batch._replace(images=images, masks=batch.masks.masked_fill(inside, IGNORE_INDEX))


def _rectangles(batch: Batch, share: float, generator: torch.Generator) -> Tensor:
    """Draw a rectangle in a share of the images: bool `b h w`, true inside, nowhere true in the other images."""
    count, height, width = batch.masks.shape
    device = batch.masks.device
    chosen, area, ratio, top, left = torch.rand(5, count, 1, 1, generator=generator, device=device)
    area = SHARES[0] + (SHARES[1] - SHARES[0]) * area
    ratio = torch.exp(math.log(RATIOS[0]) + (math.log(RATIOS[1]) - math.log(RATIOS[0])) * ratio)
    tall, wide = (area * ratio).sqrt(), (area / ratio).sqrt()  # at most 0.84 of a side
    top, left = top * (1 - tall), left * (1 - wide)
    rows = ((torch.arange(height, device=device) + 0.5) / height)[None, :, None]
    columns = ((torch.arange(width, device=device) + 0.5) / width)[None, None, :]
    inside: Tensor = (rows >= top) & (rows < top + tall) & (columns >= left) & (columns < left + wide)
    return inside.logical_and(chosen < share)
