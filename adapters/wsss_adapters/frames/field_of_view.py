"""The part of an endoscopic picture that shows the patient: without black frame, text and position box.

Classifiers take borders and overlays for evidence: a text that only one device writes, a position box that is only
switched on for some findings. Pixels outside the field of view are missing pixels for everything downstream.
"""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

DARK: Final = 32
"""A corner belongs to a black frame if a fifth of it is at most so bright (largest of red, green, blue; 0..255)."""
ABOVE_BLACK: Final = 5
"""Tissue is brighter than the frame's corners by more than this: JPEG leaves black at up to about 5."""
WORKING_SIDE: Final = 320
"""Longer side in pixels of the reduced picture in which borders are looked for."""
STROKE: Final = 11
"""Lines, letters and bars thinner than this, in pixels of the reduced picture, are not tissue."""
SMALLEST_FIELD: Final = 0.15
"""Share of the picture below which what was found is no field of view: the frame is too dark to tell."""
SMALLEST_PICTURE: Final = 0.02
"""Share of the picture from which on a second area may be a picture of its own."""
SHORTEST_SIDE: Final = 0.1
"""Share of the picture's shorter side that it is high and wide at least: status bars are no pictures."""
APART: Final = 4
"""Pixels of the reduced picture between two that are compared for shades."""
SHADES: Final = 3
"""Grey levels, summed over red, green and blue, by which half of such pairs differ at least in a picture."""
BOX_AREA: Final = (0.004, 0.20)
"""Share of the picture that a position box covers."""
BOX_FILL: Final = 0.85
"""Share of its bounding rectangle that a position box fills: dye and stool have no straight edges."""
BOX_EXCESS: Final = 24
"""Green or blue exceed red by this in a position box; in white light tissue is reddest everywhere."""


