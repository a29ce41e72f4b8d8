"""Weights of the classes in the network's loss."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from wsss_toolkit.images.dataset import read_pseudo_mask


def class_weights(masks: Sequence[Path], classes: int, balance: float) -> Tensor | None:
    """Return the weight of each class, float32 `c`: ``w_c = f_c^-balance / sum_k f_k^(1 - balance)``.

    f_c is the class's share of the pixels that have one, so the mean weight of a pixel is 1. With balance 1 all classes
    count alike, however rare; a class without any pixel weighs 0.

    Args:
        masks: Files of training masks.
        classes: Number of classes.
        balance: In 0..1; 0 returns None: every pixel counts alike.

    Raises:
        DataError: If a mask cannot be read.
    """
    if balance == 0:
        return None
    counts = np.zeros(256, np.int64)
    for file in masks:
        counts += np.bincount(read_pseudo_mask(file).ravel(), minlength=256)
    shares = counts[:classes] / max(1, counts[:classes].sum())
    weights = np.where(shares > 0, np.maximum(shares, 1e-12) ** -balance, 0)
    return torch.from_numpy(weights / max((weights * shares).sum(), 1e-12)).float()
