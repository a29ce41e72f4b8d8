"""A linear classifier of patch tokens, pooled into image-level logits."""

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn

from wsss_toolkit.heads.head import Features, Head, Scores, Shape


class PatchHead(Head):
    """Scores of patches ``s_pc = w_c . x_p + b_c``, pooled over the patches that hold data.

    `pool` makes image-level scores `b c` of those of the patches, `b n c`, given which patches hold data, bool `b n` or
    None for all: `pool_visible`, or another function.
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


def pool_visible(scores: Tensor, visible: Tensor | None, sharpness: float = 0.0) -> Tensor:
    """Return one score per class from those of the visible patches, `b c`; 0 for an image that has none.

    With sharpness ``r > 0`` this is ``y_c = log(mean_p exp(r s_pc)) / r``, which lies between the mean (r to 0) and
    the maximum (r towards infinity): Pinheiro & Collobert, "From Image-level to Pixel-level Labeling with Convolutional
    Networks", CVPR 2015.

    Args:
        scores: Values per patch, `b n c`.
        visible: bool `b n`; None takes all patches.
        sharpness: r; 0 takes the mean.

    >>> scores = torch.tensor([[[0.0], [4.0], [9.0]]])
    >>> pool_visible(scores, torch.tensor([[True, True, False]]))
    tensor([[2.]])
    >>> pool_visible(scores, None, sharpness=100.0).round(decimals=1)
    tensor([[9.]])
    """
    count = scores.shape[1] if visible is None else visible.sum(1, keepdim=True).clamp_min(1)
    if sharpness == 0:
        kept = scores if visible is None else scores.masked_fill(~visible[..., None], 0)
        return kept.sum(1) / count
    kept = scores.float() * sharpness  # exponentials overflow half precision
    if visible is not None:
        # An image without any visible patch keeps them all here, so that no -inf meets a gradient.
        some = visible.any(1, keepdim=True)
        kept = kept.masked_fill((~visible & some)[..., None], float("-inf")).masked_fill(~some[..., None], 0)
        count = torch.where(some, count, scores.shape[1])
    pooled = (kept.logsumexp(1) - torch.as_tensor(count, device=scores.device).float().log()) / sharpness
    return pooled.to(scores.dtype)


def pool_top(scores: Tensor, visible: Tensor | None, share: float = 0.05) -> Tensor:
    """Return the mean of the largest scores of each class, `b c`; 0 for an image without a visible patch.

    Args:
        scores: Values per patch, `b n c`.
        visible: bool `b n`; None takes all patches.
        share: Which share of the visible patches counts, in 0..1; one patch at least.

    >>> pool_top(torch.tensor([[[0.0], [4.0], [9.0], [1.0]]]), torch.tensor([[True, True, False, True]]), share=0.7)
    tensor([[2.5000]])
    """
    size = scores.shape[1]
    if visible is None or bool(visible.all()):
        return scores.topk(max(1, int(share * size)), dim=1).values.mean(1)
    counts = (visible.sum(1, keepdim=True) * share).int().clamp_min(1)  # b 1
    best = scores.masked_fill(~visible[..., None], float("-inf")).topk(max(1, int(share * size)), dim=1).values
    counted = torch.arange(best.shape[1], device=scores.device) < counts
    counted &= visible.any(1, keepdim=True)
    return best.masked_fill(~counted[..., None], 0).sum(1) / counts
