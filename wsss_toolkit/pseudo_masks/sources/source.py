"""What a map source is."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from wsss_toolkit.recipe.parts import Part

if TYPE_CHECKING:
    from torch import Tensor

    from wsss_toolkit.heads.classifier import Classifier, Seen
    from wsss_toolkit.model.attention_maps import Reader


class MapSource(Part):
    """Makes class maps of what the classifier says. A subclass is registered in ``wsss.map_sources``."""

    per_class: ClassVar[bool] = False
    """Whether each map takes work of its own (a backward pass), so that maps are made by `maps_of` and for the classes
    alone that may appear in a mask."""

    def reads(self, model: "Classifier") -> "Mapping[int, Reader]":
        """Return the blocks whose attention it looks at, and the reader of each."""
        return {}

    def maps(self, seen: "Seen") -> "Tensor":
        """Return the maps `b c gh gw` of the classes that were computed, not negative.

        Args:
            seen: What the classifier says; ``seen.output.read[block][reader]`` is what a reader returned.
        """
        raise NotImplementedError

    def maps_of(
        self, model: "Classifier", images: "Tensor", present: "Tensor | None", valid: "Tensor | None", tokens: list[int]
    ) -> "Tensor":
        """Return the maps `b k gh gw` of some classes, for sources whose maps take work of their own."""
        raise NotImplementedError
