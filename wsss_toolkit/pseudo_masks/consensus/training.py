"""The loop that fits every small model of the consensus."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from wsss_toolkit.domain.progress import counted
from wsss_toolkit.pseudo_masks.consensus.groups import Group, batches

BATCH = 16
"""Images per step."""
WARM_UP = 20
"""Steps over which the learning rate rises."""
WEIGHT_DECAY = 0.05
IMAGES = 650
"""Smaller data sets are passed over more often, so that they get as many steps as one of so many images."""

Loss = Callable[[Tensor, int, Tensor], tuple[Tensor, Tensor | int]]
"""Makes a sum of errors, and the number of what was summed over, of white features `b n k` in float32 and of where the
images are: a group's number, places in it."""


def fit(model: nn.Module, groups: Sequence[Group], loss: Loss, *, epochs: int, lr: float, seed: int, what: str) -> None:
    """Fit a model to features: AdamW, whose learning rate rises over 20 steps and falls along a cosine to 0.

    Args:
        model: It is left in evaluation mode. What is random in it while it trains is drawn from torch's state.
        groups: The features.
        loss: Its mean over a batch is made small.
        epochs: Passes over all images, for `IMAGES` images or more.
        lr: The learning rate's peak.
        seed: Says in which order the images come.
        what: What the progress is called.
    """
    random = np.random.default_rng(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=WEIGHT_DECAY)
    images = sum(len(group.places) for group in groups)
    passes = math.ceil(epochs * max(1.0, IMAGES / images))
    steps = [step for _ in range(passes) for step in batches(groups, BATCH, random)]
    model.train()
    for number, step in enumerate(counted(steps, what, len(steps))):
        rate = lr * min(1.0, (number + 1) / WARM_UP) * 0.5 * (1 + math.cos(math.pi * number / len(steps)))
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        parts = [loss(groups[group].white[rows].float(), group, rows) for group, rows in step]
        errors = torch.stack([part for part, _ in parts]).sum() / max(1, sum(int(count) for _, count in parts))
        errors.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    model.eval()
