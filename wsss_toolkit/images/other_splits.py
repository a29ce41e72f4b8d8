"""Whether the images of other splits are in the unit of the training images, by a look at some of each."""

from collections.abc import Mapping, Sequence

from wsss_toolkit.domain import Adapter
from wsss_toolkit.errors import WsssError
from wsss_toolkit.images.distribution import PixelSample, Quantiles, evenly
from wsss_toolkit.images.scaling import Preprocessing
from wsss_toolkit.images.units import compare

LOOKED_AT = 16
"""Images of each split, evenly spaced."""


def doubtful_splits(adapter: Adapter, prepare: Preprocessing, splits: Mapping[str, Sequence[str]]) -> list[str]:
    """Return a sentence for each sensor and split whose values look like another unit than training's."""
    found = []
    for split, keys in splits.items():
        look = PixelSample(prepare.channels)
        for index in evenly(len(keys), LOOKED_AT) if split != "train" else ():
            try:
                look.add(adapter.read(keys[index], prepare.channels))
            except WsssError:  # whoever needs this image will say what is wrong with it
                continue
        found += doubts(split, prepare, look.quantiles())
    return found


def doubts(split: str, prepare: Preprocessing, seen: Quantiles | None) -> list[str]:
    """Return a sentence for each sensor whose values in a split look like another unit than training's."""
    if prepare.quantiles is None or seen is None:
        return []
    compared = compare(prepare.channels, prepare.quantiles, seen)
    return [f"values of the split {split!r} lie far off those of training: {doubt}" for doubt in compared]
