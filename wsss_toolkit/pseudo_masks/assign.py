"""From class maps to a mask and the confidence in each of its pixels."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from wsss_toolkit.domain import IGNORE_INDEX, ClassTable
from wsss_toolkit.errors import UsageError, WsssError
from wsss_toolkit.pseudo_masks.fill import OPEN, fill_majority, fill_nearest
from wsss_toolkit.pseudo_masks.residual import claims, residual_scores, residual_thresholds
from wsss_toolkit.pseudo_masks.thresholds import thresholds
from wsss_toolkit.recipe.schema import PseudoMasks


def active_classes(
    logits: Tensor,
    labels: Tensor | None,
    source: Literal["predicted", "labels", "training_labels"],
    *,
    allow_none: bool = False,
) -> Tensor:
    """Return the classes that may appear in each mask.

    Args:
        logits: Image-level logits ``b c``.
        labels: Image-level labels ``b c``, not 0 where the class is present; read for `classes: labels` only.
        source: The recipe's `pseudo_masks.classes`; ``training_labels`` is ``predicted`` for images of no split.
        allow_none: For `predicted`, whether an image may have no class at all, as in domains whose background
            may fill it. Otherwise the class with the largest logit stands in where none reaches 0.5.

    Returns:
        bool ``b c``. Given labels are taken as they are: an image without any has no active class.

    Raises:
        UsageError: If labels are asked for and there are none.
    """
    if source == "labels":
        if labels is None:
            raise UsageError(
                "pseudo_masks.classes: `labels` needs image-level labels, and these images have none",
                fix="set pseudo_masks.classes to `predicted`",
            )
        return labels > 0
    active = logits >= 0  # sigmoid(x) >= 0.5
    if allow_none:
        return active
    best = torch.zeros_like(active).scatter_(1, logits.argmax(dim=1, keepdim=True), True)
    return active | (best & ~active.any(dim=1, keepdim=True))


def assign(  # noqa: PLR0913  # all that is known of an image's maps
    maps: Tensor,
    logits: Tensor,
    active: Tensor,
    section: PseudoMasks,
    classes: ClassTable,
    *,
    valid: Tensor | None = None,
    tokens: Tensor | None = None,
    coverage: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Give every pixel a class, the background or the ignore index.

    `argmax`: each active map is divided by its mean (or its maximum, or nothing: `normalize`); the largest wins.
    `paint`: each active map is made binary at its threshold (value >= threshold, and above 0) and painted from the
    lowest to the highest logit, so that among the classes that claim a pixel the one with the highest logit stays.
    Equal maps: the class with the higher logit wins. Equal logits: the one with the higher index.

    With `background: residual` maps are scaled to 0..1 instead, and claim a pixel where they reach the score of the
    background; see `residual`.

    Pixels that no active class claims become the background (`background` other than `none`; for `argmax` those
    whose winner does not claim them), or are filled (`paint`); with `fill: none` they become 255.
    Where all active maps of an image are flat, so that none claims anything, the class with the highest
    logit is what there is to fill with. An image without any active class is all background, or all 255.

    Confidence is the winner's share of the active maps at the pixel, each divided as for `argmax`: ``m_w / sum_c m_c``.
    With `background: threshold` maps are divided by their threshold instead and the background takes part as a map that
    is 1 everywhere: a class at its threshold, alone, has 0.5. With `background: residual` it is the share of the scaled
    maps and the background's score. Where all active maps are 0 and for pixels that become 255 without a class it is 0.

    Args:
        maps: Class maps ``b c h w``, not negative; map ``t`` belongs to mask value ``classes.labelled[t]``.
        logits: Image-level logits ``b c``.
        active: bool ``b c``, from `active_classes`.
        section: The recipe's `pseudo_masks`.
        classes: The domain's classes.
        valid: bool ``b h w``, False where the image is missing: those pixels become 255, and maps are
            normalised without them. None takes all pixels.
        tokens: int64 ``c``: the class tokens that maps, logits and `active` belong to, ascending; None means all.
        coverage: ``b c`` in 0..1: the share of the image in whose windows each class is seen, where maps were blended
            from windows. A map's mean is taken over that share, so that a class is not favoured for being rare. None
            means the whole image.

    Returns:
        uint8 mask ``b h w`` of mask values and 255, and float32 confidence ``b h w`` in 0..1.

    Raises:
        UsageError: If a background is asked for in a domain without a background class.
        WsssError: If a map is not finite.
    """
    with_background = section.background != "none"
    if with_background and classes.background is None:
        raise UsageError(
            f"pseudo_masks.background: `{section.background}` needs a background class, and this domain has none",
            fix="set pseudo_masks.background to `none`",
        )
    used = used_tokens(active)
    if len(used) < maps.shape[1]:
        maps, logits, active = maps[:, used], logits[:, used], active[:, used]
        coverage = None if coverage is None else coverage[:, used]
    maps = maps.float()
    if not torch.isfinite(maps.sum(dtype=torch.float64)):  # one pass; float32 cannot overflow float64
        raise WsssError(
            "class maps hold values that are not finite",
            fix="train with a lower train.lr or with `machine.precision: 32`",
        )
    if valid is not None and bool(valid.all()):
        valid = None
    if not active.all():
        maps = maps * active[..., None, None]
    rank = paint_rank(logits)
    # Of each class: its strength against the others, where it claims a pixel, and what confidence is a share of.
    rest: Tensor | float = float(with_background)
    if section.background == "residual":
        strength, rest = residual_scores(maps, valid, section.residual)
        claimed, scores = claims(strength, section.residual), strength
    else:
        threshold, uneven, claimed = binarise(maps, valid, section, coverage)
        scores = strength = maps / _positive(_scale(maps, valid, section.normalize, coverage))[..., None, None]
        if with_background:
            scores = maps * uneven[..., None, None] / _positive(threshold)[..., None, None]

    if section.assign == "paint":
        winner = _paint(claimed, rank)
    else:
        winner = _largest(strength, active, rank)
        if with_background:
            kept = claimed.gather(1, winner.clamp_min(0)[:, None])[:, 0]
            winner = torch.where(kept, winner, OPEN)
    if valid is not None:  # missing pixels must not spread their class to others
        winner = torch.where(valid, winner, OPEN)
    if section.assign == "paint" and not with_background:
        winner = _filled(winner, rank, active, section)

    won = scores.gather(1, winner.clamp_min(0)[:, None])[:, 0]
    total = scores.sum(dim=1) + rest
    unclaimed = winner == OPEN
    if unclaimed.any():
        won = torch.where(unclaimed, rest, won)
    # Where all maps are 0 this is 0 / tiny.
    confidence = (won / total.clamp_min(torch.finfo(total.dtype).tiny)).clamp(0, 1)

    values = torch.tensor(classes.labelled, dtype=torch.uint8, device=maps.device)
    values = (values if tokens is None else values[tokens])[used]
    unassigned = classes.background if with_background and classes.background is not None else IGNORE_INDEX
    mask = torch.cat((values.new_tensor([unassigned]), values)).take(winner - OPEN)
    if valid is not None:
        mask, confidence = mask.masked_fill(~valid, IGNORE_INDEX), confidence * valid
    if section.ignore_below > 0:
        mask = mask.masked_fill(confidence < section.ignore_below, IGNORE_INDEX)
    return mask, confidence


