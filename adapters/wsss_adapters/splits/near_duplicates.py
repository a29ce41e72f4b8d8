"""Near-duplicate frames, which must not be on two sides of a split."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import combinations
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wsss_adapters.pictures.decoding import decode_picture
from wsss_toolkit.errors import DataError
from wsss_toolkit.files import file_digest

SIDE: Final = 24
"""Side of the grey thumbnails in pixels."""
MOST: Final = 20_000
"""Frames that are compared at most, all with all."""
NEARLY_THE_SAME: Final = 0.98
"""Correlation of thumbnails from which two pictures in two splits are worth a warning."""
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


def alike_across(splits: Mapping[str, Mapping[str, Path]]) -> tuple[str, ...]:
    """Return a sentence on each pair of splits of which images are the same file or nearly the same picture.

    `splits` holds each split's pictures by what messages call them. Pictures beyond `MOST` are compared as files alone;
    those that cannot be read are none of this.
    """
    names = [(split, name, path) for split, pictures in splits.items() for name, path in pictures.items()]
    pairs: dict[tuple[str, str], list[tuple[str, str, bool]]] = {}

    def add(one: int, other: int, *, same: bool) -> None:
        (first, a, _), (second, b, _) = names[one], names[other]
        pairs.setdefault((first, second), []).append((a, b, same))

    by_content: dict[str, list[int]] = {}
    for number, (_, _, path) in enumerate(names):
        with suppress(OSError):  # whoever reads the picture says so
            by_content.setdefault(file_digest(path), []).append(number)
    equal = {pair for group in by_content.values() for pair in combinations(group, 2)}
    for one, other in sorted(equal):
        if names[one][0] != names[other][0]:
            add(one, other, same=True)
    if len(names) <= MOST:
        for one, other in _alike([path for _, _, path in names], [split for split, _, _ in names]):
            if (one, other) not in equal:
                add(one, other, same=False)
    return tuple(_sentence(*between, found) for between, found in pairs.items())


def _alike(paths: Sequence[Path], splits: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield the pairs of pictures in two splits that are nearly the same."""
    features = np.stack([_known_thumbnail(path) for path in paths]) if paths else np.zeros((0, SIDE**2), np.float32)
    owners = np.array(splits)
    for start in range(0, len(features), CHUNK):
        rows, columns = np.nonzero(features[start : start + CHUNK] @ features.T >= NEARLY_THE_SAME)
        rows = rows + start
        apart = (rows < columns) & (owners[rows] != owners[columns])
        yield from zip(rows[apart].tolist(), columns[apart].tolist(), strict=True)


def _known_thumbnail(path: Path) -> NDArray[np.float32]:
    try:
        return _thumbnail(path)
    except DataError:  # whoever reads the picture says so
        return np.zeros(SIDE**2, np.float32)


def _sentence(one: str, other: str, found: Sequence[tuple[str, str, bool]]) -> str:
    same = sum(equal for _, _, equal in found)
    how = "the same file" if same == len(found) else "nearly the same" if not same else "the same file or nearly so"
    several = len(found) > 1
    pairs = f"{len(found)} pairs of images" if several else "1 pair of images"
    first = f"{found[0][0]} and {found[0][1]}{' first' * several}"
    return (
        f"{pairs} in {one} and {other} {'are' if several else 'is'} {how}, {first}; figures of {other} say too much: "
        f"remove one of each, or draw splits with similarity: {NEARLY_THE_SAME}"
    )


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
    from PIL import Image

    picture = Image.fromarray(decode_picture(path, thumbnail=4 * SIDE).pixels)
    grey = picture.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    vector: NDArray[np.float32] = np.asarray(grey, dtype=np.float32).ravel()
    vector = vector - vector.mean()
    length = np.linalg.norm(vector)
    return np.divide(vector, length, dtype=np.float32) if length else vector
