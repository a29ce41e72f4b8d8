"""Class maps from how much more a patch speaks for one class than for the others."""

from typing import TYPE_CHECKING

from wsss_toolkit.pseudo_masks.sources.source import MapSource
from wsss_toolkit.recipe.parts import Needs

if TYPE_CHECKING:
    from torch import Tensor

    from wsss_toolkit.heads.classifier import Seen


class Contrast(MapSource):
    """How much more a patch speaks for a class than for the one that it speaks for least."""

    head: str | None = None
    """A trained head that scores patches; null, for `consensus.seeds` alone: linear multiple-instance classifiers that
    the stage fits on its own tokens.
    """

    def needs(self) -> Needs:
        """Ask for the head."""
        return Needs(patch_heads=() if self.head is None else (self.head,))

    def maps(self, seen: "Seen") -> "Tensor":
        """Return ``s_c - min_k s_k``; of one class alone ``max(s, 0)``: it is told from images without it."""
        from wsss_toolkit.pseudo_masks.sources.patch_scores import patch_scores

        scores = patch_scores(seen, self.head or "")
        return scores.relu() if scores.shape[1] == 1 else scores - scores.amin(1, keepdim=True)
