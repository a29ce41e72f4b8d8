"""Class maps spread over patches that attend to each other."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from wsss_toolkit.pseudo_masks.refiners.refiner import Refiner
from wsss_toolkit.recipe.numbers import Count, Positive

if TYPE_CHECKING:
    from torch import Tensor

    from wsss_toolkit.heads.classifier import Classifier, Seen
    from wsss_toolkit.model.attention_maps import Reader


class Affinity(Refiner):
    """Propagation of class maps along the last block's patch-to-patch attention."""

    on_grid: ClassVar[bool] = True

    iterations: Count = 1
    """Steps of the random walk."""
    power: Positive = 2.0
    """Exponent that sharpens the affinities."""

    def reads(self, model: "Classifier") -> "Mapping[int, Reader]":
        """Read the last block's affinity."""
        from wsss_toolkit.model.attention_maps import affinity

        return {model.backbone.depth - 1: affinity}

    def spread(self, maps: "Tensor", seen: "Seen") -> "Tensor":
        """Walk at random from patch to patch."""
        from wsss_toolkit.model.attention_maps import affinity

        (found,) = (read[affinity] for read in seen.output.read.values() if affinity in read)
        return propagate(maps, found.float(), iterations=self.iterations, power=self.power)


def propagate(maps: "Tensor", affinity: "Tensor", *, iterations: int, power: float) -> "Tensor":
    """Spread class maps over patches that attend to each other, by a random walk.

    With the symmetric affinity ``S = (A + A^T) / 2``, the transition matrix is
    ``T_ij = S_ij^power / sum_k S_ik^power`` and every step replaces a map ``m`` by ``T m``.

    Args:
        maps: Class maps on the patch grid ``b c h w``.
        affinity: Patch-to-patch attention ``A``, not negative, ``b n n`` with ``n = h w`` in row-major order.
        iterations: Steps of the walk.
        power: Exponent above 0; larger keeps only the strongest affinities.

    Returns:
        ``b c h w``. Each value is a weighted mean of the map's values, so its range does not grow.
    """
    import torch

    height, width = maps.shape[-2:]
    symmetric = (affinity + affinity.transpose(1, 2)) / 2
    # Dividing by the row's maximum changes no transition and keeps large powers from underflowing to 0 / 0.
    largest = symmetric.amax(dim=-1, keepdim=True)
    sharp = (symmetric / largest.clamp_min(torch.finfo(symmetric.dtype).tiny)) ** power
    # A patch without any affinity keeps its value.
    sharp = torch.where(largest > 0, sharp, torch.eye(height * width, dtype=sharp.dtype, device=sharp.device))
    transition = sharp / sharp.sum(dim=-1, keepdim=True)
    walked = maps.flatten(2).transpose(1, 2)
    for _ in range(iterations):
        walked = transition @ walked
    return walked.transpose(1, 2).reshape(maps.shape)
