"""What a term of the loss is."""

from typing import TYPE_CHECKING

from wsss_toolkit.recipe.numbers import NotNegative
from wsss_toolkit.recipe.parts import Part

if TYPE_CHECKING:
    from torch import Tensor, nn

    from wsss_toolkit.heads.head import Shape
    from wsss_toolkit.objective.step import Step


class Term(Part):
    """One term of the loss. A subclass is registered in ``wsss.terms`` and computes `loss`."""

    weight: NotNegative = 1.0
    """What the term is multiplied by in the sum."""

    def module(self, shape: "Shape") -> "nn.Module | None":
        """Return weights of the term's own, which learn with the model; None for a term that has none."""
        return None

    def loss(self, step: "Step", module: "nn.Module | None") -> "Tensor":
        """Return the term, a scalar.

        Args:
            step: The training step.
            module: What `module` returned.
        """
        raise NotImplementedError
