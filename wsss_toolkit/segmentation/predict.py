"""Runs a trained segmentation network over images."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from wsss_toolkit.domain import IGNORE_INDEX
from wsss_toolkit.images.dataset import ImageDataset, batches_with_keys
from wsss_toolkit.pseudo_masks.refiners.refiner import Refiner
from wsss_toolkit.segmentation.unet import predict

Prediction = tuple[str, NDArray[np.uint8], NDArray[np.uint8]]
"""Key, mask `h w` (255 where the image holds no data), and confidence `h w` in 0..255."""


def predict_masks(
    network: nn.Module,
    dataset: ImageDataset,
    *,
    batch_size: int,
    workers: int,
    device: torch.device,
    title: str,
    size: int | None,
    refine: Sequence[Refiner] = (),
    allowed: NDArray[np.bool_] | None = None,
) -> Iterator[Prediction]:
    """Yield the mask of every image of a data set, in order.

    Args:
        network: In evaluation mode.
        dataset: Whole images.
        batch_size: Images at a time.
        workers: Data-loading processes.
        device: Where to compute.
        title: What the progress bar says.
        size: Side in pixels of the square to which images are resized for the network; None keeps their size.
        refine: Refiners of the scores.
        allowed: Which classes each image may show, `n c`: its confidence is then the probability among these, and an
            image that may show none is 255 throughout. None allows all.
    """
    choices = None if allowed is None else torch.from_numpy(allowed)
    network.to(device).to(memory_format=torch.channels_last).eval()
    for keys, batch in batches_with_keys(dataset, batch_size, workers, title):
        with torch.inference_mode():
            images = batch["image"].to(device, memory_format=torch.channels_last)
            logits = predict(
                network,
                images,
                None if size is None else (size, size),
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
