"""Readers: what can be seen in a block's attention, class maps first.

A reader is a plain function of `Attending`. `model(images, read={11: class_map})` calls it in that block, and what it
returns comes back as `output.read[11]`; nothing else of the block is kept.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from wsss_toolkit.model.attention import Attending

Reader = Callable[[Attending], Any]


class ClassMap(NamedTuple):
    """The class tokens' attention to patches."""

    maps: Tensor
    """Gate-weighted mean over heads, `b c gh gw`; each map sums to at most 1."""
    open: Tensor
    """1 if any head's gate is above 0, else 0 (and the maps are 0): the block's weight in a mean over blocks."""


class HeadMaps(NamedTuple):
    """The class tokens' attention to patches, head by head."""

    maps: Tensor
    """`b a c gh gw` with a heads."""
    gates: Tensor
    """The heads' gates `a`."""


def class_map(attending: Attending) -> ClassMap:
    """Return the class maps of a block: ``sum_i g_i A_i / sum_i g_i`` over its heads.

    >>> from wsss_toolkit.model.layout import TokenLayout
    >>> alike = torch.zeros(1, 1, 4, 8)  # one head; a class token and three patches, which all attract it as much
    >>> class_map(Attending(alike, alike, torch.ones(1), TokenLayout(1, (1, 3), 0))).maps
    tensor([[[[0.2500, 0.2500, 0.2500]]]])
    """
    rows = class_attention(attending)
    total = attending.gates.sum()
    share = attending.gates / total.clamp_min(1e-8)
    maps = (rows * share.view(-1, 1, 1)).sum(1)  # in float32 under autocast too
    return ClassMap(attending.layout.on_grid(maps), (total > 0).to(attending.gates.dtype))


def head_maps(attending: Attending) -> HeadMaps:
    """Return the class maps of a block before the mean over heads, and the gates."""
    return HeadMaps(attending.layout.on_grid(class_attention(attending)), attending.gates)


def affinity(attending: Attending) -> Tensor:
    """Return the patches' attention to patches, gate-weighted over heads, `b n n`; memory grows with its square.

    Heads are taken one at a time, so that memory holds one head's rows and the sum. With asymmetric attention class
    tokens are not among what patches read.

    Raises:
        ValueError: If the block computed class tokens alone, so that patches have no queries.
    """
    q, k, gates, layout = attending
    classes, patches = layout.classes, layout.patches
    if q.shape[2] < classes + patches:
        raise ValueError("the block computed class tokens alone; call the model with whole=True")
    share = gates / gates.sum().clamp_min(1e-8)
    scale = q.shape[-1] ** -0.5
    keys = k[:, :, classes:] if layout.asymmetric else k
    first = 0 if layout.asymmetric else classes
    seen = layout.readable()
    hidden = None if seen is None else ~F.pad(seen, (first, 0), value=True)[:, None]
    total = torch.zeros(q.shape[0], patches, patches, device=q.device)
    for head in range(q.shape[1]):
        scores = q[:, head, classes : classes + patches] * scale @ keys[:, head].transpose(-2, -1)
        if hidden is not None:
            scores = scores.masked_fill(hidden, -torch.inf)
        rows = scores.softmax(-1, dtype=torch.float32)[..., first : first + patches]
        total = total + share[head] * rows
    return total


def together(readers: Iterable[Reader]) -> Callable[[Attending], dict[Reader, Any]]:
    """Return a reader that calls several; what each returned is found by it."""
    chosen = tuple(dict.fromkeys(readers))
    return lambda attending: {reader: reader(attending) for reader in chosen}


def class_attention(attending: Attending) -> Tensor:
    """Return the attention of class tokens to patches, `b h c n`: parts of softmax rows, with sums below 1.

    With asymmetric attention the other class tokens are no part of a row.
    """
    q, k, _, layout = attending
    classes, patches, seen = layout.classes, layout.patches, layout.readable()
    rows: Tensor
    class_q = q[:, :, :classes] * q.shape[-1] ** -0.5
    if not layout.asymmetric:
        joint = class_q @ k.transpose(-2, -1)
        if seen is not None:
            visible = F.pad(seen, (classes, 0), value=True)
            joint = joint.masked_fill(~visible[:, None, None], -torch.inf)
        rows = joint.softmax(-1, dtype=torch.float32)
        return rows[..., classes : classes + patches]
    context = class_q @ k[:, :, classes:].transpose(-2, -1)
    if seen is not None:
        context = context.masked_fill(~seen[:, None, None], -torch.inf)
    itself: Tensor = (class_q * k[:, :, :classes]).sum(-1, keepdim=True)
    rows = torch.cat((context, itself.to(context.dtype)), -1).softmax(-1, dtype=torch.float32)
    return rows[..., :patches]
