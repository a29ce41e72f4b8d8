"""Optimiser groups and the learning-rate schedule."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TypedDict

from torch import nn


class Group(TypedDict):
    """One parameter group of AdamW."""

    params: list[nn.Parameter]
    lr: float
    weight_decay: float


def parameter_groups(
    named: Iterable[tuple[str, nn.Parameter]],
    *,
    lr: float,
    weight_decay: float,
    layer_decay: float,
    depth: int,
    gate_lr: float,
    head_lr_factor: float = 1.0,
) -> list[Group]:
    """Group parameters by learning rate and weight decay.

    Block i learns at ``lr * layer_decay ** (depth - i)``, the embeddings below like a block before the first, the
    heads above at ``lr`` (Bao et al., BEiT, 2022). Class tokens, which enter between, and all heads learn at
    ``lr * head_lr_factor``. Vectors (biases, norms), tokens and position embeddings
    have no weight decay; gates have their own learning rate and none of either decay.

    Args:
        named: Names and parameters; those that need no gradient are left out.
        lr: Peak learning rate.
        weight_decay: Weight decay of matrices.
        layer_decay: Factor per block, in (0, 1].
        depth: Number of blocks.
        gate_lr: Peak learning rate of the gates.
        head_lr_factor: Factor on the rate of class tokens, head and patch classifier.
    """
    groups: dict[tuple[float, float], Group] = {}
    for name, parameter in named:
        if not parameter.requires_grad:
            continue
        gate = name.endswith("log_alpha")
        token = name.rsplit(".", 1)[-1] in ("class_tokens", "registers", "pos_embed", "cls_token")
        rate = gate_lr if gate else lr * layer_decay ** (depth - _level(name, depth))
        if not gate and set(name.split(".")) & _NEW:
            rate *= head_lr_factor
        decay = 0.0 if gate or token or parameter.ndim < 2 or name.endswith("bias") else weight_decay
        group = groups.setdefault((rate, decay), Group(params=[], lr=rate, weight_decay=decay))
        group["params"].append(parameter)
    return list(groups.values())


_NEW = {"class_tokens", "head", "patch_classifier"}
"""Parts of the model that no checkpoint brings."""


def _level(name: str, depth: int) -> int:
    parts: Sequence[str] = name.split(".")
    if "blocks" in parts:
        return int(parts[parts.index("blocks") + 1])
    below = ("patch_embed", "patch_embeds", "pos_embed", "registers", "cls_token", "norm_pre")
    return -1 if any(part in below for part in parts) else depth


def warmup_cosine(warmup: int, total: int) -> Callable[[int], float]:
    """Return the factor on the learning rate at each step: linear up over `warmup` steps, then half a cosine to 0."""

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, total - warmup))))

    return factor
