"""What the backbone returns."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from wsss_toolkit.model.layout import TokenLayout


@dataclass(frozen=True, slots=True)
class Output:
    """The tokens after the last block, and what readers made of the attention on the way."""

    tokens_before_norm: Tensor
    """`b t d`: class tokens first; patches and registers may be left out."""
    tokens: Tensor
    """The same after the final norm."""
    layout: TokenLayout
    read: Mapping[int, Any] = field(default_factory=dict)
    """What the reader of each block returned."""
    after: Mapping[int, Tensor] = field(default_factory=dict)
    """Tokens `b t d` after the blocks that were to be kept."""

    @property
    def class_tokens(self) -> Tensor:
        """Class tokens `b k d` after the final norm."""
        return self.tokens[:, : self.layout.classes]

    @property
    def patches(self) -> Tensor:
        """Patch tokens `b n d` after the final norm.

        Raises:
            ValueError: If the last block was told to compute class tokens alone.
        """
        first = self.layout.classes
        if self.tokens.shape[1] == first:
            raise ValueError("the last block's patches were not computed; call the backbone with whole=True")
        return self.tokens[:, first : first + self.layout.patches]
