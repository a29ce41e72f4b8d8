"""Image-level classification from the class tokens' outputs."""

from typing import ClassVar

import torch
from torch import nn

from wsss_toolkit.errors import UsageError
from wsss_toolkit.heads.head import Features, Head, Scores, Shape


class PerTokenHead(Head):
    """Logit c is read from class token c alone: ``y_c = w_c . z_c + b_c``."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.init.trunc_normal_(torch.empty(shape.classes, shape.dim), std=0.02))
        self.bias = nn.Parameter(torch.zeros(shape.classes))

    def forward(self, features: Features) -> Scores:
        """Turn class tokens into logits `b k`."""
        chosen = slice(None) if features.classes is None else list(features.classes)
        return Scores((features.class_tokens() * self.weight[chosen]).sum(-1) + self.bias[chosen])


class ConcatHead(Head):
    """One linear layer over all T class tokens, ``Linear(T D, C)``; the paper's has T = C."""

    selects_classes: ClassVar[bool] = False

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.linear = nn.Linear(shape.tokens * shape.dim, shape.classes)
        nn.init.trunc_normal_(self.linear.weight, std=0.02)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: Features) -> Scores:
        """Turn all class tokens into logits `b c`.

        Raises:
            UsageError: If a selection of classes is asked for: every logit needs every token.
        """
        if features.classes is not None:
            raise UsageError("the concat head reads every class token and cannot select classes", fix="use per_token")
        return Scores(self.linear(features.class_tokens().flatten(1)))


class MeanHead(Head):
    """Logit c is the mean of class token c over its D channels, before the final norm; nothing is learned here.

    Source: Xu et al., "Multi-class Token Transformer for Weakly Supervised Semantic Segmentation", CVPR 2022, where
    class tokens are pooled in this way. The norm would take the mean away that is to be read.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()

    def forward(self, features: Features) -> Scores:
        """Turn class tokens into logits `b k`."""
        return Scores(features.class_tokens(normed=False).mean(dim=-1))
