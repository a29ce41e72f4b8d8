"""What windows and views say of an image as a whole, and how much each window counts for each class."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def image_logits(views: Sequence[Tensor], *, exclusive: bool) -> Tensor:
    """Return the image-level logits ``b c``: a class is in the image when it is in some window; views are averaged.

    Args:
        views: Logits of the windows of each view, ``p b c``; -inf where a window was not seen.
        exclusive: Whether the classifier was trained for exactly one class per image: a logit's sigmoid is then made
            the softmax over classes, within each window where there are several.
    """
    windowed = any(len(windows) > 1 for windows in views)
    if exclusive and windowed:
        views = [softmax_log_odds(windows) for windows in views]
    logits = torch.stack([windows.amax(dim=0) for windows in views]).mean(dim=0)
    return softmax_log_odds(logits) if exclusive and not windowed else logits


def window_shares(windows: Tensor, *, exclusive: bool) -> Tensor:
    """Return how much each window counts for each class, ``p b c``: 1 in the window that most probably shows it.

    A class token attends to something in every window, also where its class is not to be seen, and attention is
    relative to the window. So a window's maps count by the probability of the class there, divided by the largest
    probability among the image's windows; one window alone counts 1.

    Args:
        windows: Logits ``p b c``; -inf where a window was not seen.
        exclusive: Whether probabilities are the softmax and not the sigmoid.
    """
    calibrated = softmax_log_odds(windows) if exclusive else windows
    log_probability = F.logsigmoid(calibrated)
    return (log_probability - log_probability.amax(dim=0, keepdim=True)).exp()


def softmax_log_odds(logits: Tensor) -> Tensor:
    """Return values whose sigmoid is the softmax of the logits, ``... c``: log p - log(1 - p).

    A classifier trained with cross-entropy for exactly one class per image is calibrated in the softmax; everything
    after it reads probabilities by the sigmoid. Rows that are -inf throughout stay so.
    """
    unseen = torch.isneginf(logits).all(dim=-1, keepdim=True)
    log_p = logits.double().masked_fill(unseen, 0).log_softmax(dim=-1)
    rest = torch.log1p(-log_p.exp().clamp(max=1 - 1e-15))
    return (log_p - rest).masked_fill(unseen, -torch.inf).to(logits.dtype)
