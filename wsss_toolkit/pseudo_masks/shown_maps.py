"""The class maps of a few images, to look at."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wsss_toolkit.images.dataset import ImageDataset
from wsss_toolkit.pseudo_masks.mapper import Mapper


class ClassMaps(NamedTuple):
    """What the classifier sees in an image."""

    key: str
    mask: NDArray[np.uint8]
    """Its pseudo-mask, uint8 `h w`, 255 for ignore."""
    tokens: tuple[int, ...]
    """Class tokens of the active classes, the most probable first, at most as many as were asked for."""
    probabilities: tuple[float, ...]
    """Of these classes."""
    maps: NDArray[np.float32]
    """Their maps, float32 `t h w`, not negative."""
    left_out: int
    """Active classes beyond these."""


def active_class_maps(mapper: Mapper, dataset: ImageDataset, title: str, *, at_most: int) -> Iterator[ClassMaps]:
    """Yield the class maps that the pseudo-mask of each image is made of.

    Args:
        mapper: The trained classifier.
        dataset: The images.
        title: What the progress bar says.
        at_most: How many maps of an image are kept.
    """
    for keys, batch in mapper.batches(dataset, title):
        images, valid, present = (batch[name].to(mapper.device) for name in ("image", "valid", "present"))
        found = mapper.maps(images, valid, present, labels=mapper.labels_of(batch))
        masks, _ = mapper.assign(found, valid)
        probabilities = found.logits.double().sigmoid()
        for row, (key, mask) in enumerate(zip(keys, masks.cpu().numpy(), strict=True)):
            active = found.active[row].nonzero().flatten()
            chosen = active[probabilities[row, active].argsort(descending=True, stable=True)][:at_most]
            yield ClassMaps(
                key=key,
                mask=mask,
                tokens=tuple(found.tokens[chosen].tolist()),
                probabilities=tuple(probabilities[row, chosen].tolist()),
                maps=found.maps[row, chosen].float().cpu().numpy(),
                left_out=len(active) - len(chosen),
            )
