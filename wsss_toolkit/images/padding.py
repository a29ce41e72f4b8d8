"""Image sizes that a network's stride or patch divides."""

import torch.nn.functional as F
from torch import Tensor


def pad_to_multiple(images: Tensor, multiple: int) -> Tensor:
    """Extend images ``b c h w`` as `pad_to` does until `multiple`, a number of pixels, divides height and width.

    >>> import torch
    >>> pad_to_multiple(torch.zeros(1, 3, 30, 40), 16).shape
    torch.Size([1, 3, 32, 48])
    """
    height, width = images.shape[-2:]
    return pad_to(images, height + -height % multiple, width + -width % multiple)


def pad_to(images: Tensor, height: int, width: int) -> Tensor:
    """Extend images ``b c h w`` at the bottom and the right to at least a height and a width in pixels.

    The border mirrors the image where the image is large enough and repeats its last row and column where it is not,
    because a border of zeros would look like an object with an edge of its own. Images that have the size are returned
    as they are.

    >>> import torch
    >>> pad_to(torch.tensor([[[[1.0, 2.0, 3.0]]]]), 1, 5)
    tensor([[[[1., 2., 3., 2., 1.]]]])
    """
    down, right = (max(0, wanted - known) for wanted, known in zip((height, width), images.shape[-2:], strict=True))
    if not down and not right:
        return images
    mode = "reflect" if down < images.shape[-2] and right < images.shape[-1] else "replicate"
    return F.pad(images, (0, right, 0, down), mode=mode)
