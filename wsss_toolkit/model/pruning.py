"""Pruning for good: heads whose gate is closed are cut out of the weights."""

from collections.abc import Sequence

import torch
from torch import nn

from wsss_toolkit.model.attention import GatedAttention
from wsss_toolkit.model.gate import FixedGates, HardConcreteGate
from wsss_toolkit.model.vit import MultiTokenViT


@torch.no_grad()
def prune(model: MultiTokenViT) -> MultiTokenViT:
    """Cut every head whose evaluation gate is 0 out of qkv and proj, in place; the other gates become fixed.

    The outputs stay equal to the gated model's in evaluation mode, to float tolerance. Heads without a gate stay.

    Returns:
        The same model.
    """
    for index in range(model.depth):
        attention = model.block(index).attn
        if isinstance(attention.gate, HardConcreteGate):
            gates = attention.gate.evaluation()
            heads = torch.nonzero(gates > 0).flatten().tolist()
            fixed = FixedGates(gates[heads].clone(), attention.heads, heads)
            keep_heads(attention, heads)
            attention.gate = fixed
    return model.train(model.training)


@torch.no_grad()
def keep_heads(attention: GatedAttention, heads: Sequence[int]) -> None:
    """Cut all other heads out of an attention's projections, in place; its gates are left alone."""
    size = attention.head_dim
    device = attention.proj.weight.device
    starts = torch.tensor(list(heads), dtype=torch.long, device=device)[:, None] * size
    columns = (starts + torch.arange(size, device=device)).flatten()
    rows = torch.cat([columns + part * attention.heads * size for part in range(3)])
    _select(attention.qkv, rows=rows)
    _select(attention.proj, columns=columns)
    attention.heads = len(heads)


def _select(linear: nn.Linear, *, rows: torch.Tensor | None = None, columns: torch.Tensor | None = None) -> None:
    """Keep rows or columns of a linear layer in place, so that a layer may end without any."""
    trainable = linear.weight.requires_grad
    if rows is not None:
        linear.weight = nn.Parameter(linear.weight[rows], requires_grad=trainable)
        if linear.bias is not None:
            linear.bias = nn.Parameter(linear.bias[rows], requires_grad=trainable)
        linear.out_features = len(rows)
    if columns is not None:
        linear.weight = nn.Parameter(linear.weight[:, columns], requires_grad=trainable)
        linear.in_features = len(columns)
