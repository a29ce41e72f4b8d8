"""Class maps from the attention of class tokens to patches."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from wsss_toolkit.pseudo_masks.sources.source import MapSource
from wsss_toolkit.recipe.parts import Layers, Needs, select_layers

if TYPE_CHECKING:
    from torch import Tensor

    from wsss_toolkit.heads.classifier import Classifier, Seen
    from wsss_toolkit.model.attention_maps import Reader


class Attention(MapSource):
    """Attention of class tokens to patches, averaged over layers, in multiples of uniform attention."""

    layers: Layers = "all"
    """Layers whose attention is averaged: `all` that have class tokens, the `last`, the last k (a number), or a
    list of block indices."""

    def needs(self) -> Needs:
        """Ask for the layers."""
        return Needs(layers=self.layers)

    def reads(self, model: "Classifier") -> "Mapping[int, Reader]":
        """Read the class maps of the layers."""
        from wsss_toolkit.model.attention_maps import class_map

        backbone = model.backbone
        return dict.fromkeys(select_layers(self.layers, backbone.enter_at, backbone.depth), class_map)

    def maps(self, seen: "Seen") -> "Tensor":
        """Return the mean over layers, times the number of patches that can be attended to."""
        import torch

        from wsss_toolkit.model.attention_maps import ClassMap, class_map

        found: list[ClassMap] = [read[class_map] for read in seen.output.read.values() if class_map in read]
        stacked = torch.stack([layer.maps for layer in found], 1).float()
        maps = mean_over_layers(stacked, torch.stack([layer.open for layer in found]))
        if maps.shape[1] != seen.logits.shape[1]:  # one token for all classes: its map is every class's
            maps = maps.expand(-1, seen.logits.shape[1], -1, -1)
        layout = seen.output.layout
        if layout.visible is None:
            return maps * layout.patches
        readable = layout.visible.sum(dim=1)
        return maps * torch.where(readable == 0, layout.patches, readable)[:, None, None, None]


def mean_over_layers(maps: "Tensor", weights: "Tensor") -> "Tensor":
    """Average class maps over layers, leaving out layers whose heads are all closed.

    Args:
        maps: `b l c h w`.
        weights: Not negative, `l`.

    Returns:
        `b c h w`; zeros where every weight is 0.
    """
    import torch

    total = weights.sum().clamp_min(torch.finfo(weights.dtype).tiny)
    return torch.einsum("blchw,l->bchw", maps, (weights / total).to(maps))
