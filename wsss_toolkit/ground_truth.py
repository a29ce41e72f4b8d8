"""The one gate through which ground-truth masks are read: by label derivation and by evaluation only."""

import numpy as np
from numpy.typing import NDArray

from wsss_toolkit.domain import Adapter
from wsss_toolkit.errors import DataError


class NoGroundTruth(DataError):
    """An image has no ground-truth mask at all, as opposed to one that cannot be read."""


def read_truth(adapter: Adapter, key: str) -> NDArray[np.uint8]:
    """Read the ground-truth mask of one image.

    Args:
        adapter: Where the image comes from.
        key: The image.

    Returns:
        uint8 `h w`, class indices and 255.

    Raises:
        NoGroundTruth: If the image has no mask.
    """
    mask = adapter.read_mask(key)
    if mask is None:
        raise NoGroundTruth(
            f"image {key!r} has no ground-truth mask",
            fix="leave its split out of the recipe's `evaluation`, or use `labels: {source: tag_file}`",
        )
    return mask
