"""Seeds: patches that are sure enough to learn from, as foreground or as background."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from wsss_toolkit.recipe.numbers import Share

QUANTILE_VALUES = 4_000_000
"""Quantiles over a data set are of so many values at most, evenly spaced."""


class Seeds(NamedTuple):
    """What each patch of some images is to learn.

    Attributes:
        foreground: Whether it is foreground, bool `m n`.
        known: Whether it is a seed at all, bool `m n`.
    """

    foreground: Tensor
    known: Tensor


def ranks(evidence: Tensor, visible: Tensor) -> Tensor:
    """Return the rank of each patch within its image, from 0 for the least to below 1; -1 where there is none to have.

    Args:
        evidence: How much speaks for foreground, on any scale, `m n`.
        visible: Patches that may be seeds, bool `m n`.

    >>> ranks(torch.tensor([[5.0, 1.0, 9.0, 3.0]]), torch.tensor([[True, True, False, True]]))
    tensor([[ 0.6667,  0.0000, -1.0000,  0.3333]])
    """
    order = evidence.masked_fill(~visible, torch.inf).argsort(dim=1, stable=True)
    places = torch.empty_like(order).scatter_(1, order, torch.arange(order.shape[1]).expand_as(order))
    return (places / visible.sum(1, keepdim=True).clamp_min(1)).masked_fill(~visible, -1.0)


def seeds_by_rank(rank: Tensor, area: tuple[Share, Share], empty: Tensor) -> Seeds:
    """Take the top of every image as foreground and its bottom as background.

    Args:
        rank: From `ranks`, `m n`.
        area: Smallest and largest share of an image that foreground covers.
        empty: Images that are known to show nothing, bool `m`: all their patches are background.
    """
    seen = rank >= 0
    foreground = (rank >= 1 - area[0]) & ~empty[:, None]
    background = (rank < 1 - area[1]) | empty[:, None]
    return Seeds(foreground & seen, (foreground | background) & seen)


def seeds_by_value(
    values: Sequence[Tensor], visible: Sequence[Tensor], area: tuple[Share, Share], empty: Sequence[Tensor]
) -> list[Seeds]:
    """Take as seeds what is sure by comparison with the whole data set, or within an image that has little of it.

    Foreground is above the smaller of T and 0.8 of the image's largest value, background below the smaller of B
    and 0.4 of it; T and B are quantiles over all images that may show something: 1 - 0.75 times the smallest and the
    largest area.

    Args:
        values: How much speaks for foreground, on one scale for all images, not negative but where nothing speaks for
            it, `m n` for each group.
        visible: Patches that may be seeds, bool `m n` for each group.
        area: Smallest and largest share of an image that foreground covers.
        empty: Images that are known to show nothing, bool `m` for each group.
    """
    showing = zip(values, visible, empty, strict=True)
    shown = torch.cat([found[seen & ~none[:, None]] for found, seen, none in showing]).numpy()
    high, low = np.quantile(shown[:: -(-len(shown) // QUANTILE_VALUES)], [1 - 0.75 * share for share in area])
    made = []
    for found, seen, none in zip(values, visible, empty, strict=True):
        largest = found.masked_fill(~seen, 0).amax(1, keepdim=True)
        foreground = (found > (0.8 * largest).clamp_max(high)) & ~none[:, None]
        background = (found < (0.4 * largest).clamp_max(low)) | none[:, None]
        made.append(Seeds(foreground & seen, (foreground | background) & seen))
    return made
