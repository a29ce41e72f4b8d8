"""A linear classifier of patch tokens, pooled into image-level logits."""

from typing import ClassVar

from torch import nn

from wsss_toolkit.heads.head import Features, Head, Scores, Shape
from wsss_toolkit.heads.pooling import pool_visible


class PatchHead(Head):
    """Scores of patches ``s_pc = w_c . x_p + b_c``, pooled over the patches that hold data.

    Args:
        shape: The model's shape.
        sharpness: r of `pool_visible`; 0 takes the mean.
    """

    reads_patches: ClassVar[bool] = True

    def __init__(self, shape: Shape, sharpness: float = 0.0) -> None:
        """Create the linear layer."""
        super().__init__()
        self.linear = nn.Linear(shape.dim, shape.classes)
        self.sharpness = sharpness
        nn.init.trunc_normal_(self.linear.weight, std=0.02)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: Features) -> Scores:
        """Return logits `b k` and the patches' scores `b k gh gw`."""
        scores = features.of_classes(self.linear(features.output.patches))
        layout = features.output.layout
        maps = scores.mT.reshape(len(scores), -1, *layout.grid)
        return Scores(pool_visible(scores, layout.visible, self.sharpness), maps)
