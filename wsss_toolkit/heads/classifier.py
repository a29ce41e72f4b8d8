"""The classifier: a backbone and the heads that read it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor, nn

from wsss_toolkit.domain import ChannelTable
from wsss_toolkit.errors import UsageError
from wsss_toolkit.heads.head import Features, Head, Scores, Shape
from wsss_toolkit.model.output import Output
from wsss_toolkit.model.vit import NOTHING, Fusion, MultiTokenViT, Read, build_backbone
from wsss_toolkit.recipe.parts import Part
from wsss_toolkit.recipe.schema import Model

IMAGE_HEAD = "class"
"""The head that says which classes an image shows."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a classifier says of a batch."""

    output: Output
    scores: Mapping[str, Scores]
    """What each head says, by its name."""

    @property
    def logits(self) -> Tensor:
        """Image-level logits `b k`, of the head `class`."""
        return self.scores[IMAGE_HEAD].logits


def build_classifier(
    section: Model,
    heads: Mapping[str, Part],
    channels: ChannelTable,
    fusion: Fusion,
    classes: int,
    *,
    frozen_below: int = 0,
) -> "Classifier":
    """Build the classifier that a recipe describes, with random weights; deterministic given torch's seed.

    `heads` are the recipe's; the rest, and the errors, are those of `build_backbone` and `Classifier`.
    """
    backbone = build_backbone(section, channels, fusion, classes, frozen_below=frozen_below)
    return Classifier(backbone, heads)


class Classifier(nn.Module):
    """A backbone whose tokens are read by heads.

    Args:
        backbone: The Vision Transformer with class tokens.
        heads: Options of the heads by name; `class` says what an image shows.

    Raises:
        UsageError: If there is no head `class`.
    """

    def __init__(self, backbone: MultiTokenViT, heads: Mapping[str, Part]) -> None:
        super().__init__()
        if IMAGE_HEAD not in heads:
            raise UsageError("no head is called `class`, which says what an image shows", fix="name one of heads so")
        self.backbone = backbone
        self.head_options = dict(heads)
        built = {name: cast(Any, options).build(self.shape) for name, options in heads.items()}
        # `class` alone is a word of Python, which exported programs cannot have as a name.
        self.heads = nn.ModuleDict({f"{name}_head": head for name, head in built.items()})

    @property
    def shape(self) -> Shape:
        """Numbers of classes, class tokens, channels and blocks."""
        backbone = self.backbone
        return Shape(backbone.classes, backbone.tokens, backbone.dim, backbone.depth)

    @property
    def classes(self) -> int:
        """Number of classes C."""
        return self.backbone.classes

    @property
    def reads_patches(self) -> bool:
        """Whether some head needs what the last block makes of the patches."""
        return any(self.head(name).reads_patches for name in self.head_options)

    @property
    def selects_classes(self) -> bool:
        """Whether some classes can be computed without the others, with the same results."""
        asymmetric = self.backbone.section.attention == "asymmetric"
        return asymmetric and all(self.head(name).selects_classes for name in self.head_options)

    def head(self, name: str) -> Head:
        """Return one head, or raise UsageError where none has this name."""
        if name not in self.head_options:
            known = ", ".join(self.head_options)
            raise UsageError(f"the classifier has no head {name!r}, only {known}", fix="train with one")
        return cast(Head, self.heads[f"{name}_head"])

    def forward(
        self,
        images: Tensor,
        *,
        present: Tensor | None = None,
        valid: Tensor | None = None,
        classes: Sequence[int] | None = None,
        read: Read = NOTHING,
        whole: bool = False,
    ) -> Seen:
        """Classify images; the arguments and errors are those of `MultiTokenViT.forward`.

        Raises:
            UsageError: If classes are selected and they depend on each other.
        """
        if classes is not None and not self.selects_classes:
            raise UsageError(
                "classes can be selected only where they do not depend on each other",
                fix="use `attention: asymmetric` and no head of kind concat",
            )
        output = self.backbone(
            images, present=present, valid=valid, classes=classes, read=read, whole=whole or self.reads_patches
        )
        return Seen(output, self.score(output, classes))

    def score(
        self, output: Output, classes: Sequence[int] | None = None, masked: Tensor | None = None
    ) -> dict[str, Scores]:
        """Let every head read tokens.

        Args:
            output: The backbone's.
            classes: The class tokens among them; None means all.
            masked: Class tokens that are zeroed before they are read, bool `b k`.
        """
        features = Features(output, classes, masked)
        return {name: cast(Scores, self.head(name)(features)) for name in self.head_options}

    def no_weight_decay(self) -> set[str]:
        """Return the names of parameters that must not decay, beside biases and norms: timm's declaration."""
        return {f"backbone.{name}" for name in self.backbone.no_weight_decay()}

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Return which layer each parameter belongs to, from the bottom up: timm's declaration.

        Only numbers of blocks are captured: timm reads every captured text as a number.
        """
        return {
            "stem": r"^backbone\.(?:patch_embed|pos_embed|registers|norm_pre)",
            "blocks": r"^backbone\.blocks\.(\d+)",
            "above": r"^(?:backbone\.(?:norm|class_tokens)|heads)",
        }

    def new_parameters(self) -> list[nn.Parameter]:
        """Return the parameters that no checkpoint brings: class tokens and heads."""
        return [self.backbone.class_tokens, *self.heads.parameters()]
