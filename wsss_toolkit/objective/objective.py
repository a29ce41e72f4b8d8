"""The sum of the terms that a recipe names."""

from collections.abc import Mapping, Sequence
from typing import cast

from torch import Tensor, nn

from wsss_toolkit.heads.head import Shape
from wsss_toolkit.objective.step import Step
from wsss_toolkit.objective.term import Term
from wsss_toolkit.recipe.parts import Part, select_layers


class Objective(nn.Module):
    """The loss: ``sum_t w_t term_t(step)``, with the weights of terms that have some of their own.

    Args:
        terms: The recipe's `objective`.
        shape: The model's shape.
        entering: The block before which class tokens join the sequence.
    """

    def __init__(self, terms: Mapping[str, Part], shape: Shape, entering: int) -> None:
        super().__init__()
        self.terms = {name: cast(Term, term) for name, term in terms.items()}
        made = {name: term.module(shape) for name, term in self.terms.items()}
        self.own = nn.ModuleDict({name: module for name, module in made.items() if module is not None})
        needs = [term.needs() for term in self.terms.values()]
        self.attention: Sequence[int] = sorted(
            {
                block
                for need in needs
                if need.layers is not None
                for block in select_layers(need.layers, entering, shape.depth)
            }
        )
        self.blocks: Sequence[int] = sorted({block % shape.depth for need in needs for block in need.blocks})

    def forward(self, step: Step) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss, a scalar, and the terms before they are weighed, by name."""
        found = {
            name: term.loss(step, self.own[name] if name in self.own else None) for name, term in self.terms.items()
        }
        weighed = [self.terms[name].weight * value for name, value in found.items()]
        total = weighed[0]
        for value in weighed[1:]:
            total = total + value
        return total, found
