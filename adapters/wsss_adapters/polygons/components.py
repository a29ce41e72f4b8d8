"""Connected areas of one class as polygons in pixel coordinates, from blocks of rows that are seen one at a time."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsss_toolkit.domain import IGNORE_INDEX, Layers

Block = tuple[int, NDArray[np.uint8], NDArray[np.uint8]]
"""First row, classes `h w`, confidence `h w`."""


@dataclass(slots=True)
class Area:
    """A 4-connected area of one class."""

    value: int
    """The class."""
    pixels: int
    confidence: int
    """Sum of the confidences of its pixels."""
    parts: list[Any] = field(default_factory=list)
    """Its polygons in columns and rows, one for each block that it lies in."""

    def join(self, other: "Area") -> None:
        """Take in another part of the same area."""
        self.pixels += other.pixels
        self.confidence += other.confidence
        self.parts += other.parts


def areas(blocks: Iterable[Block]) -> Iterator[Area]:
    """Yield the 4-connected areas of equal class of a scene, whole, whatever blocks they lie in.

    Blocks come from top to bottom, without gaps. An area is held until the first block that it does not reach: memory
    depends on a block and on the areas that cross its lower border, not on the scene.
    """
    open_areas: dict[int, Area] = {}
    border_keys: NDArray[np.int64] | None = None  # the open area of each pixel of the row above; 0 where there is none
    border_classes = np.zeros(0, np.uint8)
    next_key = 1
    for row, classes, confidence in blocks:
        ids, count = label_classes(classes)
        found = _block_areas(row, classes, confidence, ids, count)
        keys = np.arange(next_key, next_key + count + 1, dtype=np.int64)  # key of each id; ids begin with 1
        keys[0] = 0
        next_key += count + 1
        everything = {**open_areas, **{int(keys[index]): area for index, area in found.items()}}
        if border_keys is not None:
            joined = (border_classes == classes[0]) & (border_keys > 0)
            pairs = np.unique(np.stack([border_keys[joined], keys[ids[0][joined]]]), axis=1).T.tolist()
            into = _join((everything[upper], everything[lower]) for upper, lower in pairs)
            everything = {key: into.get(id(area), area) for key, area in everything.items()}
        below = set(np.unique(keys[ids[-1]]).tolist()) - {0}
        # After joining, several keys may stand for one area: it stays open if any of them reaches the last row.
        reaching = {id(everything[key]) for key in below}
        done = {id(area): area for area in everything.values() if id(area) not in reaching}
        yield from done.values()
        open_areas = {key: everything[key] for key in below}
        border_keys, border_classes = keys[ids[-1]], classes[-1]
    yield from {id(area): area for area in open_areas.values()}.values()


def label_classes(classes: NDArray[np.uint8]) -> tuple[NDArray[np.int32], int]:
    """Number the 4-connected areas of equal class from 1, int32 `h w`, 0 for 255, in uint8 `h w`; and count them."""
    from scipy import ndimage

    ids = np.zeros(classes.shape, np.int32)
    count = 0
    for value in np.unique(classes):
        if value == IGNORE_INDEX:
            continue
        inside = classes == value
        numbered, found = ndimage.label(inside)
        ids[inside] = numbered[inside] + count
        count += found
    return ids, count


def _block_areas(
    row: int, classes: NDArray[np.uint8], confidence: NDArray[np.uint8], ids: NDArray[np.int32], count: int
) -> dict[int, Area]:
    """Return the areas of one block by their number."""
    from rasterio import Affine
    from rasterio.features import shapes
    from shapely.geometry import shape

    if not count:
        return {}
    pixels = np.bincount(ids.ravel(), minlength=count + 1)
    known = np.where(confidence == IGNORE_INDEX, 0, confidence)
    sums = np.bincount(ids.ravel(), weights=known.ravel(), minlength=count + 1)
    values = np.zeros(count + 1, np.uint8)
    values[ids.ravel()] = classes.ravel()
    found = {index: Area(int(values[index]), int(pixels[index]), int(sums[index])) for index in range(1, count + 1)}
    for geometry, number in shapes(ids, mask=ids > 0, connectivity=4, transform=Affine.translation(0, row)):
        found[int(number)].parts.append(shape(geometry))
    return found


def _join(pairs: Iterable[tuple[Area, Area]]) -> dict[int, Area]:
    """Make one area of all that meet at a border.

    Returns:
        For each area that was taken into another, by its `id`, the one that it is part of now.
    """
    into: dict[int, Area] = {}

    def root(area: Area) -> Area:
        while id(area) in into:
            area = into[id(area)]
        return area

    for upper, lower in pairs:
        one, other = root(upper), root(lower)
        if one is other:
            continue
        if len(one.parts) < len(other.parts):
            one, other = other, one
        one.join(other)
        into[id(other)] = one
    return {key: root(area) for key, area in into.items()}


def polygon(area: Area) -> Any:
    """Return an area's outline with its holes, in columns and rows; corners only, no points along straight edges."""
    from shapely import is_valid, make_valid, union_all
    from shapely.geometry import Polygon

    outline = area.parts[0] if len(area.parts) == 1 else union_all(area.parts)
    if not is_valid(outline):
        outline = make_valid(outline)
    if len(area.parts) == 1 or outline.geom_type != "Polygon":
        return outline
    return Polygon(_corners(outline.exterior), [_corners(ring) for ring in outline.interiors])


def _corners(ring: Any) -> NDArray[np.float64]:
    """Return the points of a ring at which it turns."""
    points = np.asarray(ring.coords)[:-1]
    before, after = points - np.roll(points, 1, axis=0), np.roll(points, -1, axis=0) - points
    turns = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0] != 0
    corners: NDArray[np.float64] = points[turns]
    return corners


def generalised(layers: Sequence[Layers], smallest: int) -> Iterator[Block]:
    """Yield blocks whose areas of fewer than `smallest` pixels, 2 or more, are merged into their largest neighbour.

    Each block is sieved together with `smallest` rows above and below it. An area that is cut off by that margin and
    still reaches the block has at least as many pixels as the margin has rows, so none is taken for a small one.
    """
    from rasterio.features import sieve

    for index, part in enumerate(layers):
        above = _rows(layers, range(index - 1, -1, -1), smallest, last=True)
        below = _rows(layers, range(index + 1, len(layers)), smallest, last=False)
        joined = np.concatenate([*above[::-1], part.mask, *below])
        size = min(smallest, joined.size)  # GDAL refuses more, which would change nothing
        merged: NDArray[np.uint8] = sieve(joined, size, mask=joined != IGNORE_INDEX, connectivity=4)
        start = sum(len(rows) for rows in above)
        rows = merged[start : start + len(part.mask)]
        # Sieving leaves missing pixels alone, and what only they surround.
        yield part.row, np.where(part.mask == IGNORE_INDEX, part.mask, rows), part.confidence


def _rows(layers: Sequence[Layers], order: range, wanted: int, *, last: bool) -> list[NDArray[np.uint8]]:
    """Return the masks of neighbouring blocks, the nearest first, until there are enough rows."""
    found: list[NDArray[np.uint8]] = []
    for index in order:
        mask = layers[index].mask
        left = wanted - sum(len(rows) for rows in found)
        found.append(mask[-left:] if last else mask[:left])
        if left <= len(mask):
            break
    return found
