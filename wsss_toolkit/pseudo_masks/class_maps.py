"""Class maps of images: attention, patch scores or both, averaged over layers, mirror images and sizes."""

from collections.abc import Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from wsss_toolkit.errors import UsageError
from wsss_toolkit.padding import pad_to_multiple
from wsss_toolkit.pseudo_masks.refine import pixel_adaptive, propagate
from wsss_toolkit.recipe.schema import PseudoMasks


class MapOutput(Protocol):
    """What one forward pass gives to the maps."""

    @property
    def logits(self) -> Tensor:
        """Image-level logits ``b c``."""

    @property
    def class_maps(self) -> Tensor | None:
        """Attention of class tokens to patches ``b l c h w``, averaged over heads; None without layers."""

    @property
    def layer_weights(self) -> Tensor | None:
        """Weight of each layer ``l``: 0 where no head of it is open."""

    @property
    def patch_maps(self) -> Tensor | None:
        """Logits of the patch classifier ``b c h w``."""

    @property
    def affinity(self) -> Tensor | None:
        """Patch-to-patch attention ``b n n``."""


class MapModel(Protocol):
    """A classifier with one token per class, as far as class maps are concerned."""

    @property
    def patch_size(self) -> int:
        """Side of a patch in pixels."""

    @property
    def enter_at(self) -> int:
        """The block before which class tokens join the sequence."""

    @property
    def depth(self) -> int:
        """Number of blocks."""

    def __call__(
        self,
        images: Tensor,
        *,
        present: Tensor | None = None,
        valid: Tensor | None = None,
        layers: Sequence[int] = (),
        classes: Sequence[int] | None = None,
        patch_maps: bool = False,
        affinity: bool = False,
    ) -> MapOutput:
        """Classify ``b k h w`` and return what was asked for."""


def select_layers(layers: str | int | Sequence[int], entering: int, depth: int) -> tuple[int, ...]:
    """Return the blocks whose attention makes the class maps.

    Args:
        layers: The recipe's `pseudo_masks.layers`: `all`, `last`, how many last blocks, or block indices.
        entering: The block before which class tokens join the sequence; earlier blocks have no class maps.
        depth: Number of blocks.

    Returns:
        Block indices, ascending and distinct.

    Raises:
        UsageError: If a block is asked for that has no class tokens, or more blocks than there are.
    """
    having = range(entering, depth)
    if layers == "all":
        return tuple(having)
    if layers == "last":
        return (depth - 1,)
    span = f"class tokens pass through blocks {entering} to {depth - 1}"
    if isinstance(layers, int):
        if not 1 <= layers <= len(having):
            raise UsageError(f"pseudo_masks.layers: {layers} asks for the last {layers} blocks, but {span}")
        return tuple(having[-layers:])
    if isinstance(layers, str):
        raise UsageError(f"pseudo_masks.layers: {layers!r} is not `all`, `last`, a number or a list of numbers")
    outside = sorted(set(layers) - set(having))
    if outside or not layers:
        named = f"there is no class map at {', '.join(map(str, outside))}" if outside else "the list is empty"
        raise UsageError(f"pseudo_masks.layers: {named}; {span}")
    return tuple(sorted(set(layers)))


def mean_over_layers(maps: Tensor, weights: Tensor | None = None) -> Tensor:
    """Average class maps over layers, leaving out layers whose heads are all closed.

    Args:
        maps: ``b l c h w``.
        weights: Not negative, ``l``; None weighs all layers alike.

    Returns:
        ``b c h w``; zeros where every weight is 0.
    """
    if weights is None:
        return maps.mean(dim=1)
    total = weights.sum().clamp_min(torch.finfo(weights.dtype).tiny)
    return torch.einsum("blchw,l->bchw", maps, (weights / total).to(maps))


