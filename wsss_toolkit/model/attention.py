"""Gated multi-head attention, joint or asymmetric.

No matrix over all pairs of tokens is ever stored: the output comes from PyTorch's fused attention, maps from the class
tokens' queries alone (`attention_maps.py`).
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from wsss_toolkit.model.gate import FixedGates, HardConcreteGate
from wsss_toolkit.model.layout import TokenLayout

CLASS_CHUNK = 32
"""Class tokens per fused call of the asymmetric attention; a call costs (N + R + chunk) keys per token."""


class Attending(NamedTuple):
    """Queries and keys of one block: what readers make class maps and affinities of (`attention_maps.py`)."""

    q: Tensor
    """Queries `b h o e` of the first `o` tokens; all, unless the last block computes class tokens alone."""
    k: Tensor
    """Keys `b h t e`."""
    gates: Tensor
    """The heads' gates `h`, 1 where heads are not gated."""
    layout: TokenLayout


class GatedAttention(nn.Module):
    """Multi-head self-attention ``concat_i(g_i head_i) W_O`` with one gate per head.

    Args:
        qkv: Projection to queries, keys and values: `d -> 3 h e`.
        proj: Output projection `h e -> d`.
        heads: Number of heads h.
        q_norm: Norm of each query over its e values, or identity.
        k_norm: The same for keys.
        gate: The heads' gates, or None where heads are not gated.
    """

    def __init__(
        self,
        qkv: nn.Linear,
        proj: nn.Linear,
        heads: int,
        q_norm: nn.Module,
        k_norm: nn.Module,
        gate: HardConcreteGate | FixedGates | None,
    ) -> None:
        super().__init__()
        self.heads = heads
        self.head_dim = proj.in_features // heads
        self.qkv, self.proj = qkv, proj
        self.q_norm, self.k_norm = q_norm, k_norm
        self.gate = gate

    def forward(self, x: Tensor, layout: TokenLayout, outputs: int | None = None) -> tuple[Tensor, Attending]:
        """Attend.

        Args:
            x: Tokens `b t d`.
            layout: Where class tokens, patches and registers lie among them, and who may read whom.
            outputs: How many tokens, counted from the first, are computed: the others are read, and their own
                outputs are left out. At least the class tokens; all if None.

        Returns:
            Tokens `b t d`, or `b o d` of the first `outputs`, and what attended to what.
        """
        batch, count, _ = x.shape
        outputs = count if outputs is None else outputs
        q, k, v = self._projected(x, outputs)
        if self.heads == 0:  # pruning left nothing: the layer adds its bias
            return self.proj(x.new_zeros(batch, outputs, 0)), Attending(q, k, x.new_zeros(0), layout)
        seen = layout.readable()
        if layout.asymmetric and layout.classes:
            heads = asymmetric_attention(q, k, v, layout.classes, seen)
        else:
            mask = None if seen is None else functional.pad(seen, (layout.classes, 0), value=True)[:, None, None]
            heads = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        gates = self.gate() if self.gate is not None else x.new_ones(self.heads)
        if self.gate is not None:
            heads = heads * gates.to(heads.dtype).view(-1, 1, 1)
        return self.proj(heads.transpose(1, 2).flatten(2)), Attending(q, k, gates, layout)

    def _projected(self, x: Tensor, outputs: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return the queries `b h o e` of the first `outputs` tokens, and keys and values `b h n e` of all."""
        batch, count, _ = x.shape
        if outputs == count:
            q, k, v = self.qkv(x).view(batch, count, 3, self.heads, self.head_dim).permute(2, 0, 3, 1, 4).unbind(0)
        else:
            width = self.heads * self.head_dim
            weight, bias = self.qkv.weight, self.qkv.bias
            q = functional.linear(x[:, :outputs], weight[:width], None if bias is None else bias[:width])
            q = q.view(batch, outputs, self.heads, self.head_dim).transpose(1, 2)
            both = functional.linear(x, weight[width:], None if bias is None else bias[width:])
            k, v = both.view(batch, count, 2, self.heads, self.head_dim).permute(2, 0, 3, 1, 4).unbind(0)
        return self.q_norm(q), self.k_norm(k), v


def asymmetric_attention(q: Tensor, k: Tensor, v: Tensor, classes: int, seen: Tensor | None = None) -> Tensor:
    """Attend so that class tokens are independent of each other: the cost is linear in their number.

    Args:
        q: Queries `b h o e`, class tokens first; the last ones may be left out.
        k: Keys `b h n e`.
        v: Values `b h n e`.
        classes: Number of class tokens.
        seen: Patches and registers that may be read, bool `b m`; None where all may.

    Returns:
        Head outputs `b h o e`: exact softmax attention over patches, registers and, for a class token, itself.
    """
    context_k, context_v = k[:, :, classes:], v[:, :, classes:]
    rows = []
    for start in range(0, classes, CLASS_CHUNK):
        chunk = slice(start, min(start + CLASS_CHUNK, classes))
        size = chunk.stop - chunk.start
        context = torch.ones(1, context_k.shape[2], dtype=torch.bool, device=q.device) if seen is None else seen
        itself = torch.eye(size, dtype=torch.bool, device=q.device)
        keys = torch.cat((context_k, k[:, :, chunk]), 2)
        values = torch.cat((context_v, v[:, :, chunk]), 2)
        parts = (context[:, None].expand(-1, size, -1), itself.expand(len(context), -1, -1))
        mask = torch.cat(parts, 2)[:, None]
        rows.append(functional.scaled_dot_product_attention(q[:, :, chunk], keys, values, attn_mask=mask))
    if q.shape[2] > classes:
        readable = None if seen is None else seen[:, None, None]
        others = q[:, :, classes:]
        rows.append(functional.scaled_dot_product_attention(others, context_k, context_v, attn_mask=readable))
    return torch.cat(rows, 2)
