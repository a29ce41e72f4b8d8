"""What becomes of pixels that no class claimed."""

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_cdt, distance_transform_edt
from torch import Tensor

OPEN = -1
"""The value of pixels that have no class yet."""

_BITS, _SHARING = 4, 4
"""Bits of a class's votes, of which there are up to 8, and classes that share a word of 16 bits."""
_LAST = 2**16 - 1


def fill_majority(labels: Tensor) -> Tensor:
    """Give open pixels the most common value among their 8 neighbours, ring by ring, until none is left.

    All pixels of a ring look at the state before it, so the result does not depend on an order of visiting.
    Equally common values: the lowest wins.

    Args:
        labels: int64 ``b h w`` with class indices and `OPEN`.

    Returns:
        int64 ``b h w``. An image without any class stays open.
    """
    # Rings are many and small: NumPy starts an operation on a few hundred numbers much sooner than PyTorch.
    images = labels.cpu().numpy()
    filled = np.empty_like(images)
    for image, result in zip(images, filled, strict=True):
        _fill_rings(image, result)
    return torch.from_numpy(filled).to(labels.device)


def _fill_rings(labels: NDArray[np.int64], filled: NDArray[np.int64]) -> None:
    """Fill the open pixels of one image ``h w`` by majority; write the result to `filled`.

    A pixel's ring is its chessboard distance to the nearest pixel with a class. Four classes share a word of 16 bits: a
    pixel's word holds a 1 in its class's 4 bits, an open pixel's is 0, and so the sum over 8 neighbours counts votes.
    """
    shifted = labels - OPEN  # 0 is open
    present = np.flatnonzero(np.bincount(shifted.ravel())[1:])
    unfilled = shifted == 0
    if not len(present) or not unfilled.any():
        filled[:] = labels
        return
    height, width = labels.shape
    classes = np.arange(len(present))
    word_of = np.zeros((classes[-1] // _SHARING + 1, len(present)), np.uint16)  # g k
    word_of[classes // _SHARING, classes] = 1 << (_BITS * (classes % _SHARING))
    known = np.zeros((len(word_of), present[-1] + 2), np.uint16)
    known[:, present + 1] = word_of
    words = np.zeros((len(word_of), height + 2, width + 2), np.uint16)  # the border votes for nothing
    words[:, 1:-1, 1:-1] = known.take(shifted, axis=1)
    planes = words.reshape(len(words), -1)

    inside = np.flatnonzero(unfilled)
    rings = distance_transform_cdt(unfilled, "chessboard").ravel()[inside]
    # Radix sort, which NumPy has for 16 bits.
    order = np.argsort(rings.astype(np.uint16) if max(height, width) < 2**16 else rings, kind="stable")
    places = (inside + 2 * (inside // width) + width + 3)[order]  # counted with the border
    steps = [down * (width + 2) + right for down in (-1, 0, 1) for right in (-1, 0, 1) if down or right]
    around = np.array(steps)[:, None]
    stop = 0
    for size in np.bincount(rings)[1:].tolist():
        ring = places[stop : (stop := stop + size)]
        neighbours = around + ring  # 8 p
        votes = [np.add.reduce(plane.take(neighbours, mode="clip"), axis=0, dtype=np.uint16) for plane in planes]
        for plane, won in zip(planes, _most_voted(votes, word_of), strict=True):
            plane[ring] = won

    filled[:] = OPEN
    for plane, codes in zip(words, word_of, strict=True):
        value_of = np.full(int(codes.max()) + 1, OPEN)
        value_of[codes[codes > 0]] = present[codes > 0]
        np.maximum(filled, value_of.take(plane[1:-1, 1:-1]), out=filled)


def _most_voted(votes: Sequence[NDArray[np.uint16]], word_of: NDArray[np.uint16]) -> Sequence[NDArray[np.uint16]]:
    """Return the words of the classes with the most votes, the lowest of equals; one array per group, like `votes`."""
    ballots, winners = _ballots()
    if len(votes) == 1:
        return [winners.take(votes[0])]
    best = ballots.take(votes[0])
    for group in range(1, len(votes)):
        best = np.maximum(best, ballots.take(votes[group]) - _SHARING * group)
    return list(word_of.take(_LAST - best % (_LAST + 1), axis=1))


@cache
def _ballots() -> tuple[NDArray[np.int64], NDArray[np.uint16]]:
    """Return, for each word of 4 classes' votes, ``votes * 2^16 + (2^16 - 1 - class)`` of the winner, and its word."""
    words = np.arange(2**16)
    votes = words >> (_BITS * np.arange(_SHARING)[:, None]) & (2**_BITS - 1)  # 4 words
    winner = votes.argmax(axis=0)  # the first of equals
    return votes.max(axis=0) * (_LAST + 1) + _LAST - winner, (1 << (_BITS * winner)).astype(np.uint16)


def fill_nearest(labels: Tensor) -> Tensor:
    """Give open pixels the value of the nearest pixel that has one, by Euclidean distance.

    Equally near pixels: the one that scipy's exact distance transform finds first.

    Args:
        labels: int64 ``b h w`` with class indices and `OPEN`.

    Returns:
        int64 ``b h w``. An image without any class stays open.
    """
    filled = labels.clone()
    for image in filled:
        missing = (image == OPEN).cpu().numpy()
        if missing.any() and not missing.all():
            rows, columns = distance_transform_edt(missing, return_distances=False, return_indices=True)
            image.copy_(image[torch.from_numpy(rows).long(), torch.from_numpy(columns).long()])
    return filled
