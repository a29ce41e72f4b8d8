"""The shape of pixels: networks are to see square ones, as those that they learned from."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from wsss_adapters.dicom.library import text_of
from wsss_adapters.frames.scene import MAX_PIXELS

SAME: Final = 0.01
"""Shapes that differ by less are one: spacings are rounded, and nobody sees it."""

LONGEST: Final = 8.0
"""How many times as high as wide, or as wide as high, a pixel is believed to be."""

SPACINGS: Final = ("PixelSpacing", "NominalScannedPixelSpacing", "ImagerPixelSpacing")
"""Keywords of two distances, those of rows and of columns, by how much they are to be trusted."""

TWO_DIMENSIONAL, CENTIMETRES = "1", "3"
"""What ultrasound calls a region that is a picture, and its unit of length."""


def square_size(header: Any, rows: int, columns: int) -> tuple[int, int, str]:
    """Return rows and columns that a frame has with square pixels, and what the user should know of it.

    One side grows, none shrinks. Where the header contradicts itself or is absurd, pixels count as square.
    """
    stated = tuple(_stated(header))
    if not stated:
        nonsense = "PixelAspectRatio is no ratio of two lengths: its pixels are taken as square"
        return rows, columns, nonsense if text_of(header, "PixelAspectRatio") else ""
    names = " and ".join(dict.fromkeys(name for name, _ in stated))
    first, *others = (ratio for _, ratio in stated)
    if any(abs(other / first - 1) > SAME for other in others):
        return rows, columns, f"{names} disagree about the shape of its pixels: they are taken as square"
    if abs(first - 1) <= SAME:
        return rows, columns, ""
    size = (round(rows * first), columns) if first > 1 else (rows, round(columns / first))
    if not 1 / LONGEST <= first <= LONGEST or size[0] * size[1] > MAX_PIXELS:
        return rows, columns, f"its pixels are {first:g} times as high as wide ({names}): they are taken as square"
    return *size, ""


def squared(frame: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return a frame uint8 `h w 3` with square pixels, interpolated to a size that `square_size` returned."""
    if frame.shape[:2] == size:
        return frame
    from PIL import Image

    return np.asarray(Image.fromarray(frame).resize(size[::-1], Image.Resampling.BILINEAR))


def as_stored(layer: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return a layer `... h w` of a frame with square pixels on the frame's own grid: the nearest pixel's value."""
    rows, columns = (
        (np.arange(new) * 2 + 1) * old // (2 * new) for old, new in zip(layer.shape[-2:], size, strict=True)
    )
    return layer if layer.shape[-2:] == size else layer[..., rows[:, None], columns]


def _stated(header: Any) -> Iterator[tuple[str, float]]:
    """Yield the height of a pixel as a multiple of its width, and the attribute that says so."""
    found = _ratio(text_of(header, "PixelAspectRatio"))
    if found is not None:
        yield "PixelAspectRatio", found
    for keyword in SPACINGS:
        spacings = [ratio for spacing in _spacings(header, keyword) if (ratio := _ratio(spacing)) is not None]
        if spacings:
            yield from ((keyword, ratio) for ratio in spacings)
            return
    deltas = [_region(region) for region in _items(header, "SequenceOfUltrasoundRegions")]
    known = [delta for delta in deltas if delta is not None]
    if known and max(known) / min(known) <= 1 + SAME:
        yield "SequenceOfUltrasoundRegions", known[0]


def _spacings(header: Any, keyword: str) -> set[str]:
    """Return two distances, or as many pairs as frames have, else those of the header itself."""
    groups = [*_items(header, "SharedFunctionalGroupsSequence"), *_items(header, "PerFrameFunctionalGroupsSequence")]
    own = {text_of(measures, keyword) for group in groups for measures in _items(group, "PixelMeasuresSequence")}
    return own - {""} or {text_of(header, keyword)}


def _region(region: Any) -> float | None:
    """Return the height of a region's pixels by their width, None where it is no picture in centimetres."""
    units = {text_of(region, f"PhysicalUnits{axis}Direction") for axis in "XY"}
    if text_of(region, "RegionSpatialFormat") != TWO_DIMENSIONAL or units != {CENTIMETRES}:
        return None
    return _ratio("\\".join(text_of(region, f"PhysicalDelta{axis}").removeprefix("-") for axis in "YX"))


def _items(header: Any, keyword: str) -> list[Any]:
    try:
        return list(header.get(keyword) or ())
    except Exception:  # a damaged sequence is as good as none, and pydicom raises many kinds
        return []


def _ratio(text: str) -> float | None:
    """Return the first of two numbers divided by the second, None where they are no lengths."""
    try:
        height, width = (float(number) for number in text.split("\\"))
    except ValueError:
        return None
    return height / width if 0 < height < np.inf and 0 < width < np.inf else None
