"""What a term of the loss may touch: one training step, after the forward pass."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from wsss_toolkit.heads.head import Scores
from wsss_toolkit.model.attention import Attending


@dataclass(frozen=True, slots=True)
class Step:
    """One training step."""

    labels: Tensor
    """Image-level labels `b c`, 0 or 1."""
    exclusive: bool
    """Whether every training image has exactly one class."""
    visible: Tensor | None
    """Patches that hold data, bool `b n`; None where all do."""
    scores: Mapping[str, Scores]
    """What each head says, by its name: logits `b c`, and maps `b c gh gw` of heads that read patches."""
    class_tokens: Mapping[int, Tensor]
    """Class tokens `b c d` after the blocks that some term reads, by block; `b 0 d` below the block that they enter."""
    patches: Mapping[int, Tensor]
    """Patches `b n d` after these blocks."""
    attention: Mapping[int, Attending]
    """Queries, keys and gates of the blocks whose attention some term reads, by block."""
    open_gates: Tensor
    """Expected number of open gates, a scalar: 0 where heads are not gated."""
    epoch: float
    """Epochs so far, with the fraction of the one that runs."""
    generator: torch.Generator
    """The only source of chance, on the labels' device."""
