"""From blocks of rows to the frames of a segmentation, one at a time."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsss_toolkit.domain import IGNORE_INDEX, ClassTable, Layers
from wsss_toolkit.errors import DataError


@dataclass(frozen=True, slots=True)
class SegFrame:
    """One frame of a segmentation."""

    source: int
    """Index of the frame that was labelled, from 0."""
    segment: int | None
    """Number of the segment that it shows, from 1; None where pixels hold segment numbers."""
    pixels: NDArray[np.uint8]
    """uint8 `h w`: 0 and 1, segment numbers, or shares of `LEVELS`."""


def whole_frames(
    layers: Sequence[Layers], choose: Callable[[Layers], NDArray[np.uint8]], frames: int, size: tuple[int, int]
) -> Iterator[NDArray[np.uint8]]:
    """Cut one layer into frames, holding no more than a block and a frame.

    Args:
        layers: Blocks of rows from top to bottom, in any cut.
        choose: Picks `... h w` of a block.
        frames: Number of frames.
        size: Height and width of a frame in pixels.

    Raises:
        DataError: If the rows are not those of the frames.
        ValueError: If a block does not begin where the one before ends.
    """
    height, width = size
    held: list[NDArray[np.uint8]] = []
    found = done = rows = 0
    for index in range(len(layers)):
        part = layers[index]
        if part.row != found:
            raise ValueError(f"expected row {found}, got row {part.row}")
        block = choose(part)
        found += block.shape[-2]
        if block.shape[-1] != width:
            raise DataError(f"its frames are {width} pixels wide, the mask {block.shape[-1]}")
        while block.shape[-2] > 0 and done < frames:
            taken = min(height - rows, block.shape[-2])
            held.append(block[..., :taken, :])
            block = block[..., taken:, :]
            rows += taken
            if rows == height:
                yield np.concatenate(held, axis=-2)
                held, rows, done = [], 0, done + 1
    if found != frames * height:
        raise DataError(f"its {frames} frames of {height} rows have {frames * height}, the mask {found}")


def binary_frames(frames: Iterator[NDArray[np.uint8]], classes: ClassTable) -> Iterator[SegFrame]:
    """Yield, for each frame, the pixels of each segment that it shows; one empty frame where none shows any."""

    def shown() -> Iterator[SegFrame]:
        for source, numbers in enumerate(numbered(frames, classes)):
            yield SegFrame(source, 1, np.zeros_like(numbers))
            for segment in np.unique(numbers[numbers > 0]).tolist():
                yield SegFrame(source, segment, (numbers == segment).astype(np.uint8))

    return _not_empty(shown())


def labelmap_frames(frames: Iterator[NDArray[np.uint8]], classes: ClassTable) -> Iterator[SegFrame]:
    """Yield the frames that show a segment, as segment numbers; the first, empty, where none does."""
    return _not_empty(SegFrame(source, None, numbers) for source, numbers in enumerate(numbered(frames, classes)))


def fractional_frames(frames: Iterator[NDArray[np.uint8]]) -> Iterator[SegFrame]:
    """Yield the levels of each segment in each frame `segment h w`, without those that are 0 everywhere.

    `IGNORE_INDEX`, where there is no data, becomes 0.
    """
    return _not_empty(
        SegFrame(source, number, np.where(plane == IGNORE_INDEX, np.uint8(0), plane))
        for source, planes in enumerate(frames)
        for number, plane in enumerate(planes, start=1)
    )


def _not_empty(frames: Iterator[SegFrame]) -> Iterator[SegFrame]:
    """Yield the frames that show anything; the first, empty, where none does."""
    first, found = None, False
    for frame in frames:
        first = first or frame
        if frame.pixels.any():
            found = True
            yield frame
    if first is not None and not found:
        yield first


def numbered(frames: Iterator[NDArray[np.uint8]], classes: ClassTable) -> Iterator[NDArray[np.uint8]]:
    """Turn class indices into segment numbers: 1 for the first labelled class; 0 for background and no data.

    Raises:
        ValueError: If a pixel is neither a class index nor `IGNORE_INDEX`.
    """
    unknown = 255  # no segment has this number: a table holds 255 classes at most, one of which would have to be it
    table = np.full(256, unknown, np.uint8)
    table[IGNORE_INDEX] = 0
    if classes.background is not None:
        table[classes.background] = 0
    for number, index in enumerate(classes.labelled, start=1):
        table[index] = number
    allowed = len(classes.labelled)
    for frame in frames:
        numbers = table[frame]
        if numbers.max(initial=0) > allowed:
            raise ValueError(f"a mask holds {frame[numbers > allowed][0]}, which is no class")
        yield numbers
