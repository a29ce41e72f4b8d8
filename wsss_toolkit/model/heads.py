"""Image-level classification from the class tokens' outputs."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from wsss_toolkit.errors import UsageError


class PerTokenHead(nn.Module):
    """Logit c is read from class token c alone: ``y_c = w_c . z_c + b_c``.

    Args:
        classes: Number of classes C.
        dim: Width D of a token.
    """

    def __init__(self, classes: int, dim: int) -> None:
        """Create one weight vector per class."""
        super().__init__()
        self.weight = nn.Parameter(nn.init.trunc_normal_(torch.empty(classes, dim), std=0.02))
        self.bias = nn.Parameter(torch.zeros(classes))

    def forward(self, tokens: Tensor, classes: Sequence[int] | None = None) -> Tensor:
        """Turn tokens `b k d` of the given classes (all if None) into logits `b k`."""
        chosen = slice(None) if classes is None else list(classes)
        return (tokens * self.weight[chosen]).sum(-1) + self.bias[chosen]


class ConcatHead(nn.Module):
    """One linear layer over all class tokens, ``Linear(T D, C)``; the paper's has T = C.

    Args:
        tokens: Number of class tokens T.
        classes: Number of classes C.
        dim: Width D of a token.
    """

    def __init__(self, tokens: int, classes: int, dim: int) -> None:
        """Create the linear layer."""
        super().__init__()
        self.linear = nn.Linear(tokens * dim, classes)
        nn.init.trunc_normal_(self.linear.weight, std=0.02)
        nn.init.zeros_(self.linear.bias)

    def forward(self, tokens: Tensor, classes: Sequence[int] | None = None) -> Tensor:
        """Turn all class tokens `b t d` into logits `b c`.

        Raises:
            UsageError: If a selection of classes is asked for: every logit needs every token.
        """
        if classes is not None:
            raise UsageError("the concat head reads every class token and cannot select classes", fix="use per_token")
        logits: Tensor = self.linear(tokens.flatten(1))
        return logits


class MeanHead(nn.Module):
    """Logit c is the mean of class token c over its D channels, before the final norm; nothing is learned here.

    Source: Xu et al., "Multi-class Token Transformer for Weakly Supervised Semantic Segmentation", CVPR 2022, where
    class tokens are pooled in this way. The norm would take the mean away that is to be read.
    """

    def forward(self, tokens: Tensor, classes: Sequence[int] | None = None) -> Tensor:
        """Turn tokens `b k d` of the given classes (all if None) into logits `b k`."""
        return tokens.mean(dim=-1)


def build_head(
    kind: Literal["concat", "per_token", "mean"], tokens: int, classes: int, dim: int
) -> PerTokenHead | ConcatHead | MeanHead:
    """Return the head that a recipe names; only the concat head may have another number of tokens than classes."""
    if kind == "mean":
        return MeanHead()
    return ConcatHead(tokens, classes, dim) if kind == "concat" else PerTokenHead(classes, dim)
