"""Which pixels of pseudo-masks count for less: weights by confidence, and levels below which a class is ignored."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wsss_toolkit.domain import IGNORE_INDEX
from wsss_toolkit.domain.progress import counted
from wsss_toolkit.images.dataset import read_confidence, read_pseudo_mask

VALUES = 256
"""Values of an 8-bit layer."""


def ignore_levels(masks: Sequence[Path], share: float) -> Tensor:
    """Return the confidence below which each class's pixels are ignored.

    The level of class c is the largest L for which at most `share` of the pixels that all masks together give to c have
    a confidence below L. So no class loses more than that share, however unsure the classifier is of it; where
    many pixels share one confidence, a class loses less.

    Args:
        masks: Pseudo-masks with confidence layers beside them.
        share: In 0 to below 1.

    Returns:
        int64 of 256 entries, by mask value: 0 for values that no mask has, and for 255.

    Raises:
        DataError: If a mask or its confidence cannot be read.
    """
    counts = np.zeros((VALUES, VALUES), np.int64)
    for path in counted(masks, "confidence of pseudo-masks", len(masks)):
        mask, level = read_pseudo_mask(path).astype(np.int64), read_confidence(path)
        counts += np.bincount((mask * VALUES + level).ravel(), minlength=VALUES**2).reshape(VALUES, VALUES)
    counts[IGNORE_INDEX] = 0
    return torch.from_numpy(levels_of(counts, share))


def levels_of(counts: NDArray[np.int64], share: float) -> NDArray[np.int64]:
    """Return the largest level L of each row below which at most `share` of its counts lie, 0 for rows of zeros.

    Args:
        counts: Pixels by class and confidence, `c 256`.
        share: In 0 to below 1.
    """
    below = np.cumsum(counts, axis=1) - counts
    total = counts.sum(axis=1)
    allowed = below <= share * total[:, None]
    return np.where(total > 0, allowed.sum(axis=1) - 1, 0)


def ignore_uncertain(masks: Tensor, confidence: Tensor, levels: Tensor) -> Tensor:
    """Return the masks with 255 where the confidence lies below the level of the pixel's class.

    Args:
        masks: int64 ``b h w``.
        confidence: uint8 ``b h w``.
        levels: From `ignore_levels`, on the same device.
    """
    return masks.masked_fill(confidence < levels[masks], IGNORE_INDEX)


def pixel_weights(confidence: Tensor, exponent: float) -> Tensor:
    """Return the weight of each pixel in the loss, ``(confidence / 255) ** exponent``, float32 in 0..1."""
    return (confidence.float() / (VALUES - 1)).pow(exponent)
