"""Outputs of frozen blocks, computed once and kept in memory or in a memory-mapped file."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from wsss_toolkit.domain.progress import counted
from wsss_toolkit.images.augment import apply_symmetry
from wsss_toolkit.images.dataset import ImageDataset, Item
from wsss_toolkit.images.mapped_array import new_array, open_array
from wsss_toolkit.model.layout import visible_patches
from wsss_toolkit.model.vit import MultiTokenViT


class FrozenDataset(Dataset[Item]):
    """A data set whose images are replaced by the tokens that leave the frozen blocks.

    Args:
        images: The images; neither cropped at random nor jittered, since their tokens are computed once.
        tokens: float32 `v n t d`: for each of the `v` symmetries and each of the `n` images, `t` tokens.
        visible: bool `v n p`: which of its `p` patches hold data.
    """

    def __init__(self, images: ImageDataset, tokens: Tensor, visible: Tensor) -> None:
        self.images, self.tokens, self.visible = images, tokens, visible

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def __getitem__(self, position: tuple[int, int] | int) -> Item:
        """Return one image's tokens as `image` and visible patches as `valid`.

        The symmetry is drawn from seed, epoch and position.
        """
        index, epoch = position if isinstance(position, tuple) else (position, 0)
        random = np.random.default_rng((self.images.seed, epoch, index))
        variant = int(random.integers(len(self.images.codes)))
        labels = self.images.labels
        return Item(
            image=self.tokens[variant, index],
            valid=self.visible[variant, index],
            present=torch.zeros(0, dtype=torch.bool),
            labels=torch.zeros(0) if labels is None else torch.from_numpy(labels[index]),
            mask=torch.zeros(0, dtype=torch.int64),
            index=torch.tensor(index),
            code=torch.tensor(0),
        )


@torch.inference_mode()
def freeze_dataset(
    model: MultiTokenViT,
    images: ImageDataset,
    *,
    batch_size: int,
    workers: int,
    device: torch.device,
    cache: Literal["memory", "disk"],
    path: Path,
) -> FrozenDataset:
    """Run the frozen blocks of a model that is on `device` over every image and symmetry.

    With `cache` ``disk`` the `.npy` file `path` is memory-mapped, so that memory stays free and a killed run finds it
    again.
    """
    variants = len(images.codes)
    beside = path.with_suffix(".visible.npy")
    if cache == "disk" and path.exists():
        return FrozenDataset(images, open_array(path), open_array(beside))
    training = model.training
    model.eval()
    store: Tensor | None = None
    seen = torch.empty(0)
    partial = path.with_suffix(".partial.npy")
    for indices, variant, tokens, visible in _encode(model, images, batch_size, workers, device):
        if store is None:
            seen = torch.empty(variants, len(images), visible.shape[1], dtype=torch.bool)
            shape = (variants, len(images), *tokens.shape[1:])
            if cache == "disk":
                store = new_array(partial, np.float32, shape)
            else:
                store = torch.empty(shape)
        store[variant, indices] = tokens
        seen[variant, indices] = visible
    model.train(training)
    assert store is not None, "an ImageDataset for training is never empty"
    if cache == "disk":
        np.save(beside, seen.numpy(), allow_pickle=False)
        partial.replace(path)
    return FrozenDataset(images, store, seen)


def _encode(
    model: MultiTokenViT, images: ImageDataset, batch_size: int, workers: int, device: torch.device
) -> Iterator[tuple[Tensor, int, Tensor, Tensor]]:
    """Yield image indices, the place of the symmetry, tokens and visible patches."""
    batches: DataLoader[Item] = DataLoader(images, batch_size, num_workers=workers)
    for batch in counted(batches, "frozen blocks", len(images), lambda batch: len(batch["image"])):
        for variant, code in enumerate(images.codes):
            codes = torch.full((len(batch["image"]),), code)
            turned = apply_symmetry(batch["image"], codes).to(device)
            visible = visible_patches(apply_symmetry(batch["valid"], codes), model.patch_size)
            tokens = model.encode_frozen(turned, batch["present"].to(device), visible.to(device))
            yield batch["index"], variant, tokens.float().cpu(), visible
