"""The one gate through which ground-truth masks are read: by label derivation and by evaluation only."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wsss_toolkit.domain import Adapter
from wsss_toolkit.errors import DataError, blamed_on


class NoGroundTruth(DataError):
    """An image has no ground-truth mask at all, as opposed to one that cannot be read."""


def read_truth(adapter: Adapter, key: str) -> NDArray[np.uint8]:
    """Read the ground-truth mask of one image, uint8 `h w` of class indices and 255.

    Raises:
        NoGroundTruth: If the image has no mask.
    """
    mask = _read(adapter, key)
    if mask is None:
        raise missing_truth(key)
    return mask


def _read(adapter: Adapter, key: str) -> NDArray[np.uint8] | None:
    with blamed_on(f"mask of image {key!r}"):
        return adapter.read_mask(key)


def keys_with_truth(adapter: Adapter, keys: Sequence[str]) -> tuple[str, ...]:
    """Return the images that have a ground-truth mask, for data sets that outline only some of their images.

    Raises:
        NoGroundTruth: If none has.
    """
    known = tuple(key for key in keys if _read(adapter, key) is not None)
    if not known and keys:
        raise missing_truth(keys[0])
    return known


def missing_truth(key: str) -> NoGroundTruth:
    """Return the error of an image that has no mask where one is needed."""
    return NoGroundTruth(
        f"image {key!r} has no ground-truth mask",
        fix="leave its split out of the recipe's `evaluation`, or use `labels: {source: tag_file}`",
    )
