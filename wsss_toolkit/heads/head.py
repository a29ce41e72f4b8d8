"""What a head is: it reads tokens and gives scores."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from torch import Tensor, nn

from wsss_toolkit.model.output import Output


@dataclass(frozen=True, slots=True)
class Shape:
    """What a head or a term needs to know of the model that it belongs to."""

    classes: int
    """Number of classes C."""
    tokens: int
    """Number of class tokens: C, or 1 where all classes share one."""
    dim: int
    """Width D of a token."""
    depth: int
    """Number of blocks."""


class Scores(NamedTuple):
    """What a head says."""

    logits: Tensor
    """Image-level logits `b k` of the classes that were asked for."""
    maps: Tensor | None = None
    """Scores of the patches `b k gh gw`; None from heads that read class tokens."""


@dataclass(frozen=True, slots=True)
class Features:
    """What a head may read."""

    output: Output
    classes: Sequence[int] | None = None
    """The class tokens among them, in this order; None means all."""
    masked: Tensor | None = None
    """Class tokens that are set to zero, bool `b k`; None where none is. See `token_masking.py`."""

    def class_tokens(self, *, normed: bool = True) -> Tensor:
        """Return the class tokens `b k d` after the last block, after the final norm or before it."""
        tokens = self.output.class_tokens if normed else self.output.tokens_before_norm[:, : self.output.layout.classes]
        return tokens if self.masked is None else tokens.masked_fill(self.masked[..., None], 0.0)

    def of_classes(self, scores: Tensor) -> Tensor:
        """Return the scores `... k` of the chosen classes from those of all, `... c`."""
        return scores if self.classes is None else scores[..., list(self.classes)]


class Head(nn.Module):
    """Reads tokens and gives scores."""

    reads_patches: ClassVar[bool] = False
    """Whether the head needs what the last block makes of the patches."""
    selects_classes: ClassVar[bool] = True
    """Whether the score of a class depends on no other class's token."""

    def forward(self, features: Features) -> Scores:
        """Return the scores of the classes that the features hold."""
        raise NotImplementedError