class Claims(NamedTuple):
    """Which pixels each class claims."""

    threshold: Tensor
    """In the maps' own units, `b c`."""
    uneven: Tensor
    """False for flat maps, which claim nothing, bool `b c`."""
    claimed: Tensor
    """The binary maps, bool `b c h w`."""


def binarise(maps: Tensor, valid: Tensor | None, section: PseudoMasks, coverage: Tensor | None = None) -> Claims:
    """Make maps ``b c h w`` binary: value >= threshold, and above 0; or as `background: residual` says.

    Thresholds are found over the pixels that are `valid`; the arguments are those of `assign`.
    """
    if section.background == "residual":
        scores, _ = residual_scores(maps, valid, section.residual)
        return Claims(*residual_thresholds(maps, valid, section.residual), claims(scores, section.residual))
    threshold, uneven = thresholds(maps, valid, section.threshold, coverage)
    # One comparison says: at or above the threshold, above 0, and in a map that is not flat.
    least = torch.where(uneven, threshold.clamp_min(torch.finfo(maps.dtype).tiny), torch.inf)
    return Claims(threshold, uneven, maps >= least[..., None, None])


def used_tokens(active: Tensor) -> Tensor:
    """Return the class tokens that are active in any image of a batch ``b c``, int64; token 0 where none is.

    Most of many classes are in no image of a batch, and their maps need no work.
    """
    used = active.any(dim=0)
    used[0] |= ~used.any()
    return used.nonzero().flatten()


