"""Class-specific token masking: absent classes lose their output token at random while training."""

import torch
from torch import Tensor


def mask_absent_tokens(tokens: Tensor, labels: Tensor, rate: float, generator: torch.Generator | None) -> Tensor:
    """Set output tokens of absent classes to zero with probability `rate`; present classes keep theirs.

    Source: Hanna & Borth (2025), section 3: masking at the output of the last layer, after the final norm.

    Args:
        tokens: Class tokens `b c d` after the final norm.
        labels: Image-level labels `b c`; 0 means absent, anything else present.
        rate: Probability in 0..1 that the token of an absent class is zeroed.
        generator: Source of the random numbers, on the device of `tokens`; None is PyTorch's global one.

    Returns:
        Tokens `b c d`.

    Raises:
        ValueError: If `labels` is not `b c`.
    """
    if labels.shape != tokens.shape[:2]:
        raise ValueError(f"labels are {tuple(labels.shape)}, but there are class tokens {tuple(tokens.shape[:2])}")
    drawn = torch.rand(tokens.shape[:2], generator=generator, device=tokens.device) < rate
    return tokens.masked_fill((drawn & (labels == 0)).unsqueeze(-1), 0.0)
