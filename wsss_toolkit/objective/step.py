"""What a term of the loss may touch: one training step, after the forward pass."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from wsss_toolkit.heads.head import Scores
from wsss_toolkit.model.attention import Attending


@dataclass(frozen=True, slots=True)
class Step:
    """One training step.

    Attributes:
        labels: Image-level labels `b c`, 0 or 1.
        exclusive: Whether every training image has exactly one class.
        visible: Patches that hold data, bool `b n`; None where all do.
        scores: What each head says, by its name: logits `b c`, and maps `b c gh gw` of heads that read patches.
        class_tokens: Class tokens `b c d` after the blocks that some term reads, by block;
            none of them below the block that class tokens enter.
        patches: Patches `b n d` after these blocks.
        attention: Queries, keys and gates of the blocks whose attention some term reads, by block.
        open_gates: Expected number of open gates, a scalar: 0 where heads are not gated.
        epoch: Epochs so far, with the fraction of the one that runs.
        generator: The only source of chance, on the labels' device.
    """

    labels: Tensor
    exclusive: bool
    visible: Tensor | None
    scores: Mapping[str, Scores]
    class_tokens: Mapping[int, Tensor]
    patches: Mapping[int, Tensor]
    attention: Mapping[int, Attending]
    open_gates: Tensor
    epoch: float
    generator: torch.Generator
