"""The losses of the classifier: method.md, section 2."""

import torch
from torch import Tensor
from torch.nn import functional as F


def classification_loss(logits: Tensor, labels: Tensor, *, exclusive: bool) -> Tensor:
    """Image-level loss: binary cross-entropy, or cross-entropy where exactly one class is present.

    Args:
        logits: `b k`.
        labels: `b k`, 0 or 1.
        exclusive: Whether every image of the training split has exactly one class.

    Returns:
        The mean over the batch, a scalar.

    >>> classification_loss(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]), exclusive=False)
    tensor(0.6931)
    """
    if exclusive:
        return F.cross_entropy(logits, labels.argmax(dim=1))
    return F.binary_cross_entropy_with_logits(logits, labels)


def diversity_loss(class_maps: Tensor) -> Tensor:
    r"""Push the maps of different classes apart: the mean over the batch of :math:`\lVert G - I \rVert_F`.

    :math:`G` is the Gram matrix `k k` of the L2-normalised class maps.

    Args:
        class_maps: `b k h w`.

    >>> diversity_loss(torch.eye(2).view(1, 2, 1, 2))  # each class has a patch of its own
    tensor(0.)
    """
    maps = F.normalize(class_maps.flatten(2), dim=-1)
    gram = maps @ maps.mT
    identity = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    distances: Tensor = torch.linalg.matrix_norm(gram - identity)
    return distances.mean()
