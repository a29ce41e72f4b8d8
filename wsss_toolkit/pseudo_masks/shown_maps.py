"""The class maps of a few images, to look at."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from wsss_toolkit.domain import ClassTable
from wsss_toolkit.images.dataset import ImageDataset
from wsss_toolkit.model.vit import MultiTokenViT
from wsss_toolkit.pseudo_masks.assign import assign
from wsss_toolkit.pseudo_masks.label import map_images
from wsss_toolkit.pseudo_masks.write import progress
from wsss_toolkit.recipe.schema import PseudoMasks


class ClassMaps(NamedTuple):
    """What the classifier sees in an image.

    Attributes:
        key: The image.
        mask: Its pseudo-mask, uint8 `h w`, 255 for ignore.
        tokens: Class tokens of the active classes, the most probable first, at most as many as were asked for.
        probabilities: Of these classes.
        maps: Their maps, float32 `t h w`, not negative.
        left_out: Active classes beyond these.
    """

    key: str
    mask: NDArray[np.uint8]
    tokens: tuple[int, ...]
    probabilities: tuple[float, ...]
    maps: NDArray[np.float32]
    left_out: int


def active_class_maps(
    model: MultiTokenViT,
    dataset: ImageDataset,
    section: PseudoMasks,
    classes: ClassTable,
    *,
    at_most: int,
    resize: int | None,
    exclusive: bool,
    device: torch.device,
    batch_size: int,
    workers: int,
    title: str,
) -> Iterator[ClassMaps]:
    """Yield the class maps that the pseudo-mask of each image is made of.

    The arguments are `write_pseudo_masks`'s, and `at_most`: how many maps of an image are kept.
    """
    model.to(device).eval()
    # With windows, images are large: one at a time, and its windows in batches.
    for keys, batch in progress(dataset, batch_size if section.window == "none" else 1, workers, title):
        valid = batch["valid"].to(device)
        labels = batch["labels"].to(device) if section.classes == "labels" else None
        found = map_images(
            model,
            batch["image"].to(device),
            valid,
            batch["present"].to(device),
            section,
            labels=labels,
            resize=resize,
            reference=None,
            exclusive=exclusive,
            batch_size=batch_size,
        )
        masks, _ = assign(
            found.maps,
            found.logits,
            found.active,
            section,
            classes,
            valid=valid,
            tokens=found.tokens,
            coverage=found.coverage,
        )
        probabilities = found.logits.double().sigmoid()
        for row, key in enumerate(keys):
            active = found.active[row].nonzero().flatten()
            chosen = active[probabilities[row, active].argsort(descending=True, stable=True)][:at_most]
            yield ClassMaps(
                key=key,
                mask=masks[row].cpu().numpy(),
                tokens=tuple(found.tokens[chosen].tolist()),
                probabilities=tuple(probabilities[row, chosen].tolist()),
                maps=found.maps[row, chosen].float().cpu().numpy(),
                left_out=len(active) - len(chosen),
            )
