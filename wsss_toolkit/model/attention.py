"""Gated multi-head attention, joint or asymmetric, and the class tokens' rows of it.

Token order is class tokens (C), patches (N), registers (R). No matrix over all pairs of tokens is ever
stored: the output comes from PyTorch's fused attention, maps from the class tokens' queries alone.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from wsss_toolkit.model.gate import FixedGates, HardConcreteGate

CLASS_CHUNK = 32
"""Class tokens per fused call of the asymmetric attention; a call costs (N + R + chunk) keys per token."""


class Attended(NamedTuple):
    """What a `GatedAttention` returns.

    Attributes:
        tokens: Output `b n d`, or `b o d` of the first `outputs` tokens.
        class_map: Gate-weighted mean over heads of the class tokens' attention to patches, `b c n`, if
            asked for.
        affinity: The same for the patches' attention to patches, `b n n`, if asked for.
        open: 1 if any head's gate is above 0, else 0: the weight of this layer's map in a mean over layers.
        head_maps: The class map before the mean over heads, `b h c n`, if asked for.
        gates: The heads' gates `h`, 1 where heads are not gated; with `head_maps`.
    """

    tokens: Tensor
    class_map: Tensor | None
    affinity: Tensor | None
    open: Tensor
    head_maps: Tensor | None = None
    gates: Tensor | None = None


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
        """Take over the projections."""
        super().__init__()
        self.heads = heads
        self.head_dim = proj.in_features // heads
        self.qkv, self.proj = qkv, proj
        self.q_norm, self.k_norm = q_norm, k_norm
        self.gate = gate

    def forward(
        self,
        x: Tensor,
        classes: int,
        patches: int,
        *,
        asymmetric: bool,
        visible: Tensor | None = None,
        maps: bool = False,
        affinity: bool = False,
        head_maps: bool = False,
        outputs: int | None = None,
    ) -> Attended:
        """Attend.

        Args:
            x: Tokens `b n d`: class tokens, patches, registers.
            classes: Number of class tokens among them, possibly 0.
            patches: Number of patch tokens.
            asymmetric: Patches and registers read each other; a class token reads them and itself. Otherwise
                every token reads every token.
            visible: Patches that any token may read, bool `b n`; None where all are.
            maps: Return the class map.
            affinity: Return the patch affinity.
            head_maps: Return the class map, and beside it each head's and the gates.
            outputs: How many tokens, counted from the first, are computed: the others are read, and their own
                outputs are left out. At least the class tokens; all if None, and where `affinity` asks for the
                patches' queries.
        """
        batch, count, _ = x.shape
        outputs = count if outputs is None or affinity else outputs
        if self.heads == 0:  # pruning left nothing: the layer adds its bias
            tokens = self.proj(x.new_zeros(batch, outputs, 0))
            empty = x.new_zeros(batch, classes, patches) if maps or head_maps else None
            none = (x.new_zeros(batch, 0, classes, patches), x.new_zeros(0)) if head_maps else (None, None)
            patch_map = x.new_zeros(batch, patches, patches) if affinity else None
            return Attended(tokens, empty, patch_map, x.new_zeros(()), *none)
        q, k, v = self._projected(x, outputs)
        seen = None if visible is None else visible_keys(visible, count - classes)
        if asymmetric and classes:
            heads = asymmetric_attention(q, k, v, classes, seen)
        else:
            mask = None if seen is None else functional.pad(seen, (classes, 0), value=True)[:, None, None]
            heads = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        gates = self.gate() if self.gate is not None else x.new_ones(self.heads)
        if self.gate is not None:
            heads = heads * gates.to(heads.dtype).view(-1, 1, 1)
        tokens = self.proj(heads.transpose(1, 2).flatten(2))
        total = gates.sum()
        share = gates / total.clamp_min(1e-8)
        class_map = patch_map = rows = None
        if maps or head_maps:
            rows = class_attention(q, k, classes, patches, seen, asymmetric=asymmetric)
            class_map = (rows * share.view(-1, 1, 1)).sum(1)  # in float32 under autocast too
        if affinity:
            patch_map = patch_affinity(q, k, classes, patches, share, seen, asymmetric=asymmetric)
        opened = (total > 0).to(x.dtype)
        if head_maps:
            return Attended(tokens, class_map, patch_map, opened, rows, gates)
        return Attended(tokens, class_map, patch_map, opened)

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


def visible_keys(visible: Tensor, count: int) -> Tensor:
    """Return which patches and registers may be read, bool `b count`: registers always.

    In an image without any visible patch all are, because attention over nothing is not defined.

    Args:
        visible: bool `b n`.
        count: Number of patches and registers.
    """
    readable = visible | ~visible.any(dim=1, keepdim=True)
    return functional.pad(readable, (0, count - visible.shape[1]), value=True)


def asymmetric_attention(q: Tensor, k: Tensor, v: Tensor, classes: int, seen: Tensor | None = None) -> Tensor:
    """Attend so that class tokens are independent of each other: the cost is linear in their number.

    Args:
        q: Queries `b h o e`, class tokens first; the last ones may be left out.
        k: Keys `b h n e`.
        v: Values `b h n e`.
        classes: Number of class tokens.
        seen: Patches and registers that may be read, bool `b m`; None where all may.

    Returns:
        Head outputs `b h o e`: exact softmax attention over patches, registers and, for a class token,
            itself.
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