def field_of_view(rgb: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Find the pixels inside the endoscope's field of view: bool `h w` of uint8 `h w 3`.

    A field of view is convex (a circle, an octagon, a rectangle, cut off by the picture's edge or not), so it is the
    convex hull of the largest area that is brighter than the black frame: a dark lumen stays inside, even where it
    touches the frame. So are the hulls of further large areas that are pictures too, such as the same tissue in another
    light beside it, or a picture in the picture. Text, lines and symbols beside them are outside. A flat rectangle of
    saturated green or blue at a corner is the box that shows the endoscope's position, and outside too. Everything is
    inside if there is no black frame, or the picture is too dark to find its edge.
    """
    height, width = rgb.shape[:2]
    step = max(1, -(-max(height, width) // WORKING_SIDE))
    small = rgb[step // 2 :: step, step // 2 :: step]
    inside = _without_frame(small) & ~_position_box(small)
    if inside.all():
        return np.ones((height, width), dtype=bool)
    rows = np.minimum(np.arange(height) // step, len(inside) - 1)
    columns = np.minimum(np.arange(width) // step, len(inside[0]) - 1)
    whole: NDArray[np.bool_] = inside[rows[:, None], columns]
    return whole


def _without_frame(rgb: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return the convex hulls of large areas brighter than the corners; everything if no corner is black."""
    from scipy import ndimage  # imported late: `wsss --help` stays quick

    everything = np.ones(rgb.shape[:2], dtype=bool)
    brightest = np.maximum(np.maximum(rgb[..., 0], rgb[..., 1]), rgb[..., 2])  # three times as fast as max(axis=2)
    side = max(2, min(brightest.shape) // 30)
    ends = (slice(None, side), slice(-side, None))
    corners = [float(np.percentile(brightest[rows, columns], 20)) for rows in ends for columns in ends]
    black = [value for value in corners if value <= DARK]
    if not black:
        return everything
    bright = (brightest > max(black) + ABOVE_BLACK).view(np.uint8)
    tissue = ndimage.grey_opening(bright, STROKE, mode="constant", cval=0).view(bool)
    hulls = np.zeros_like(everything)
    for part in _pictures(tissue, rgb, ndimage):
        hulls |= _hull(part)
    return hulls if hulls.mean() >= SMALLEST_FIELD else everything


def _position_box(rgb: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return the rectangles of saturated green or blue that reach into a corner of the picture."""
    from scipy import ndimage

    height, width = rgb.shape[:2]
    found = np.zeros((height, width), dtype=bool)
    red = np.minimum(rgb[..., 0], 255 - BOX_EXCESS) + np.uint8(BOX_EXCESS)
    cold = np.maximum(rgb[..., 1], rgb[..., 2]) > red
    if np.count_nonzero(cold) < BOX_AREA[0] * cold.size:
        return found
    parts, _ = ndimage.label(ndimage.binary_closing(cold, np.ones((3, 3), dtype=bool)))
    for number, place in enumerate(ndimage.find_objects(parts), start=1):
        rows, columns = place[0], place[1]
        area = (rows.stop - rows.start) * (columns.stop - columns.start)
        if not BOX_AREA[0] <= area / found.size <= BOX_AREA[1]:
            continue
        cornered = (rows.start < height * 0.1 or rows.stop > height * 0.9) and (
            columns.start < width * 0.1 or columns.stop > width * 0.9
        )
        if (
            cornered
            and _is_flat(rgb[place], parts[place] == number)
            and ndimage.binary_fill_holes(parts[place] == number).mean() >= BOX_FILL
        ):
            found[place] = True
    return found


def _pictures(area: NDArray[np.bool_], rgb: NDArray[np.uint8], ndimage: Any) -> Iterator[NDArray[np.bool_]]:
    """Yield the largest connected part, and other large ones that are no drawings."""
    parts, count = ndimage.label(area)
    if not count:
        return
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    largest = int(sizes.argmax())
    yield parts == largest
    places = ndimage.find_objects(parts)
    for number in np.flatnonzero(sizes >= SMALLEST_PICTURE * area.size):
        rows, columns = places[number - 1]
        sides = min(rows.stop - rows.start, columns.stop - columns.start)
        if number != largest and sides >= SHORTEST_SIDE * min(area.shape) and not _is_flat(rgb, parts == number):
            yield parts == number


def _is_flat(rgb: NDArray[np.uint8], area: NDArray[np.bool_]) -> bool:
    """Tell whether most of an area is of one colour, as in drawings: tissue has shades, and cameras have noise."""
    both = area[:, :-APART] & area[:, APART:]
    steps = np.abs(rgb[:, APART:].astype(np.int16) - rgb[:, :-APART]).sum(axis=-1)[both]
    return not steps.size or float(np.median(steps)) < SHADES


def _hull(area: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels inside the convex hull of an area."""
    rows = np.flatnonzero(area.any(axis=1))
    hull = np.zeros_like(area)
    if not rows.size:
        return hull
    first = area[rows].argmax(axis=1)
    last = area.shape[1] - 1 - area[rows, ::-1].argmax(axis=1)
    between = np.arange(rows[0], rows[-1] + 1)
    # One chain of hull points per side: the farthest left and right that no straight line cuts off.
    left = np.interp(between, *_chain(rows, first, +1))
    right = np.interp(between, *_chain(rows, last, -1))
    columns = np.arange(area.shape[1])
    hull[between] = (columns >= left[:, None] - 0.5) & (columns <= right[:, None] + 0.5)
    return hull


def _chain(x: NDArray[np.intp], y: NDArray[np.intp], sign: int) -> tuple[list[int], list[int]]:
    """Return the points of the lower (`sign` 1) or upper (-1) convex hull of a function of rising `x`."""
    chain: list[tuple[int, int]] = []
    for point in zip(x.tolist(), y.tolist(), strict=True):
        while len(chain) > 1:
            (x0, y0), (x1, y1) = chain[-2:]
            if sign * ((x1 - x0) * (point[1] - y0) - (y1 - y0) * (point[0] - x0)) > 0:
                break
            chain.pop()
        chain.append(point)
    return [px for px, _ in chain], [py for _, py in chain]
