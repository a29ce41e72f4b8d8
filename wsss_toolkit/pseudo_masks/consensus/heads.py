"""What is fitted to the seeds of all images: a linear head, then a convolutional one."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wsss_toolkit.pseudo_masks.consensus.groups import Group
from wsss_toolkit.pseudo_masks.consensus.seeds import Seeds
from wsss_toolkit.pseudo_masks.consensus.training import fit

WIDTH = 64


class LinearHead(nn.Module):
    """Scores of background and foreground from each patch alone.

    Args:
        components: Components of a feature.
    """

    def __init__(self, components: int) -> None:
        """Start from zero."""
        super().__init__()
        self.linear = nn.Linear(components, 2)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, white: Tensor, grid: tuple[int, int]) -> Tensor:
        """Return scores `b 2 n`."""
        scores: Tensor = self.linear(white).mT
        return scores


class ConvHead(nn.Module):
    """Scores of background and foreground, or of classes, from each patch and its eight neighbours.

    Args:
        components: Components of a feature.
        classes: Number of scores.
        width: Channels between the layers.
    """

    def __init__(self, components: int, classes: int = 2, width: int = WIDTH) -> None:
        """Create the layers."""
        super().__init__()
        self.inward = nn.Linear(components, width)
        self.around = nn.Conv2d(width, width, 3, padding=1)
        self.outward = nn.Conv2d(width, classes, 1)
        self.drop = nn.Dropout2d(0.1)

    def forward(self, white: Tensor, grid: tuple[int, int]) -> Tensor:
        """Return scores `b c n`."""
        x = F.gelu(self.inward(white)).mT.reshape(white.shape[0], -1, *grid)
        x = x + F.gelu(self.around(x))
        scores: Tensor = self.outward(self.drop(x)).flatten(2)
        return scores


def fit_head(
    head: nn.Module, groups: Sequence[Group], seeds: Sequence[Seeds], *, epochs: int, lr: float, seed: int, what: str
) -> None:
    """Fit a head to seeds by cross-entropy; the arguments are those of `fit`, and the seeds of each group."""

    def loss(white: Tensor, group: int, rows: Tensor) -> tuple[Tensor, Tensor]:
        foreground, known = (part[rows] for part in seeds[group])
        errors = F.cross_entropy(head(white, groups[group].grid), foreground.long(), reduction="none")
        return (errors * known).sum(), known.sum()

    fit(head, groups, loss, epochs=epochs, lr=lr, seed=seed, what=what)


def mean_logit(heads: Iterable[nn.Module], white: Tensor, grid: tuple[int, int]) -> Tensor:
    """Return the logit of foreground of each patch, `b n`, averaged over heads."""
    scores = torch.stack([head(white, grid) for head in heads]).mean(0)
    return scores[:, 1] - scores[:, 0]