def class_maps(
    model: MapModel,
    images: Tensor,
    section: PseudoMasks,
    *,
    present: Tensor | None = None,
    valid: Tensor | None = None,
    classes: Sequence[int] | None = None,
) -> tuple[Tensor, Tensor]:
    """Compute the class maps and the logits of a batch, without gradients.

    Attention is given in multiples of uniform attention (times the number of patches), so that the maps of
    a small and of a large copy of an image can be averaged. Each view goes through source, affinity
    propagation and bilinear upsampling; then views are averaged; pixel-adaptive refinement comes last.

    Args:
        model: The classifier, in evaluation mode.
        images: ``b k h w``, scaled, missing pixels 0; any size.
        section: The recipe's `pseudo_masks`.
        present: Which sensors each image has, ``b s``; None where all are present.
        valid: Pixels that hold data, bool ``b h w``; patches without any are not attended to. None means all.
        classes: Class tokens to compute, in this order; None computes all.

    Returns:
        Maps ``b c h w`` of the images' size, not negative, and logits ``b c``, both float32.

    Raises:
        UsageError: If the section asks for layers or for a patch classifier that the model lacks.
    """
    layers: tuple[int, ...] = ()
    if section.source in ("attention", "fused"):
        layers = select_layers(section.layers, model.enter_at, model.depth)
    height, width = images.shape[-2:]
    all_maps, all_logits = [], []
    with torch.no_grad():
        for scale in section.scales:
            view = _resized(images, scale, model.patch_size)
            seen = None if valid is None else _valid_in(view, valid, padded=scale == 1.0)
            for mirrored in (False, True) if section.flips else (False,):
                shown = view.flip(-1) if mirrored else view
                shown_valid = seen.flip(-1) if mirrored and seen is not None else seen
                output = model(
                    shown,
                    present=present,
                    valid=shown_valid,
                    layers=layers,
                    classes=classes,
                    patch_maps=section.source in ("patch_classifier", "fused"),
                    affinity=section.affinity.iterations > 0,
                )
                gradients = None
                if section.source == "gradcam":
                    from wsss_toolkit.pseudo_masks.gradcam import grad_cam  # MONAI is slow to import

                    gradients = grad_cam(model, shown, present=present, valid=shown_valid, classes=classes)
                maps = _patch_grid_maps(output, section, gradients)
                maps = maps.flip(-1) if mirrored else maps
                all_maps.append(_to_image(maps, view, (height, width), padded=scale == 1.0))
                all_logits.append(output.logits.float())
        maps = torch.stack(all_maps).mean(dim=0)
        maps = pixel_adaptive(maps, images, iterations=section.pixel_adaptive.iterations)
    return maps, torch.stack(all_logits).mean(dim=0)


def _resized(images: Tensor, scale: float, patch: int) -> Tensor:
    """Return the images at a size that the patch divides: padded at scale 1, else resized."""
    if scale == 1.0:
        return pad_to_multiple(images, patch)
    height, width = (max(patch, round(side * scale / patch) * patch) for side in images.shape[-2:])
    return F.interpolate(images, size=(height, width), mode="bilinear", align_corners=False, antialias=scale < 1)


def _valid_in(view: Tensor, valid: Tensor, *, padded: bool) -> Tensor:
    """Return the pixels of a view that hold data, bool ``b H W``; padding holds none."""
    height, width = view.shape[-2:]
    if padded:
        return F.pad(valid, (0, width - valid.shape[-1], 0, height - valid.shape[-2]), value=False)
    return F.interpolate(valid[:, None].float(), size=(height, width), mode="nearest-exact")[:, 0] > 0.5


def _patch_grid_maps(output: MapOutput, section: PseudoMasks, gradients: Tensor | None = None) -> Tensor:
    """Return the section's kind of map on the patch grid, ``b c h w``, propagated along the affinity."""
    maps = gradients
    if section.source in ("attention", "fused"):
        assert output.class_maps is not None  # layers were asked for
        maps = mean_over_layers(output.class_maps.float(), output.layer_weights)
        maps = maps * maps.shape[-2] * maps.shape[-1]
    if section.source in ("patch_classifier", "fused"):
        if output.patch_maps is None:
            raise UsageError(
                f"pseudo_masks.source: {section.source} needs a patch classifier, and the model has none",
                fix="set model.patch_classifier.weight above 0 and train again",
            )
        scores = output.patch_maps.float().relu()
        maps = scores if maps is None else maps * scores
    assert maps is not None
    if section.affinity.iterations:
        assert output.affinity is not None  # it was asked for
        maps = propagate(
            maps,
            output.affinity.float(),
            iterations=section.affinity.iterations,
            power=section.affinity.power,
        )
    return maps


def _to_image(maps: Tensor, view: Tensor, size: tuple[int, int], *, padded: bool) -> Tensor:
    """Upsample patch maps to the view, then cut the padding off or go on to the image's size."""
    if padded:
        maps = F.interpolate(maps, size=view.shape[-2:], mode="bilinear", align_corners=False)
        return maps[..., : size[0], : size[1]]
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)
