"""AdamW with warm-up and cosine decay, as Lightning wants to be told of it."""

import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig

from wsss_toolkit.model.vit import MultiTokenViT
from wsss_toolkit.recipe.schema import Train
from wsss_toolkit.training.schedule import parameter_groups, warmup_cosine


def transformer_optimizer(
    model: MultiTokenViT, train: Train, *, gate_lr: float, steps_per_epoch: int
) -> OptimizerLRSchedulerConfig:
    """Return the optimiser and schedule of a Vision Transformer, with rates and decay by part of it.

    Args:
        model: What is trained.
        train: The recipe's `train`.
        gate_lr: Peak learning rate of the gates.
        steps_per_epoch: Optimiser steps per epoch.
    """
    groups = parameter_groups(
        model.named_parameters(),
        lr=train.lr,
        weight_decay=train.weight_decay,
        layer_decay=train.layer_decay,
        depth=model.depth,
        gate_lr=gate_lr,
        head_lr_factor=train.head_lr_factor,
    )
    return with_warmup_cosine(
        torch.optim.AdamW([dict(group) for group in groups]),
        warmup=round(train.warmup_epochs * steps_per_epoch),
        total=train.epochs * steps_per_epoch,
    )


def with_warmup_cosine(optimizer: torch.optim.Optimizer, *, warmup: int, total: int) -> OptimizerLRSchedulerConfig:
    """Return an optimiser with `warmup_cosine`, in steps, as its schedule."""
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, warmup_cosine(warmup, total))
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
