"""Near-duplicate frames, which must not be on two sides of a split."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wsss_adapters.pictures.decoding import open_picture
from wsss_toolkit.errors import DataError

SIDE: Final = 24
"""Side of the grey thumbnails in pixels."""
MOST: Final = 20_000
"""Frames that are compared at most, all with all."""
CHUNK: Final = 1024
"""Frames whose correlations with all others are held at a time: 80 MB at 20,000 frames."""


def similar_groups(paths: Sequence[Path], threshold: float) -> NDArray[np.intp]:
    """Number the groups of frames that are linked by a chain of near-duplicates.

    Two frames are linked if Pearson's correlation of their grey thumbnails, `SIDE` x `SIDE`, is at least `threshold`,
    0..1.

    Raises:
        DataError: If there are more pictures than `MOST`, or one cannot be read.
    """
    if len(paths) > MOST:
        what = f"data.splits.similarity compares all frames with all, at most {MOST:,}; there are {len(paths):,}"
        fix = "group by data.splits.group_by or group_pattern, or write a split file"
        raise DataError(what, where=str(paths[0].parent), fix=fix)
    return linked(np.stack([_thumbnail(path) for path in paths]), threshold)


def linked(features: NDArray[np.float32], threshold: float) -> NDArray[np.intp]:
    """Number the connected components of unit vectors `n d` whose inner product is at least `threshold`."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    number = len(features)
    groups = np.arange(number)
    for start in range(0, number, CHUNK):
        # A thousandth of the last digit: identical pictures must link at a threshold of 1.
        alike = features[start : start + CHUNK] @ features[start:].T >= threshold - 1e-6
        rows, columns = np.nonzero(alike)
        # Components so far enter as stars, so that memory is bounded by one chunk.
        one = np.concatenate([rows + start, np.arange(number)])
        other = np.concatenate([columns + start, _first_of(groups)])
        graph = coo_matrix((np.ones(len(one), dtype=np.int8), (one, other)), shape=(number, number))
        groups = connected_components(graph, directed=False)[1].astype(np.intp)
    return groups


def _first_of(groups: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return, for each element, the first element of its group."""
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    return np.asarray(first[inverse.ravel()], dtype=np.intp)


def _thumbnail(path: Path) -> NDArray[np.float32]:
    """Return a picture's grey thumbnail with mean 0 and length 1, or 0 where it is uniform."""
    from PIL import Image, ImageOps

    with open_picture(path) as picture:
        picture.draft("L", (4 * SIDE, 4 * SIDE))  # JPEG decodes to a fraction of its size at once
        grey = ImageOps.exif_transpose(picture).convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    vector: NDArray[np.float32] = np.asarray(grey, dtype=np.float32).ravel()
    vector = vector - vector.mean()
    length = np.linalg.norm(vector)
    return np.divide(vector, length, dtype=np.float32) if length else vector
