"""The terms of the loss that a recipe can name: docs/method.md, section 2."""

from typing import TYPE_CHECKING

from wsss_toolkit.objective.term import Term
from wsss_toolkit.recipe.numbers import NotNegative
from wsss_toolkit.recipe.parts import Needs

if TYPE_CHECKING:
    from torch import Tensor, nn

    from wsss_toolkit.objective.step import Step


class Presence(Term):
    """Classification of images by a head's logits: which classes does an image show?"""

    head: str = "class"
    """The head whose logits are compared with the image-level labels."""

    def needs(self) -> Needs:
        """Ask for the head."""
        return Needs(heads=(self.head,))

    def loss(self, step: "Step", module: "nn.Module | None") -> "Tensor":
        """Return the binary cross-entropy, or the cross-entropy where every image has exactly one class."""
        from wsss_toolkit.objective.losses import classification_loss

        return classification_loss(step.scores[self.head].logits, step.labels, exclusive=step.exclusive)


class OpenGates(Term):
    """The expected number of open gates of attention heads (Louizos et al., 2017); 0 where heads are not gated."""

    weight: NotNegative = 0.01
    """What the term is multiplied by in the sum: the paper's lambda."""

    def loss(self, step: "Step", module: "nn.Module | None") -> "Tensor":
        """Return the sum of the gates' probabilities to be open."""
        return step.open_gates


class MapDiversity(Term):
    """Pushes the class maps of the last block apart, as the paper's reference code can."""

    weight: NotNegative = 0.1
    """What the term is multiplied by in the sum."""

    def needs(self) -> Needs:
        """Ask for the attention of the last block, and a token of its own for every class."""
        return Needs(layers="last", class_maps=True)

    def loss(self, step: "Step", module: "nn.Module | None") -> "Tensor":
        """Return the mean distance of the class maps' Gram matrix from the identity."""
        from wsss_toolkit.model.attention_maps import class_map
        from wsss_toolkit.objective.losses import diversity_loss

        return diversity_loss(class_map(step.attention[max(step.attention)]).maps)