def class_attention(
    q: Tensor, k: Tensor, classes: int, patches: int, seen: Tensor | None = None, *, asymmetric: bool
) -> Tensor:
    """Return the attention of class tokens to patches, `b h c n`: parts of softmax rows, with sums below 1.

    Args:
        q: Queries `b h n e`, class tokens first, then patches.
        k: Keys `b h n e`.
        classes: Number of class tokens.
        patches: Number of patches.
        seen: Patches and registers that may be read, bool `b m`; None where all may.
        asymmetric: Leave the other class tokens out of each softmax row.
    """
    rows: Tensor
    scale = q.shape[-1] ** -0.5
    class_q = q[:, :, :classes] * scale
    if not asymmetric:
        joint = class_q @ k.transpose(-2, -1)
        if seen is not None:
            joint = joint.masked_fill(~functional.pad(seen, (classes, 0), value=True)[:, None, None], -torch.inf)
        rows = joint.softmax(-1, dtype=torch.float32)
        return rows[..., classes : classes + patches]
    context = class_q @ k[:, :, classes:].transpose(-2, -1)
    if seen is not None:
        context = context.masked_fill(~seen[:, None, None], -torch.inf)
    itself: Tensor = (class_q * k[:, :, :classes]).sum(-1, keepdim=True)
    rows = torch.cat((context, itself.to(context.dtype)), -1).softmax(-1, dtype=torch.float32)
    return rows[..., :patches]


def patch_affinity(
    q: Tensor, k: Tensor, classes: int, patches: int, share: Tensor, seen: Tensor | None = None, *, asymmetric: bool
) -> Tensor:
    """Return the patches' attention to patches, weighted over heads by `share` (`h`): `b n n`.

    Heads are taken one at a time, so that memory holds one head's rows and the sum.
    """
    scale = q.shape[-1] ** -0.5
    keys = k[:, :, classes:] if asymmetric else k
    first = 0 if asymmetric else classes
    hidden = None if seen is None else ~functional.pad(seen, (first, 0), value=True)[:, None]
    total = torch.zeros(q.shape[0], patches, patches, device=q.device)
    for head in range(q.shape[1]):
        scores = q[:, head, classes : classes + patches] * scale @ keys[:, head].transpose(-2, -1)
        if hidden is not None:
            scores = scores.masked_fill(hidden, -torch.inf)
        rows = scores.softmax(-1, dtype=torch.float32)[..., first : first + patches]
        total = total + share[head] * rows
    return total
