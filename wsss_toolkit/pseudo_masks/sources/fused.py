"""Class maps from attention and scores of patches together."""

from typing import TYPE_CHECKING

from wsss_toolkit.pseudo_masks.sources.attention import Attention
from wsss_toolkit.pseudo_masks.sources.patch_scores import rectified_scores
from wsss_toolkit.recipe.parts import Needs

if TYPE_CHECKING:
    from torch import Tensor

    from wsss_toolkit.heads.classifier import Seen


class Fused(Attention):
    """The attention of class tokens times the rectified scores of a head that reads patches."""

    head: str = "patch"
    """The head."""

    def needs(self) -> Needs:
        """Ask for the layers and the head."""
        return Needs(layers=self.layers, patch_heads=(self.head,))

    def maps(self, seen: "Seen") -> "Tensor":
        """Return the product."""
        return super().maps(seen) * rectified_scores(seen, self.head)
