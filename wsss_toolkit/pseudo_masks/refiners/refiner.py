"""What a refiner is."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, cast

from wsss_toolkit.recipe.parts import Part

if TYPE_CHECKING:
    from torch import Tensor

    from wsss_toolkit.heads.classifier import Classifier, Seen
    from wsss_toolkit.model.attention_maps import Reader


class Refiner(Part):
    """Improves maps, on the patch grid of each window or on whole images.

    A subclass is registered in ``wsss.refiners``.
    """

    on_grid: ClassVar[bool] = False
    """Whether it works on patch grids (`spread`); otherwise on images (`refine`)."""

    def reads(self, model: "Classifier") -> "Mapping[int, Reader]":
        """Return the blocks whose attention it looks at, patches' own included, and the reader of each."""
        return {}

    def spread(self, maps: "Tensor", seen: "Seen") -> "Tensor":
        """Return the maps `b c gh gw` of one window, changed on the patch grid.

        Args:
            maps: Not negative.
            seen: What the classifier says of the window.
        """
        raise NotImplementedError

    def refine(self, maps: "Tensor", images: "Tensor") -> "Tensor":
        """Return the maps or scores `b c h w` of whole images, changed.

        Args:
            maps: Not negative, at the size of the images.
            images: The model's input `b k h w`.
        """
        raise NotImplementedError


def refiners_of(parts: Mapping[str, Part], *, on_grid: bool) -> list[Refiner]:
    """Return those of a recipe's `refine` that work on patch grids, or on images, in their order."""
    refiners = [cast(Refiner, part) for part in parts.values()]
    return [refiner for refiner in refiners if refiner.on_grid == on_grid]
