"""The learning-rate schedule."""

import math
from collections.abc import Callable


def warmup_cosine(warmup: int, total: int) -> Callable[[int], float]:
    """Return the factor on the learning rate at each step: linear up over `warmup` steps, then half a cosine to 0.

    >>> factor = warmup_cosine(1, 5)
    >>> [round(factor(step), 2) for step in range(6)]
    [0.5, 1.0, 0.85, 0.5, 0.15, 0.0]
    """

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, total - warmup))))

    return factor
