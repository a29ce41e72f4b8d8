"""Runs a trained segmentation network over images."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from wsss_toolkit.compute import autocast
from wsss_toolkit.domain import IGNORE_INDEX
from wsss_toolkit.images.dataset import ImageDataset, batches_with_keys
from wsss_toolkit.pseudo_masks.refiners.refiner import refiners_of
from wsss_toolkit.recipe.schema import Segmentation
from wsss_toolkit.segmentation.unet import predict

Prediction = tuple[str, NDArray[np.uint8], NDArray[np.uint8]]
"""Key, mask `h w` (255 where the image holds no data), and confidence `h w` in 0..255."""


@dataclass(frozen=True, slots=True)
class NetworkMasks:
    """A trained segmentation network with all that its masks depend on."""

    network: nn.Module
    """The network; it is put on the device, in evaluation mode."""
    section: Segmentation
    """The recipe's `segmentation`: the size at which images are seen, and how scores are refined."""
    device: torch.device
    workers: int = 0
    """Data-loading processes."""
    refined: bool = True
    """Whether scores are refined."""
    dtype: torch.dtype = torch.float32
    """What the network computes in; see `compute.prediction_dtype`."""

    def over(self, dataset: ImageDataset, title: str, allowed: NDArray[np.bool_] | None = None) -> Iterator[Prediction]:
        """Yield the mask of every image of a data set, in order.

        Args:
            dataset: Whole images.
            title: What the progress bar says.
            allowed: Which classes each image may show, `n c`: its confidence is then the probability among these, and
                an image that may show none is 255 throughout. None allows all.
        """
        choices = None if allowed is None else torch.from_numpy(allowed)
        side, device = self.section.image_size, self.device
        refine = refiners_of(self.section.refine, on_grid=False) if self.refined else ()
        self.network.to(device).to(memory_format=torch.channels_last).eval()
        for keys, batch in batches_with_keys(dataset, self.section.batch_size, self.workers, title):
            with torch.inference_mode(), autocast(device, self.dtype):
                logits = predict(
                    self.network,
                    batch["image"].to(device, memory_format=torch.channels_last),
                    None if side is None else (side, side),
                    valid=batch["valid"].to(device),
                    present=batch["present"].to(device),
                    refine=refine,
                )
                known = batch["valid"]
                if choices is not None:
                    may = choices[batch["index"]]
                    some = may.any(dim=1, keepdim=True)
                    known = known & some[..., None]
                    logits = logits.masked_fill(~(may | ~some)[..., None, None].to(device), float("-inf"))
                confidence, mask = logits.float().softmax(dim=1).max(dim=1)
                mask = mask.cpu().masked_fill(~known, IGNORE_INDEX).byte()
                level = (confidence.cpu() * 255).round().byte().masked_fill(~known, 0)
            yield from zip(keys, mask.numpy(), level.numpy(), strict=True)
