"""Which patches hold data: what lies outside an endoscope's picture or a satellite's swath is not to be attended to."""

from torch import Tensor
from torch.nn import functional as F


def visible_patches(valid: Tensor, patch_size: int) -> Tensor:
    """Return the patches that have at least one pixel with data.

    Args:
        valid: bool `b h w`; sides are multiples of the patch size.
        patch_size: Side of a patch in pixels.

    Returns:
        bool `b n`, row by row.
    """
    return F.max_pool2d(valid[:, None].float(), patch_size).flatten(1) > 0


def unless_all(visible: Tensor | None) -> Tensor | None:
    """Return None where every patch of every image is visible: attention without a mask is faster."""
    return None if visible is None or bool(visible.all()) else visible


def mean_of_visible(scores: Tensor, visible: Tensor | None) -> Tensor:
    """Return the mean over visible patches, `b c`; 0 for an image that has none.

    Args:
        scores: Values per patch, `b n c`.
        visible: bool `b n`; None takes all patches.
    """
    if visible is None:
        return scores.mean(1)
    weights = visible.to(scores)
    return (scores * weights[..., None]).sum(1) / weights.sum(1, keepdim=True).clamp_min(1)
