"""The views that class maps are averaged over: the image at several sizes, mirrored, whole or window by window."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from wsss_toolkit.images.padding import pad_to, pad_to_multiple
from wsss_toolkit.images.windows import WindowGrid, hann_window
from wsss_toolkit.recipe.schema import PseudoMasks


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the windows of a view lie; a view that is seen whole has one."""

    scale: float
    """Size of the view in image sizes."""
    mirrored: bool
    """Whether left and right are exchanged."""
    size: tuple[int, int]
    """Height and width of the view in pixels, without padding."""
    grid: WindowGrid
    """The windows, over the padded view."""

    @property
    def places(self) -> tuple[tuple[int, int], ...]:
        """First row and column of each window."""
        return tuple((row, column) for row in self.grid.rows for column in self.grid.columns)

    @property
    def window(self) -> tuple[int, int]:
        """Height and width of a window."""
        first = self.grid.window(0, 0)
        return first.height, first.width


@dataclass(frozen=True, slots=True)
class View:
    """A batch of images as one view."""

    layout: Layout
    images: Tensor
    """Padded, ``b k H W``."""
    valid: Tensor | None
    """Pixels that hold data, bool ``b H W``; padding holds none. None means all."""

    def crops(self, pairs: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the pixels and valid pixels of windows, ``n k h w`` and ``n h w``.

        Args:
            pairs: Place and image of each, int64 ``n 2``.
        """
        (height, width), places = self.layout.window, self.layout.places
        cuts = [
            (image, slice(row, row + height), slice(column, column + width))
            for (row, column), image in ((places[place], image) for place, image in pairs.tolist())
        ]
        images = torch.stack([self.images[image, :, rows, columns] for image, rows, columns in cuts])
        if self.valid is None:
            return images, None
        return images, torch.stack([self.valid[image, rows, columns] for image, rows, columns in cuts])

    def worth_seeing(self) -> Tensor:
        """Return which windows hold data, bool ``p b``; all of an image that holds none."""
        places, (height, width) = self.layout.places, self.layout.window
        if self.valid is None:
            return torch.ones(len(places), len(self.images), dtype=torch.bool, device=self.images.device)
        holding = torch.stack(
            [self.valid[:, row : row + height, column : column + width].any(-1).any(-1) for row, column in places]
        )
        return holding | ~holding.any(0)

    def areas(self) -> Tensor:
        """Return the share of each image's pixels with data that each window answers for, ``p b``; they sum to 1."""
        places, (height, width) = self.layout.places, self.layout.window
        if self.valid is None or len(places) == 1:
            return torch.full((len(places), len(self.images)), 1 / len(places), device=self.images.device)
        weights = blending_weights(self.layout, self.images.device)
        counted = torch.stack(
            [
                (self.valid[:, row : row + height, column : column + width] * weight).sum(dim=(1, 2))
                for (row, column), weight in zip(places, weights, strict=True)
            ]
        )
        total = counted.sum(dim=0)
        return torch.where(total > 0, counted / torch.where(total > 0, total, 1), 1 / len(places))


def open_views(
    images: Tensor, valid: Tensor | None, section: PseudoMasks, *, patch: int, side: int | None
) -> Iterator[View]:
    """Yield the views of a batch, scale by scale, mirror images after what they mirror.

    A view that is seen whole has sides that the patch divides: padded at scale 1, else resized. With windows a view
    has the scaled size to the pixel, and at least a window's: padding holds no data, so that no token reads it and
    tokens keep the distances from each other that they were trained with.

    Args:
        images: ``b k h w``, scaled, missing pixels 0.
        valid: Pixels that hold data, bool ``b h w``; None means all.
        section: The recipe's `pseudo_masks`.
        patch: Side of a patch in pixels.
        side: Side of the windows in pixels, a multiple of the patch; None shows the images whole.
    """
    if side is not None and valid is None:
        valid = torch.ones_like(images[:, 0], dtype=torch.bool)
    for scale in section.scales:
        resized = _resized(images, scale, 1 if side is not None else patch)
        size = (resized.shape[-2], resized.shape[-1])
        padded = pad_to_multiple(resized, patch) if side is None else pad_to(resized, side, side)
        height, width = padded.shape[-2:]
        seen = None if valid is None else _valid_in(valid, size, (height, width))
        whole = WindowGrid(height, width, max(height, width), 0.0)
        grid = whole if side is None else WindowGrid(height, width, side, section.window_overlap)
        yield View(Layout(scale, False, size, grid), padded, seen)
        if section.flips:
            yield View(Layout(scale, True, size, grid), padded.flip(-1), None if seen is None else seen.flip(-1))


def _resized(images: Tensor, scale: float, multiple: int) -> Tensor:
    """Return the images at a scale, with sides that `multiple` divides; at scale 1 as they are."""
    if scale == 1.0:
        return images
    height, width = (max(multiple, round(side * scale / multiple) * multiple) for side in images.shape[-2:])
    return F.interpolate(images, size=(height, width), mode="bilinear", align_corners=False, antialias=scale < 1)


def _valid_in(valid: Tensor, size: tuple[int, int], padded: tuple[int, int]) -> Tensor:
    """Return the pixels that hold data at a size, bool ``b H W``; padding holds none."""
    if tuple(valid.shape[-2:]) != size:
        valid = F.interpolate(valid[:, None].float(), size=size, mode="nearest-exact")[:, 0] > 0.5
    return F.pad(valid, (0, padded[1] - size[1], 0, padded[0] - size[0]), value=False)


def blending_weights(layout: Layout, device: torch.device) -> Iterator[Tensor]:
    """Yield how much each window counts at each of its pixels, ``h w``: Hann windows, divided by their sum there."""
    height, width = layout.window
    weight = hann_window(height, width, device)
    total = torch.zeros(layout.grid.height, layout.grid.width, device=device)
    for row, column in layout.places:
        total[row : row + height, column : column + width] += weight
    for row, column in layout.places:
        yield weight / total[row : row + height, column : column + width]


def blend(layout: Layout, grids: Tensor, shares: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the maps of a view at the images' size, ``b k h w``.

    Maps on patch grids are upsampled bilinearly. Where windows overlap, the map is their mean, weighted by the Hann
    window, so that no seam is left; each window counts for each class by its share.

    Args:
        layout: The view's.
        grids: Maps on the patch grid of each window, ``p b k gh gw``.
        shares: ``p b k`` in 0..1; not read where there is one window.
        size: Height and width of the images.
    """
    places, (height, width) = layout.places, layout.window
    padded = layout.grid.height, layout.grid.width
    if len(places) == 1:
        maps = grids[0].flip(-1) if layout.mirrored else grids[0]
        if padded == layout.size:
            return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)
        maps = F.interpolate(maps, size=padded, mode="bilinear", align_corners=False)
    else:
        maps = torch.zeros(*grids.shape[1:3], *padded, device=grids.device)
        weights = blending_weights(layout, grids.device)
        for (row, column), weight, grid, share in zip(places, weights, grids, shares, strict=True):
            window = F.interpolate(grid * share[..., None, None], (height, width), mode="bilinear", align_corners=False)
            maps[:, :, row : row + height, column : column + width] += window * weight
        maps = maps.flip(-1) if layout.mirrored else maps
    maps = maps[..., : layout.size[0], : layout.size[1]]
    return maps if layout.size == size else F.interpolate(maps, size=size, mode="bilinear", align_corners=False)
