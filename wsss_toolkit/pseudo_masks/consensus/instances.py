"""Multiple-instance classifiers: linear classifiers of patches, learned from what whole images show."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wsss_toolkit.heads.patch_head import pool_top
from wsss_toolkit.pseudo_masks.consensus.features import Standardise
from wsss_toolkit.pseudo_masks.consensus.groups import Group, over
from wsss_toolkit.pseudo_masks.consensus.training import fit

STARTS = 8
"""Classifiers that differ in the order of images; the one with the least loss is kept. About one in three ends in a
poor optimum, where patches beside the objects are what speaks, and its loss is higher."""
EPOCHS, LR = 8, 3e-3


class Instances(nn.Module):
    """Scores of patches ``s_pc = w_c . (x_p - x)``; logits of images ``y_c = b_c + mean of the largest 5 % of s_pc``.

    x is the mean of the image's inner patches, and only these take part in its logit. Without the mean, what tells one
    device or place from another, which all patches of an image share, would be what classes are told by.

    Args:
        components: Components of a feature.
        classes: Number of classes.
    """

    def __init__(self, components: int, classes: int) -> None:
        """Start from zero: the order of images is all that is random."""
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(classes, components))
        self.bias = nn.Parameter(torch.zeros(classes))

    def forward(self, half_white: Tensor, inner: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores of patches `b n c` and logits of images `b c`."""
        shown = inner[..., None].to(half_white)
        mean = (half_white * shown).sum(1, keepdim=True) / shown.sum(1, keepdim=True).clamp_min(1)
        scores = (half_white - mean) @ self.weight.T
        return scores, pool_top(scores, inner) + self.bias


def fit_instances(groups: Sequence[Group], labels: Tensor, standardise: Standardise, seed: int) -> Instances:
    """Fit classifiers to image-level labels from several orders of images, and return the one that explains them best.

    Args:
        groups: Features of the training images.
        labels: Which classes the images show, 0 or 1, `n c` in the order of the data set.
        standardise: Makes features half white.
        seed: The recipe's.
    """
    found = [fit_once(groups, labels, standardise, seed * STARTS + start, start + 1) for start in range(STARTS)]
    return min(found, key=lambda fitted: fitted[1])[0]


def fit_once(
    groups: Sequence[Group], labels: Tensor, standardise: Standardise, seed: int, number: int
) -> tuple[Instances, float]:
    """Fit one classifier; return it and the binary cross-entropy that is left, summed over all images and classes."""
    model = Instances(groups[0].white.shape[-1], labels.shape[1])

    def loss(white: Tensor, group: int, rows: Tensor) -> tuple[Tensor, int]:
        _, logits = model(standardise.half_white(white), groups[group].inner[rows])
        shown = labels[groups[group].places[rows]]
        return F.binary_cross_entropy_with_logits(logits, shown, reduction="sum"), shown.numel()

    fit(model, groups, loss, epochs=EPOCHS, lr=LR, seed=seed, what=f"patch classifier {number} of {STARTS}")
    logits = over(groups, lambda white, inner, grid: model(standardise.half_white(white), inner)[1])
    left = [
        F.binary_cross_entropy_with_logits(made, labels[group.places], reduction="sum").item()
        for made, group in zip(logits, groups, strict=True)
    ]
    return model, sum(left)


def evidence(model: Instances, half_white: Tensor, inner: Tensor) -> Tensor:
    """Return how much speaks for foreground at each patch, `b n`: the contrast of scores less their image's median.

    Most of an image is background: what the classifier says of it, in this image, is where its scores begin.
    """
    scores, _ = model(half_white, inner)
    middle = scores.masked_fill(~inner[..., None], torch.nan).nanmedian(1, keepdim=True).values
    return contrast(scores - middle)


def contrast(scores: Tensor) -> Tensor:
    """Return how much more a patch speaks for one class than for another, from scores `... c`.

    Where classes are told apart, there is the object. One class alone is told from images without it: its score counts.

    >>> contrast(torch.tensor([[1.0, -2.0], [3.0, 3.0]]))
    tensor([3., 0.])
    """
    return scores[..., 0] if scores.shape[-1] == 1 else scores.amax(-1) - scores.amin(-1)
