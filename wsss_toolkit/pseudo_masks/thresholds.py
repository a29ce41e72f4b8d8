"""Where a class map is high: the threshold of each map, over the valid pixels of its image."""

import torch
from torch import Tensor

from wsss_toolkit.recipe.schema import Threshold

OTSU_BINS = 256
"""Bins of the histogram in which Otsu's threshold is searched."""


def thresholds(
    maps: Tensor, valid: Tensor | None, section: Threshold, coverage: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return the threshold of each map, and which maps have one.

    A map is first scaled to 0..1 by its smallest and largest value over valid pixels; the threshold is found
    there and scaled back:

    - `mean`: the mean.
    - `otsu`: the level that maximises the variance between the pixels below and above it (Otsu, 1979).
    - `quantile`: the quantile `value`, interpolated linearly.
    - `fixed`: the level `value` itself.

    Args:
        maps: ``b c h w``.
        valid: bool ``b h w``; other pixels count for nothing. None takes all pixels.
        section: The recipe's `pseudo_masks.threshold`.
        coverage: The share of the image over which `mean` is taken, ``b c``, see `assign`; None means all of it.

    Returns:
        Thresholds ``b c`` in the maps' own units, and bool ``b c``, False for flat maps: they say nothing
        about where their class is, and no threshold splits them.
    """
    pixels = maps.flatten(2)  # b c n
    inside = None if valid is None else valid.flatten(1)[:, None]  # b 1 n
    low = (pixels if inside is None else pixels.masked_fill(~inside, torch.inf)).amin(dim=-1)
    high = (pixels if inside is None else pixels.masked_fill(~inside, -torch.inf)).amax(dim=-1)
    spread = high - low
    # Maps are rounded; a spread of that order is no structure. False for -inf (no valid pixel), too.
    uneven = spread > 1e-6 * torch.maximum(low.abs(), high.abs())
    low, spread = torch.where(uneven, low, 0), torch.where(uneven, spread, 1)
    if section.method == "mean" and inside is None:
        mean = low + (pixels - low[..., None]).mean(dim=-1)
        return torch.minimum(mean if coverage is None else mean / coverage, high), uneven
    if section.method == "fixed":
        return torch.minimum(low + _given(section) * spread, high), uneven
    if inside is None:
        inside = torch.ones_like(pixels[:, :1], dtype=torch.bool)
    scaled = (pixels - low[..., None]) / spread[..., None]
    if section.method == "mean":
        level = (scaled * inside).sum(dim=-1) / inside.sum(dim=-1).clamp_min(1)
        if coverage is not None:
            level = ((low + level * spread) / coverage - low) / spread
    elif section.method == "otsu":
        level = _otsu(scaled, inside)
    else:
        level = quantile(scaled, inside, _given(section))
    # Rounding must not lift a level of 1 above the largest value.
    return torch.minimum(low + level * spread, high), uneven


def _given(section: Threshold) -> float:
    assert section.value is not None  # the schema asks for it
    return section.value


def _otsu(scaled: Tensor, inside: Tensor) -> Tensor:
    """Return Otsu's level ``b c`` of maps in 0..1, ``b c n``: the edge between two bins."""
    bins = (scaled * OTSU_BINS).long().clamp(0, OTSU_BINS - 1)
    histogram = torch.zeros(*scaled.shape[:2], OTSU_BINS, dtype=scaled.dtype, device=scaled.device)
    histogram.scatter_add_(2, bins, inside.expand_as(scaled).to(scaled.dtype))
    centres = (torch.arange(OTSU_BINS, dtype=scaled.dtype, device=scaled.device) + 0.5) / OTSU_BINS
    below = histogram.cumsum(dim=-1)
    sum_below = (histogram * centres).cumsum(dim=-1)
    above = below[..., -1:] - below
    sum_above = sum_below[..., -1:] - sum_below
    difference = sum_below / below.clamp_min(1) - sum_above / above.clamp_min(1)
    between = below * above * difference**2
    # An empty stretch between two groups has the same variance all along: take its middle.
    best = between == between.amax(dim=-1, keepdim=True)
    edges = centres + 0.5 / OTSU_BINS
    return (best * edges).sum(dim=-1) / best.sum(dim=-1)


def quantile(scaled: Tensor, inside: Tensor, share: float) -> Tensor:
    """Return the quantile ``b c`` over the valid pixels, by linear interpolation."""
    # torch.quantile refuses more than 16 million values and knows no validity.
    ordered = scaled.masked_fill(~inside, torch.inf).sort(dim=-1).values
    position = share * (inside.sum(dim=-1).clamp_min(1) - 1).to(scaled.dtype)
    position = position.expand(scaled.shape[:2])
    lower = position.floor().long()[..., None]
    upper = position.ceil().long()[..., None]
    below, above = ordered.gather(-1, lower).squeeze(-1), ordered.gather(-1, upper).squeeze(-1)
    return torch.where(below == above, below, below + (above - below) * (position - position.floor()))
