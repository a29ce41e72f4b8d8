"""AdamW with warm-up and cosine decay, as Lightning wants to be told of it."""

import math
from collections.abc import Callable, Iterable
from typing import TypedDict

import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from timm.optim import param_groups_layer_decay  # type: ignore[attr-defined]  # timm names its exports nowhere
from torch import nn

from wsss_toolkit.heads.classifier import Classifier
from wsss_toolkit.model.gate import HardConcreteGate
from wsss_toolkit.recipe.schema import Train


class Group(TypedDict):
    """One parameter group of AdamW."""

    params: list[nn.Parameter]
    lr: float
    weight_decay: float


def transformer_optimizer(
    model: Classifier, train: Train, *, gate_lr: float, steps_per_epoch: int, others: Iterable[nn.Parameter] = ()
) -> OptimizerLRSchedulerConfig:
    """Return the optimiser and schedule of a classifier, with rates and decay by part of it.

    `others` are further parameters, such as those of terms of the loss, which learn as heads do. `gate_lr` is the peak.
    """
    groups = parameter_groups(model, train, gate_lr=gate_lr)
    for parameter in others:
        decay = train.weight_decay if parameter.ndim > 1 else 0.0
        groups.append(Group(params=[parameter], lr=train.lr * train.head_lr_factor, weight_decay=decay))
    return with_warmup_cosine(
        torch.optim.AdamW([dict(group) for group in groups]),
        warmup=round(train.warmup_epochs * steps_per_epoch),
        total=train.epochs * steps_per_epoch,
    )


def parameter_groups(model: Classifier, train: Train, *, gate_lr: float) -> list[Group]:
    """Group parameters by learning rate and weight decay, as the model declares them.

    Block i of n learns at ``lr * layer_decay ** (n - i)``, the embeddings below like a block before the first, what
    lies above at ``lr`` (Bao et al., BEiT, 2022; timm's `param_groups_layer_decay`). Class tokens and heads learn at
    ``lr * head_lr_factor``. What `model.no_weight_decay` names does not decay, nor do biases and norms; gates have
    their own peak learning rate and neither decay. Parameters that need no gradient are left out.
    """
    gates = {id(module.log_alpha) for module in model.modules() if isinstance(module, HardConcreteGate)}
    new = {id(parameter) for parameter in model.new_parameters()}
    layers = param_groups_layer_decay(
        model, train.weight_decay, tuple(model.no_weight_decay()), layer_decay=train.layer_decay
    )
    said = {id(parameter): layer for layer in layers for parameter in layer["params"]}
    groups: dict[tuple[float, float], Group] = {}
    # In the model's order, by which gradients are added up to the norm that clips them.
    for parameter in (parameter for parameter in model.parameters() if id(parameter) in said):
        layer = said[id(parameter)]
        rate = train.lr * layer["lr_scale"]
        if id(parameter) in gates:
            rate = gate_lr
        elif id(parameter) in new:
            rate *= train.head_lr_factor
        key = (rate, layer["weight_decay"])
        groups.setdefault(key, Group(params=[], lr=rate, weight_decay=key[1]))["params"].append(parameter)
    return list(groups.values())


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


def with_warmup_cosine(optimizer: torch.optim.Optimizer, *, warmup: int, total: int) -> OptimizerLRSchedulerConfig:
    """Return an optimiser with `warmup_cosine`, in steps, as its schedule."""
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, warmup_cosine(warmup, total))
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
