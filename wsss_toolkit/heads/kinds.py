"""The heads that a recipe can name; `head.py` says what a head is."""

from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import model_validator

from wsss_toolkit.recipe.numbers import NotNegative
from wsss_toolkit.recipe.parts import Part

if TYPE_CHECKING:
    from wsss_toolkit.heads.head import Head, Shape


class PerToken(Part):
    """Logit c from class token c alone."""

    def build(self, shape: "Shape") -> "Head":
        """Return the head."""
        from wsss_toolkit.heads.class_heads import PerTokenHead

        return PerTokenHead(shape)


class Concat(Part):
    """One linear layer over all class tokens: the paper's."""

    def build(self, shape: "Shape") -> "Head":
        """Return the head."""
        from wsss_toolkit.heads.class_heads import ConcatHead

        return ConcatHead(shape)


class Mean(Part):
    """Logit c is the mean of class token c's channels, before the final norm: MCTformer's."""

    def build(self, shape: "Shape") -> "Head":
        """Return the head."""
        from wsss_toolkit.heads.class_heads import MeanHead

        return MeanHead(shape)


class Linear(Part):
    """A linear classifier of patch tokens, whose scores are pooled into image-level logits."""

    reads_patches: ClassVar[bool] = True

    pool: Literal["mean", "lse"] = "mean"
    """`mean` of the scores over patches; `lse`: log(mean(exp(r s))) / r, which approaches the maximum as the
    sharpness r grows, so that a class that covers few patches counts too."""
    sharpness: NotNegative | None = None
    """r, for `lse`."""

    @model_validator(mode="after")
    def _sharpness_goes_with_lse(self) -> "Linear":
        if (self.pool == "lse") != bool(self.sharpness):
            raise ValueError("`pool: lse` and a `sharpness` above 0 belong together")
        return self

    def build(self, shape: "Shape") -> "Head":
        """Return the head."""
        from wsss_toolkit.heads.patch_head import PatchHead, pool_visible

        return PatchHead(shape, partial(pool_visible, sharpness=self.sharpness or 0.0))
