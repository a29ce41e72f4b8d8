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

    >>> import torch
    >>> visible_patches(torch.tensor([[[True, False, False, False], [False, False, False, False]]]), 2)
    tensor([[ True, False]])
    """
    return F.max_pool2d(valid[:, None].float(), patch_size).flatten(1) > 0


def unless_all(visible: Tensor | None) -> Tensor | None:
    """Return None where every patch of every image is visible: attention without a mask is faster."""
    return None if visible is None or bool(visible.all()) else visible
