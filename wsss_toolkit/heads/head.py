"""What a head is: it reads tokens and gives scores."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from torch import Tensor, nn

from wsss_toolkit.model.output import Output


@dataclass(frozen=True, slots=True)
class Shape:
    """What a head or a term needs to know of the model that it belongs to.

    Attributes:
        classes: Number of classes C.
        tokens: Number of class tokens: C, or 1 where all classes share one.
        dim: Width D of a token.
        depth: Number of blocks.
    """

    classes: int
    tokens: int
    dim: int
    depth: int


class Scores(NamedTuple):
    """What a head says.

    Attributes:
        logits: Image-level logits `b k` of the classes that were asked for.
        maps: Scores of the patches `b k gh gw`; None from heads that read class tokens.
    """

    logits: Tensor
    maps: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Features:
    """What a head may read.

    Attributes:
        output: The tokens.
        classes: The class tokens among them, in this order; None means all.
        masked: Class tokens that are set to zero, bool `b k`; None where none is. See `token_masking.py`.
    """

    output: Output
    classes: Sequence[int] | None = None
    masked: Tensor | None = None

    def class_tokens(self, *, normed: bool = True) -> Tensor:
        """Return the class tokens `b k d` after the last block, after the final norm or before it."""
        tokens = self.output.class_tokens if normed else self.output.tokens_before_norm[:, : self.output.layout.classes]
        return tokens if self.masked is None else tokens.masked_fill(self.masked[..., None], 0.0)

    def of_classes(self, scores: Tensor) -> Tensor:
        """Return the scores `... k` of the chosen classes from those of all, `... c`."""
        return scores if self.classes is None else scores[..., list(self.classes)]


class Head(nn.Module):
    """Reads tokens and gives scores.

    Attributes:
        reads_patches: Whether the head needs what the last block makes of the patches.
        selects_classes: Whether the score of a class depends on no other class's token.
    """

    reads_patches: ClassVar[bool] = False
    selects_classes: ClassVar[bool] = True

    def forward(self, features: Features) -> Scores:
        """Return the scores of the classes that the features hold."""
        raise NotImplementedError
