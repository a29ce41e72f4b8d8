"""A linear classifier of patch tokens, pooled into image-level logits."""

from collections.abc import Callable
from typing import ClassVar

from torch import Tensor, nn

from wsss_toolkit.heads.head import Features, Head, Scores, Shape


class PatchHead(Head):
    """Scores of patches ``s_pc = w_c . x_p + b_c``, pooled over the patches that hold data.

    Args:
        shape: The model's shape.
        pool: Makes image-level scores `b c` of those of the patches, `b n c`, given which patches hold data, bool
            `b n` or None for all: `pool_visible`, or another function.
    """

    reads_patches: ClassVar[bool] = True

    def __init__(self, shape: Shape, pool: Callable[[Tensor, Tensor | None], Tensor]) -> None:
        super().__init__()
        self.linear = nn.Linear(shape.dim, shape.classes)
        self.pool = pool
        nn.init.trunc_normal_(self.linear.weight, std=0.02)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: Features) -> Scores:
        """Return logits `b k` and the patches' scores `b k gh gw`."""
        scores = features.of_classes(self.linear(features.output.patches))
        layout = features.output.layout
        maps = scores.mT.reshape(len(scores), -1, *layout.grid)
        return Scores(self.pool(scores, layout.visible), maps)
