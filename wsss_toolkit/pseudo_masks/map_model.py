"""What class maps need of a classifier."""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor


class MapOutput(Protocol):
    """What one forward pass gives to the maps."""

    @property
    def logits(self) -> Tensor:
        """Image-level logits ``b c``."""

    @property
    def class_maps(self) -> Tensor | None:
        """Attention of class tokens to patches ``b l c h w``, averaged over heads; None without layers."""

    @property
    def layer_weights(self) -> Tensor | None:
        """Weight of each layer ``l``: 0 where no head of it is open."""

    @property
    def patch_maps(self) -> Tensor | None:
        """Logits of the patch classifier ``b c h w``."""

    @property
    def affinity(self) -> Tensor | None:
        """Patch-to-patch attention ``b n n``."""


class MapModel(Protocol):
    """A classifier with one token per class, as far as class maps are concerned."""

    @property
    def patch_size(self) -> int:
        """Side of a patch in pixels."""

    @property
    def image_size(self) -> int:
        """Side of the training images in pixels."""

    @property
    def enter_at(self) -> int:
        """The block before which class tokens join the sequence."""

    @property
    def depth(self) -> int:
        """Number of blocks."""

    def __call__(
        self,
        images: Tensor,
        *,
        present: Tensor | None = None,
        valid: Tensor | None = None,
        layers: Sequence[int] = (),
        classes: Sequence[int] | None = None,
        patch_maps: bool = False,
        affinity: bool = False,
    ) -> MapOutput:
        """Classify ``b k h w`` and return what was asked for."""
