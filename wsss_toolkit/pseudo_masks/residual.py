"""The background as what class maps leave over, for objects before something that has no class of its own."""

import torch
from torch import Tensor

from wsss_toolkit.pseudo_masks.thresholds import quantile
from wsss_toolkit.recipe.schema import Residual


def residual_scores(maps: Tensor, valid: Tensor | None, section: Residual) -> tuple[Tensor, Tensor]:
    """Return the scores of all classes and of the background, in 0..1, so that they can be compared.

    Each map M_c is scaled by values of its own image, over valid pixels: m_c = clamp((M_c - low) / (high - low), 0, 1).
    `low` is its smallest value: attention is nowhere 0. `high` is its quantile `peak`, so that a few patches of very
    high attention do not press all others down; where the quantile is the smallest value too (an object smaller than
    1 - `peak` of the image, in a map that is 0 elsewhere), it is the largest value. A flat map is 0. Without `peak`
    maps are in 0..1 already, and stay as they are.

    - `power`: bg = (1 - max_c m_c)^value (Ahn & Kwak, CVPR 2018, equation 2, who divide by the largest value).
    - `level`: bg = value.

    Args:
        maps: ``b c h w``, those of classes that are not active 0.
        valid: bool ``b h w``; other pixels count for nothing. None takes all pixels.
        section: The recipe's `pseudo_masks.residual`.

    Returns:
        Class scores ``b c h w`` and the background's ``b h w``.
    """
    low, high, uneven = _ends(maps, valid, section)
    low, spread = torch.where(uneven, low, 0), torch.where(uneven, high - low, 1)
    scores = ((maps - low[..., None, None]) / spread[..., None, None]).clamp(0, 1) * uneven[..., None, None]
    return scores, background_score(scores.amax(dim=1), section)


def residual_thresholds(maps: Tensor, valid: Tensor | None, section: Residual) -> tuple[Tensor, Tensor]:
    """Return from which value on each map claims a pixel, ``b c`` in its own units, and which maps are not flat.

    For showing: `claims` compares the scores themselves, without the rounding of the way back.
    """
    low, high, uneven = _ends(maps, valid, section)
    return torch.where(uneven, low + winning_level(section) * (high - low), high), uneven


def _ends(maps: Tensor, valid: Tensor | None, section: Residual) -> tuple[Tensor, Tensor, Tensor]:
    """Return the values that become 0 and 1, ``b c``, and bool ``b c``: whether a map is not flat."""
    if valid is None:
        valid = torch.ones_like(maps[:, 0], dtype=torch.bool)
    if section.peak is None:
        some = maps.amax(dim=(2, 3)) > 0
        return torch.zeros_like(some, dtype=maps.dtype), torch.ones_like(some, dtype=maps.dtype), some
    pixels, inside = maps.flatten(2), valid.flatten(1)[:, None]  # b c n, b 1 n
    low = pixels.masked_fill(~inside, torch.inf).amin(dim=-1)
    high = pixels.masked_fill(~inside, -torch.inf).amax(dim=-1)
    # Maps are rounded; a spread of that order is no structure. False for -inf (no valid pixel), too.
    uneven = high - low > 1e-6 * torch.maximum(low.abs(), high.abs())
    if section.peak < 1:
        robust = quantile(pixels, inside, section.peak)
        high = torch.where(robust - low > 1e-6 * torch.maximum(low.abs(), robust.abs()), robust, high)
    return low, high, uneven


def claims(scores: Tensor, section: Residual) -> Tensor:
    """Return where each class alone would win over the background it leaves, bool ``b c h w``.

    The background falls as the largest score rises, so some class claims a pixel exactly where the largest score
    reaches the background's: `paint` and `argmax` leave the same pixels to the background.
    """
    return (scores >= background_score(scores, section)) & (scores > 0)


def background_score(foreground: Tensor, section: Residual) -> Tensor:
    """Return the background's score where the classes have `foreground`, in 0..1, any shape."""
    if section.method == "level":
        return torch.full_like(foreground, section.value)
    return (1 - foreground) ** section.value


def winning_level(section: Residual) -> float:
    """Return the score m from which on a class alone wins: value, or where m = (1 - m)^value, in 0..1."""
    if section.method == "level":
        return section.value
    low, high = 0.0, 1.0
    for _ in range(60):  # halving: m rises and what it leaves over falls
        middle = (low + high) / 2
        low, high = (middle, high) if middle < (1 - middle) ** section.value else (low, middle)
    return high
