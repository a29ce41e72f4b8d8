"""Random changes of image batches: the eight flips and rotations of the square, and colour jitter."""

import torch
from torch import Tensor

from wsss_toolkit.recipe.schema import Augment

# A symmetry of the square is a code of three bits: 4 transposes, then 1 mirrors left-right and 2 top-bottom.
_MIRROR_X, _MIRROR_Y, _TRANSPOSE = 1, 2, 4
_ROTATIONS = (0, _TRANSPOSE | _MIRROR_X, _MIRROR_X | _MIRROR_Y, _TRANSPOSE | _MIRROR_Y)


def symmetries(section: Augment) -> tuple[int, ...]:
    """Return the codes of all symmetries that the recipe's flips and rotations can compose to, ascending.

    Drawing one of them uniformly equals drawing every flip and rotation independently.

    >>> symmetries(Augment(horizontal_flip=True, vertical_flip=False, rotate90=False))
    (0, 1)
    """
    if section.rotate90:
        flips = section.horizontal_flip or section.vertical_flip
        return tuple(range(8)) if flips else tuple(sorted(_ROTATIONS))
    mirror_x = (0, _MIRROR_X) if section.horizontal_flip else (0,)
    mirror_y = (0, _MIRROR_Y) if section.vertical_flip else (0,)
    return tuple(y | x for y in mirror_y for x in mirror_x)


def apply_symmetry(images: Tensor, codes: Tensor) -> Tensor:
    """Apply one symmetry of the square to each image.

    Args:
        images: `b ... h w`; square where a code transposes.
        codes: int64 `b`, each in 0..7.

    Raises:
        ValueError: If an image that is not square is to be transposed.

    >>> apply_symmetry(torch.tensor([[[[1, 2], [3, 4]]]]), torch.tensor([1]))
    tensor([[[[2, 1],
              [4, 3]]]])
    """
    shape = (-1,) + (1,) * (images.ndim - 1)
    bits = codes.to(images.device).reshape(shape)
    if bool((codes & _TRANSPOSE).any()):
        if images.shape[-1] != images.shape[-2]:
            raise ValueError(f"only square images can be rotated by 90 degrees, got {tuple(images.shape[-2:])}")
        images = torch.where((bits & _TRANSPOSE).bool(), images.mT, images)
    images = torch.where((bits & _MIRROR_X).bool(), images.flip(-1), images)
    return torch.where((bits & _MIRROR_Y).bool(), images.flip(-2), images)


def color_jitter(images: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Change brightness and contrast of each image by random amounts.

    Contrast is a factor in ``1 +- strength`` around the mean of an image `c h w`, brightness a shift of up to
    ``strength`` times its standard deviation, so that any scaling of the input is served. 0 leaves images alone.

    >>> images = torch.ones(2, 3, 4, 4)
    >>> color_jitter(images, 0.2, torch.Generator().manual_seed(0)).equal(images)  # no deviation, nothing to change
    True
    """
    if not strength:
        return images
    amounts = torch.rand(2, len(images), 1, 1, 1, generator=generator, device=images.device) * 2 - 1
    contrast, brightness = 1 + strength * amounts[0], strength * amounts[1]
    std, mean = torch.std_mean(images, dim=(1, 2, 3), keepdim=True)
    return (images - mean) * contrast + mean + brightness * std
