"""Class maps from the consensus."""

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from wsss_toolkit.pseudo_masks.assign import active_classes, used_tokens
from wsss_toolkit.pseudo_masks.consensus.model import Consensus
from wsss_toolkit.pseudo_masks.mapper import Mapped, Mapper
from wsss_toolkit.pseudo_masks.refiners.refiner import refiners_of


@dataclass(frozen=True, slots=True)
class ConsensusMapper(Mapper):
    """A mapper whose class maps are the consensus's probabilities of foreground, each pixel's given to one class.

    Attributes:
        consensus: The fitted heads, on the device.
    """

    consensus: Consensus = field(kw_only=True)

    @torch.no_grad()
    def maps(
        self,
        images: Tensor,
        valid: Tensor,
        present: Tensor,
        *,
        labels: Tensor | None = None,
        reference: tuple[int, int] | None = None,
    ) -> Mapped:
        """Map the classes of images; see `Mapper.maps`."""
        found = self.consensus(images, valid, present, reference)
        # Whether there is anything is said by the heads; where nothing reaches 0.5, the best class is what it is.
        active = active_classes(found.logits, labels, self.section.classes)
        tokens = used_tokens(active)
        size = images.shape[-2:]
        foreground = F.interpolate(found.foreground[:, None], size, mode="bilinear", align_corners=False)
        # Of the classes that an image shows, the one that a pixel speaks for most is its class.
        scores = F.interpolate(found.scores[:, tokens], size, mode="bilinear", align_corners=False)
        scores = scores.masked_fill(~active[:, tokens, None, None], -torch.inf)
        maps = torch.zeros_like(scores).scatter_(1, scores.argmax(1, keepdim=True), foreground)
        for refiner in refiners_of(self.section.refine, on_grid=False):
            maps = refiner.refine(maps, images)
        return Mapped(maps, found.logits[:, tokens], active[:, tokens], tokens, found.logits, None)
