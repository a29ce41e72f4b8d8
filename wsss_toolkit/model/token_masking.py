"""Class-specific token masking: absent classes lose their output token at random while training."""

import torch
from torch import Tensor


def absent_tokens(labels: Tensor, rate: float, generator: torch.Generator | None) -> Tensor | None:
    """Return which output tokens are set to zero: those of absent classes, each with probability `rate`.

    Source: Hanna & Borth (2025), section 3: masking at the output of the last layer, after the final norm.

    Args:
        labels: Image-level labels `b c`; 0 means absent, anything else present.
        rate: Probability in 0..1 that the token of an absent class is zeroed.
        generator: Source of the random numbers, on the device of `labels`; None is PyTorch's global one.

    Returns:
        bool `b c`; None where the rate is 0 and nothing is drawn.

    >>> absent_tokens(torch.tensor([[1.0, 0.0]]), 1.0, None)
    tensor([[False,  True]])
    """
    if rate == 0:
        return None
    drawn = torch.rand(labels.shape, generator=generator, device=labels.device) < rate
    return drawn & (labels == 0)
