"""Image sizes that a network's stride or patch divides."""

import torch.nn.functional as F
from torch import Tensor


def pad_to_multiple(images: Tensor, multiple: int) -> Tensor:
    """Extend images at the bottom and the right until `multiple` divides height and width.

    The border mirrors the image where the image is large enough and repeats its last row and column where
    it is not, because a border of zeros would look like an object with an edge of its own.

    Args:
        images: ``b c h w``.
        multiple: Positive number of pixels.

    Returns:
        ``b c H W`` with ``H >= h`` and ``W >= w``; `images` itself where nothing has to be added.
    """
    height, width = images.shape[-2:]
    down, right = -height % multiple, -width % multiple
    if not down and not right:
        return images
    mode = "reflect" if down < height and right < width else "replicate"
    return F.pad(images, (0, right, 0, down), mode=mode)
