"""What the model returns."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from wsss_toolkit.model.attention import Attended


@dataclass(frozen=True, slots=True)
class Output:
    """Logits, and on request maps; K is the number of selected classes, C unless `classes` was given.

    Attributes:
        logits: Image-level logits `b k`.
        class_maps: Attention of class tokens to patches, gate-weighted over heads, `b l k h w` in the order
            of the layers asked for; each map sums to at most 1.
        layer_weights: `l`: 0 for a layer whose gates are all closed (its maps are 0), 1 for the others.
        patch_logits: The patch classifier's scores pooled over patches, `b k`; None without one.
        patch_maps: The patch classifier's scores `b k h w`, if asked for.
        affinity: Attention of patches to patches in the last layer, gate-weighted over heads, `b n n`, if
            asked for.
        head_maps: For each layer asked for, the class maps of its heads before the mean over them, `b a k h w` with a
            heads: layers may have lost different numbers to pruning. None unless asked for.
        gates: For each of these layers, its heads' gates `a`.
    """

    logits: Tensor
    class_maps: Tensor | None = None
    layer_weights: Tensor | None = None
    patch_logits: Tensor | None = None
    patch_maps: Tensor | None = None
    affinity: Tensor | None = None
    head_maps: tuple[Tensor, ...] | None = None
    gates: tuple[Tensor, ...] | None = None


def stack_class_maps(layers: Sequence[Attended], grid: tuple[int, int]) -> tuple[Tensor | None, Tensor | None]:
    """Return class maps `b l k h w` of layers and their weights `l`, or None for both."""
    maps = [layer.class_map for layer in layers if layer.class_map is not None]
    if not maps:
        return None, None
    stacked = torch.stack(maps, 1)
    return stacked.reshape(*stacked.shape[:-1], *grid), torch.stack([layer.open for layer in layers])


def head_class_maps(
    layers: Sequence[Attended], grid: tuple[int, int]
) -> tuple[tuple[Tensor, ...] | None, tuple[Tensor, ...] | None]:
    """Return the class maps `b a k h w` of the a heads of each layer and their gates `a`, or None for both."""
    found = [(layer.head_maps, layer.gates) for layer in layers]
    maps = tuple(rows.reshape(*rows.shape[:-1], *grid) for rows, _ in found if rows is not None)
    return (maps, tuple(gates for _, gates in found if gates is not None)) if maps else (None, None)
