"""Mosaics: two images of one class each, cut together along a smooth random shape."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from wsss_toolkit.domain import ChannelTable, Sample, read_sample
from wsss_toolkit.errors import DataError
from wsss_toolkit.images.dataset import ReadsImages

SHARES = (0.25, 0.75)
"""Smallest and largest share of a mosaic that its first image covers."""
NOISE = ((4, 1.0), (8, 0.5), (16, 0.2))
"""What makes the shapes: random points along each side, and how much they count."""


def smooth_shapes(count: int, height: int, width: int, generator: torch.Generator) -> Tensor:
    """Draw smooth shapes, bool `n h w`: where random noise of three sizes is below one of its own quantiles.

    They lie on the generator's device.

    >>> shapes = smooth_shapes(4, 32, 32, torch.Generator().manual_seed(0)).flatten(1)
    >>> bool(((shapes.float().mean(dim=1) > 0.24) & (shapes.float().mean(dim=1) < 0.76)).all())
    True
    """
    device = generator.device
    field = torch.zeros(count, height, width, device=device)
    for points, weight in NOISE:
        noise = torch.randn(count, 1, points, points, generator=generator, device=device)
        field += weight * F.interpolate(noise, (height, width), mode="bicubic", align_corners=True)[:, 0]
    low, high = SHARES
    covered = low + (high - low) * torch.rand(count, generator=generator, device=device)
    ordered = field.flatten(1).sort(dim=1).values
    level = ordered.gather(1, (covered * (height * width - 1)).long()[:, None])
    return field < level[..., None]


class _Pair(NamedTuple):
    first: str
    second: str
    number: int


class MosaicImages:
    """Images of an adapter, and mosaics of those that show one class, under keys of their own.

    A mosaic shows both classes, as surely as the images show one each, and its context is mixed, which the class maps
    of a classifier that has seen whole images alone mistake for the class.

    Args:
        adapter: Reads the images.
        keys: Training images.
        labels: Their image-level labels, float32 `n k`, 0 or 1.
        share: Mosaics, as a multiple of the number of images.
        seed: Chooses images and shapes.

    Attributes:
        keys: The images, then the mosaics.
        labels: Labels of both, float32 `m k`.

    Raises:
        DataError: If fewer than two classes have an image that shows them alone.
    """

    def __init__(
        self, adapter: ReadsImages, keys: Sequence[str], labels: NDArray[np.float32], share: float, seed: int
    ) -> None:
        self.adapter, self.seed = adapter, seed
        random = np.random.default_rng((seed, 1))
        single = labels.sum(axis=1) == 1
        alone = [np.flatnonzero(single & (column == 1)) for column in labels.T]
        classes = [index for index, found in enumerate(alone) if len(found)]
        if len(classes) < 2:
            what = f"train.mosaics joins images that show one class alone; {len(classes)} of {labels.shape[1]} classes "
            raise DataError(what + "have such images", fix="cut smaller tiles, or set train.mosaics to 0")
        self._pairs: dict[str, _Pair] = {}
        made = []
        for number in range(round(share * len(keys))):
            one, other = (int(random.choice(alone[index])) for index in random.permutation(classes)[:2])
            self._pairs[f"mosaic {number}"] = _Pair(keys[one], keys[other], number)
            made.append(np.maximum(labels[one], labels[other]))
        self.keys = (*keys, *self._pairs)
        self.labels = np.concatenate((labels, np.stack(made))) if made else labels

    def read(self, key: str, channels: ChannelTable) -> Sample:
        """Read an image, or two and cut them together.

        Raises:
            DataError: If the two differ in size or sensors, or an image cannot be read.
        """
        pair = self._pairs.get(key)
        if pair is None:
            return read_sample(self.adapter, key, channels)
        first, second = (read_sample(self.adapter, name, channels) for name in pair[:2])
        if first.size != second.size or first.bands.keys() != second.bands.keys():
            what = f"differs from {pair.first} in size or sensors, and train.mosaics cuts the two together"
            raise DataError(what, where=pair.second, fix="cut tiles of one size, or set train.mosaics to 0")
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + pair.number) % 2**63)
        own = smooth_shapes(1, *first.size, generator)[0].numpy()
        bands = {name: np.where(own, values, second.bands[name]) for name, values in first.bands.items()}
        return Sample(key, bands)