def paint_rank(logits: Tensor) -> Tensor:
    """Return the position of each class in the order of painting, ``b c``: 0 for the lowest logit.

    Equal logits are painted in the order of their index.
    """
    order = logits.argsort(dim=1, stable=True)
    positions = torch.arange(logits.shape[1], device=logits.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, positions)


def _paint(claimed: Tensor, rank: Tensor) -> Tensor:
    """Return the claiming class of the highest rank at each pixel, ``b h w``, `OPEN` where there is none."""
    # The highest rank first and its class afterwards: a maximum with its index is many times slower on a CPU.
    height = (claimed * (rank[..., None, None] + 1).to(torch.int16)).amax(dim=1)  # 0 where no class claims
    class_of = functional.pad(rank.argsort(dim=1), (1, 0), value=OPEN)  # b 1+c
    return class_of.gather(1, height.flatten(1).long()).view(height.shape)


def _largest(scores: Tensor, active: Tensor, rank: Tensor) -> Tensor:
    """Return the active class with the largest score at each pixel; equal scores: the highest rank."""
    scores = scores.masked_fill(~active[..., None, None], -1)
    highest = scores.amax(dim=1, keepdim=True)
    return _paint((scores == highest) & active[..., None, None], rank)


def _filled(winner: Tensor, rank: Tensor, active: Tensor, section: PseudoMasks) -> Tensor:
    """Fill open pixels as the section says; an image without a claim, with its best active class."""
    if section.fill == "none":
        return winner
    best = torch.where(active, rank, OPEN).max(dim=1)
    only = torch.where(best.values == OPEN, OPEN, best.indices)[:, None, None]
    unclaimed = (winner == OPEN).flatten(1).all(dim=1)[:, None, None]
    if unclaimed.any():
        winner = torch.where(unclaimed, only, winner)
    return fill_majority(winner) if section.fill == "majority" else fill_nearest(winner)


def _mean(maps: Tensor, valid: Tensor | None) -> Tensor:
    """Return each map's mean over valid pixels, ``b c``."""
    if valid is None:
        return maps.mean(dim=(2, 3))
    return torch.einsum("bchw,bhw->bc", maps, valid.to(maps)) / valid.sum(dim=(1, 2)).clamp_min(1)[:, None]


def _scale(
    maps: Tensor, valid: Tensor | None, normalize: Literal["mean", "max", "none"], coverage: Tensor | None
) -> Tensor:
    """Return what each map is divided by, ``b c``; means are over the share of the image that shows the class."""
    if normalize == "max":
        seen = maps if valid is None else maps.masked_fill(~valid[:, None], 0)
        return seen.amax(dim=(2, 3))
    if normalize == "none":
        return torch.ones_like(maps[..., 0, 0])
    return _mean(maps, valid) if coverage is None else _mean(maps, valid) / coverage


def _positive(values: Tensor) -> Tensor:
    return torch.where(values > 0, values, 1)
