"""Class maps of images: attention, patch scores or both, averaged over layers, mirror images, sizes and windows."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from wsss_toolkit.heads.classifier import Classifier
from wsss_toolkit.pseudo_masks.image_logits import image_logits, window_shares
from wsss_toolkit.pseudo_masks.looks import Look, grids_by_class, look_at, source_of
from wsss_toolkit.pseudo_masks.refiners.refiner import refiners_of
from wsss_toolkit.pseudo_masks.views import blend, open_views
from wsss_toolkit.recipe.schema import PseudoMasks


class ChosenMaps(NamedTuple):
    """The maps of some classes, and what was said of all."""

    maps: Tensor
    """Maps of the chosen classes ``b k h w`` of the images' size, not negative."""
    tokens: Tensor
    """The chosen classes, int64 ``k``."""
    logits: Tensor
    """Their image-level logits ``b k``, averaged over views."""
    coverage: Tensor | None
    """The share of the image in whose windows each chosen class is seen, ``b k`` in 0..1; None where no view has
    several windows."""
    scores: Tensor
    """Image-level logits ``b c`` of all classes that were computed: averaged over views, or those of one view."""


def class_maps(
    model: Classifier,
    images: Tensor,
    section: PseudoMasks,
    *,
    present: Tensor | None = None,
    valid: Tensor | None = None,
    classes: Sequence[int] | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the maps ``b c h w`` and logits ``b c`` that `chosen_maps` makes of a batch; the arguments are its own."""
    found = chosen_maps(model, images, section, present=present, valid=valid, classes=classes)
    return found.maps, found.logits


@torch.no_grad()
def chosen_maps(  # noqa: PLR0913  # what is shown, which classes are wanted, and how many windows at a time
    model: Classifier,
    images: Tensor,
    section: PseudoMasks,
    *,
    present: Tensor | None = None,
    valid: Tensor | None = None,
    classes: Sequence[int] | None = None,
    choose: Callable[[Tensor], Tensor] | None = None,
    scored: bool = False,
    exclusive: bool = False,
    batch_size: int | None = None,
) -> ChosenMaps:
    """Compute logits first, and bring only the maps of the classes that they choose to the images' size.

    Attention is given in multiples of uniform attention (times the number of patches that can be attended to), so that
    the maps of a small and of a large copy of an image, and of windows with and without missing pixels, can be
    averaged. Each window of each view goes through source, refiners of patch grids and bilinear upsampling; then
    windows are blended and views averaged; refiners of whole images come last. Nothing has gradients.

    Args:
        model: The classifier, in evaluation mode.
        images: ``b k h w``, scaled, missing pixels 0; any size.
        section: The recipe's `pseudo_masks`.
        present: Which sensors each image has, ``b s``; None where all are present.
        valid: Pixels that hold data, bool ``b h w``; patches without any are not attended to. None means all.
        classes: Class tokens to compute, in this order; None computes all.
        choose: Returns the classes to map, of all that are computed, from their image-level logits ``b c``; None maps
            all that are computed.
        scored: Whether all classes are scored although only `classes` are mapped: the tokens of the others then take
            part in one view, the one of the image as it is, or nearest to it in size.
        exclusive: Whether the classifier was trained for exactly one class per image; the logits that are returned have
            the softmax for their sigmoid then.
        batch_size: Windows at a time; None takes as many as there are images.

    Raises:
        UsageError: If the section asks for layers or for a head that the classifier lacks.
    """
    backbone = model.backbone
    plain = min(section.scales, key=lambda scale: abs(scale - 1))
    wanted = slice(None) if classes is None else list(classes)
    views = partial(
        open_views, images, valid, section, patch=backbone.patch_size, side=window_side(section, backbone.image_size)
    )
    batch_size = batch_size or len(images)
    looks: list[Look] = []
    scores: Tensor | None = None
    for view in views():
        every = scored and scores is None and view.layout.scale == plain
        chosen = None if every else classes
        look = look_at(model, view, section, present=present, classes=chosen, batch_size=batch_size)
        if every:
            scores = image_logits([look.logits], exclusive=exclusive)
            grids = None if look.grids is None else look.grids[:, :, wanted]
            look = look._replace(logits=look.logits[..., wanted], grids=grids)
        looks.append(look)
    logits = image_logits([look.logits for look in looks], exclusive=exclusive)
    places = torch.arange(logits.shape[1], device=logits.device) if choose is None else choose(logits)
    tokens = places if classes is None else torch.tensor(wanted, device=logits.device)[places]

    size = (images.shape[-2], images.shape[-1])
    maps = images.new_zeros(len(images), len(places), *size, dtype=torch.float32)
    coverage = images.new_zeros(maps.shape[:2], dtype=torch.float32)
    again = views() if source_of(section).per_class else iter(())
    for look in looks:
        if look.grids is None:
            grids = grids_by_class(model, next(again), section, present, tokens, batch_size)
        else:
            grids = look.grids[:, :, places]
        shares = window_shares(look.logits, exclusive=exclusive)[..., places]
        coverage += torch.einsum("pbk,pb->bk", shares, look.areas)
        maps += blend(look.layout, grids, shares, size)
    maps /= len(looks)
    for refiner in refiners_of(section.refine, on_grid=False):
        maps = refiner.refine(maps, images)
    windowed = any(len(look.layout.places) > 1 for look in looks)
    return ChosenMaps(
        maps=maps,
        tokens=tokens,
        logits=logits[:, places],
        coverage=coverage / len(looks) if windowed else None,
        scores=logits if scores is None else scores,
    )


def window_side(section: PseudoMasks, image_size: int) -> int | None:
    """Return the side of the windows in pixels, given that of the training images; None where images are seen whole."""
    if section.window == "none":
        return None
    return image_size if section.window == "auto" else section.window
