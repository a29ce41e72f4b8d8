"""What a frozen encoder says of each training image, computed once for all epochs."""

import math
from pathlib import Path
from typing import Literal, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from wsss_toolkit.domain.progress import counted
from wsss_toolkit.images.augment import apply_symmetry
from wsss_toolkit.images.dataset import ImageDataset, Item
from wsss_toolkit.images.mapped_array import new_array, open_array
from wsss_toolkit.recipe.schema import Segmentation, SegmentationAugment
from wsss_toolkit.segmentation.classifier_encoder import ClassifierNetwork
from wsss_toolkit.segmentation.unet import padded


class WithFeatures(Dataset[Item]):
    """A data set whose items hold the encoder's features of their image beside it, turned as their code says.

    Args:
        images: The images; changed by nothing but symmetries.
        features: float16 `v n p d`: for each of the `v` symmetries and each of the `n` images, those of `p` patches.
    """

    def __init__(self, images: ImageDataset, features: Tensor) -> None:
        self.images, self.features = images, features

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def __getitem__(self, position: tuple[int, int] | int) -> Item:
        """Return one image with its features `p d`."""
        item = self.images[position]
        variant = self.images.codes.index(int(item["code"]))
        item["features"] = self.features[variant, int(item["index"])].float()
        return item


def stand_still(network: nn.Module, section: Segmentation, images: ImageDataset) -> bool:
    """Return whether the encoder says the same of an image in every epoch, but for the image's symmetries."""
    change = section.augment
    turned = {name: getattr(change, name) for name in ("horizontal_flip", "vertical_flip", "rotate90", "domain")}
    return (
        isinstance(network, ClassifierNetwork)
        and network.frozen
        and images.crop is None
        and images.augmenter is None
        # Whatever else a recipe can ask for moves what the encoder sees.
        and change == SegmentationAugment().model_copy(update=turned)
    )


@torch.no_grad()  # not inference_mode, which would leave the network that is moved here unable to learn
def keep_features(  # noqa: PLR0913  # the network, the data, and where to compute and keep
    network: nn.Module,
    images: ImageDataset,
    *,
    batch_size: int,
    workers: int,
    device: torch.device,
    cache: Literal["memory", "disk"],
    memory_mb: int,
    path: Path,
) -> Dataset[Item]:
    """Run the encoder of a `ClassifierNetwork` over every image and symmetry of a data set for which it stands still.

    With `cache` ``disk`` the `.npy` file `path` is memory-mapped, so that memory stays free and a killed run finds it
    again. In memory they are kept if they take no more than `memory_mb`; otherwise the images are returned as they are.
    Features are rounded to 16 bits.
    """
    if cache == "disk" and path.exists():
        return WithFeatures(images, open_array(path))
    encoder = cast(ClassifierNetwork, network).to(device)
    batches: DataLoader[Item] = DataLoader(images, batch_size, num_workers=workers)
    partial, store = path.with_suffix(".partial.npy"), torch.empty(0)
    for batch in counted(batches, "features of the frozen encoder", len(images), lambda batch: len(batch["image"])):
        for variant, code in enumerate(images.codes):
            codes = torch.full((len(batch["image"]),), code)
            image, valid = (apply_symmetry(batch[name], codes).to(device) for name in ("image", "valid"))
            image, known = padded(encoder, image, valid)
            found = encoder.features(image, valid=known, present=batch["present"].to(device)).half().cpu()
            if not len(store):
                shape = (len(images.codes), len(images), *found.shape[1:])
                if cache == "memory" and math.prod(shape) * 2 > memory_mb * 2**20:
                    return images
                if cache == "disk":
                    store = new_array(partial, np.float16, shape)
                else:
                    store = torch.empty(shape, dtype=torch.float16)
            store[variant, batch["index"]] = found
    if cache == "disk":
        partial.replace(path)
    return WithFeatures(images, store)
