"""From images to class maps and masks."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from wsss_toolkit.domain import ClassTable
from wsss_toolkit.model.vit import MultiTokenViT
from wsss_toolkit.pseudo_masks.assign import active_classes, assign, used_tokens
from wsss_toolkit.pseudo_masks.class_maps import chosen_maps
from wsss_toolkit.recipe.schema import PseudoMasks


class Mapped(NamedTuple):
    """What an image shows and where, before pixels are assigned.

    Attributes:
        maps: Final class maps at the images' size, `b t h w`.
        logits: Their classes' image-level logits, `b t`: the order of painting.
        active: Which of these classes may appear in each mask, bool `b t`.
        tokens: The class tokens that the maps belong to, int64 `t`, ascending: those active in any image.
        scores: Image-level logits of all classes, `b k`: averaged over views, or where some tokens took part in one
            view only, that view's.
        coverage: The share of the image in whose windows each class is seen, `b t`; None without windows.
    """

    maps: Tensor
    logits: Tensor
    active: Tensor
    tokens: Tensor
    scores: Tensor
    coverage: Tensor | None


@torch.no_grad()
def label_images(
    model: MultiTokenViT,
    images: Tensor,
    valid: Tensor,
    present: Tensor,
    section: PseudoMasks,
    classes: ClassTable,
    *,
    labels: Tensor | None = None,
    resize: int | None,
    reference: tuple[int, int] | None,
    exclusive: bool,
    batch_size: int | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Turn images on the model's device into masks.

    Args:
        model: The trained classifier, in evaluation mode.
        images: Scaled, missing pixels 0, `b k h w`.
        valid: Pixels that hold data, bool `b h w`.
        present: Sensors that each image has, bool `b s`.
        section: The recipe's `pseudo_masks`.
        classes: The domain's classes.
        labels: Image-level labels `b k`, where `section.classes` is ``labels``.
        resize: Side in pixels at which the classifier sees training images; None shows images as they are.
        reference: Height and width of the training images where `images` are of another size; the scale at which the
            classifier saw those is then kept.
        exclusive: Whether the classifier was trained for exactly one class per image.
        batch_size: Windows at a time, where `section.window` asks for windows; None takes as many as there are images.

    Returns:
        Mask values with 255 for ignore, uint8 `b h w`; confidence in 0..1, float32 `b h w`; logits `b k`.
    """
    found = map_images(
        model,
        images,
        valid,
        present,
        section,
        labels=labels,
        resize=resize,
        reference=reference,
        exclusive=exclusive,
        batch_size=batch_size,
    )
    mask, confidence = assign(
        found.maps,
        found.logits,
        found.active,
        section,
        classes,
        valid=valid,
        tokens=found.tokens,
        coverage=found.coverage,
    )
    return mask, confidence, found.scores


@torch.no_grad()
def map_images(
    model: MultiTokenViT,
    images: Tensor,
    valid: Tensor,
    present: Tensor,
    section: PseudoMasks,
    *,
    labels: Tensor | None = None,
    resize: int | None,
    reference: tuple[int, int] | None,
    exclusive: bool,
    batch_size: int | None = None,
) -> Mapped:
    """Map the classes of images; the arguments are those of `label_images`.

    Where the labels are known and class tokens do not read each other, only the tokens of classes that some image of
    the batch shows are computed; the others take part in one view, for the scores. Maps of classes that no image of the
    batch shows are never brought to the images' size.
    """
    size = images.shape[-2:]
    seen, seen_valid = as_seen(images, valid, resize=resize, reference=reference)
    allow_none = section.background != "none"

    def active(logits: Tensor) -> Tensor:
        return active_classes(logits, labels, section.classes, allow_none=allow_none)

    known = None
    if section.classes == "labels" and labels is not None and model.selects_classes and not exclusive:
        known = used_tokens(labels > 0).tolist()
    found = chosen_maps(
        model,
        seen,
        section,
        present=present,
        valid=seen_valid,
        classes=known,
        choose=(lambda logits: used_tokens(active(logits))) if known is None else None,
        scored=known is not None,
        exclusive=exclusive,
        batch_size=batch_size,
    )
    maps, tokens = found.maps, found.tokens
    if maps.shape[-2:] != size:
        maps = F.interpolate(maps, size, mode="bilinear", align_corners=False)
    return Mapped(maps, found.logits, active(found.scores)[:, tokens], tokens, found.scores, found.coverage)


def as_seen(
    images: Tensor, valid: Tensor, *, resize: int | None, reference: tuple[int, int] | None
) -> tuple[Tensor, Tensor]:
    """Return images and their valid pixels at the size that the classifier sees; see `label_images`."""
    size = images.shape[-2:]
    if resize is None:
        return images, valid
    wanted = tuple(round(side * resize / known) for side, known in zip(size, reference or size, strict=True))
    if wanted == tuple(size):
        return images, valid
    seen = F.interpolate(images, wanted, mode="bilinear", align_corners=False, antialias=True)
    return seen, F.interpolate(valid[:, None].float(), wanted, mode="nearest-exact")[:, 0] > 0.5
