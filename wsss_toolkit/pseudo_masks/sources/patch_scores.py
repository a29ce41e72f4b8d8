"""Class maps from a head's scores of patches."""

from typing import TYPE_CHECKING

from wsss_toolkit.pseudo_masks.sources.source import MapSource
from wsss_toolkit.recipe.parts import Needs

if TYPE_CHECKING:
    from torch import Tensor

    from wsss_toolkit.heads.classifier import Seen


class PatchScores(MapSource):
    """The rectified scores of a head that reads patches."""

    head: str = "patch"
    """The head."""

    def needs(self) -> Needs:
        """Ask for the head."""
        return Needs(patch_heads=(self.head,))

    def maps(self, seen: "Seen") -> "Tensor":
        """Return ``max(s, 0)`` of the scores."""
        return rectified_scores(seen, self.head)


def rectified_scores(seen: "Seen", head: str) -> "Tensor":
    """Return ``max(s, 0)`` of a head's scores of patches, `b c gh gw`; errors are those of `patch_scores`."""
    return patch_scores(seen, head).relu()


def patch_scores(seen: "Seen", head: str) -> "Tensor":
    """Return a head's scores of patches, float32 `b c gh gw`.

    Raises:
        UsageError: If the classifier has no such head, or it reads no patches.
    """
    from wsss_toolkit.errors import UsageError

    maps = seen.scores[head].maps if head in seen.scores else None
    if maps is None:
        raise UsageError(
            f"pseudo_masks.source needs scores of patches, and the classifier has no head {head!r} that gives them",
            fix=f"add heads.{head}: {{kind: linear}} and train again",
        )
    return maps.float()
