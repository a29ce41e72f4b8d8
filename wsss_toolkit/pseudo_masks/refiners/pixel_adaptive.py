"""Maps whose borders follow the image's."""

from typing import TYPE_CHECKING

from wsss_toolkit.pseudo_masks.refiners.refiner import Refiner
from wsss_toolkit.recipe.numbers import Count

if TYPE_CHECKING:
    from torch import Tensor


class PixelAdaptive(Refiner):
    """Refinement of class maps or scores by the image's local similarity (Ru et al., CVPR 2022)."""

    iterations: Count = 10
    """Steps."""

    def refine(self, maps: "Tensor", images: "Tensor") -> "Tensor":
        """Replace every value by the weighted mean of its neighbours', step by step."""
        from wsss_toolkit.pseudo_masks.similarity import pixel_adaptive

        return pixel_adaptive(maps, images, iterations=self.iterations)
