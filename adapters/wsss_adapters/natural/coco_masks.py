"""Rasterises COCO's outlines by pycocotools, one class per pixel, and keeps the masks as PNG."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from wsss_adapters.natural.coco_annotations import CocoObject
from wsss_adapters.natural.picture_reading import Size
from wsss_toolkit.domain import IGNORE_INDEX
from wsss_toolkit.errors import DataError, WsssError

RULE: Final = 1
"""Raised when outlines come to make other masks, so that cached ones are made anew."""

NUMBERS_OF_A_TRIANGLE: Final = 6


def rasterise(objects: Sequence[CocoObject], size: Size, indices: Mapping[int, int], path: Path) -> NDArray[np.uint8]:
    """Rasterise the objects of an image.

    Where objects overlap, the one with fewer pixels wins; of two with as many, the later in the file. Crowds become 255
    where no object is. All else is background, 0.

    Args:
        objects: Of the image, in the file's order.
        size: Height and width in pixels.
        indices: Class index of each category id.
        path: The annotation file, for messages.

    Returns:
        uint8 `h w`.

    Raises:
        DataError: If an outline is malformed or of another size.
        WsssError: If pycocotools is not installed.
    """
    mask = np.zeros(size, dtype=np.uint8)
    drawn = [(thing, pixels) for thing in objects if (pixels := object_pixels(thing, size, path)) is not None]
    for thing, pixels in drawn:
        if thing.crowd:
            mask[pixels] = IGNORE_INDEX
    for thing, pixels in sorted(drawn, key=lambda pair: -np.count_nonzero(pair[1])):
        if not thing.crowd:
            mask[pixels] = indices[thing.category]
    return mask


def object_pixels(thing: CocoObject, size: Size, path: Path) -> NDArray[np.bool_] | None:
    """Return the pixels `h w` of an object as pycocotools rasterises it; None if its outline encloses nothing.

    Polygons of fewer than three points enclose nothing. (pycocotools would take two points for a box.)

    Raises:
        DataError: If the outline is malformed or of another size.
    """
    tools = mask_tools()
    outline = thing.outline
    if isinstance(outline, list):
        if not all(isinstance(part, np.ndarray) and part.ndim == 1 and _are_points(part) for part in outline):
            raise _malformed(thing, path, "its polygons are no lists of finite x and y")
        polygons = [part for part in outline if part.size >= NUMBERS_OF_A_TRIANGLE]
        if not polygons:
            return None
        encoded = tools.merge(tools.frPyObjects(polygons, *size))
    elif isinstance(outline, dict) and outline.get("size") == list(size):
        counts = outline.get("counts")
        if isinstance(counts, list):
            whole = all(type(count) is int and count >= 0 for count in counts)
            if not whole or sum(counts) != size[0] * size[1]:
                raise _malformed(thing, path, f"its run lengths do not add up to {size[0]} x {size[1]} pixels")
            encoded = tools.frPyObjects(outline, *size)
        elif isinstance(counts, str):
            encoded = outline
        else:
            raise _malformed(thing, path, "its run lengths are neither a list nor a text")
    elif isinstance(outline, dict):
        raise _malformed(thing, path, f"its run lengths are of the size {outline.get('size')}, its image {list(size)}")
    else:
        raise _malformed(thing, path, "it has no outline (`segmentation`)")
    try:
        decoded = tools.decode(encoded)
    except ValueError as error:
        raise _malformed(thing, path, f"its run lengths are damaged ({error})") from error
    pixels: NDArray[np.bool_] = np.asarray(decoded, dtype=bool)
    return pixels


def mask_tools() -> Any:
    """Return `pycocotools.mask`.

    Raises:
        WsssError: If it is not installed.
    """
    try:
        from pycocotools import mask
    except ImportError as error:
        raise WsssError(
            "masks of COCO need pycocotools, which is not installed", fix="pip install 'wsss-toolkit[natural]'"
        ) from error
    return mask


class MaskCache:
    """Masks in a folder, one subfolder per state of an annotation file.

    Args:
        folder: Where; None keeps nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def file(self, key: str, annotations: Path, indices: Mapping[int, int]) -> Path | None:
        """Return where the mask of an image is kept: another file where annotations, classes or the rule change."""
        if self._folder is None:
            return None
        stat = annotations.stat()
        state = f"{RULE} {annotations.name} {stat.st_size} {stat.st_mtime_ns} {sorted(indices.items())}"
        name = f"{annotations.stem}-{hashlib.sha256(state.encode()).hexdigest()[:12]}"
        return self._folder / name / f"{key}.png"

    def read(self, path: Path, size: Size) -> NDArray[np.uint8] | None:
        """Return a kept mask; None where there is none, or the file is damaged."""
        from wsss_adapters.natural.picture_masks import read_indices

        if not path.is_file():
            return None
        try:
            mask = read_indices(path)
        except DataError:
            return None
        return mask if mask.shape == size else None

    def write(self, path: Path, mask: NDArray[np.uint8]) -> None:
        """Keep a mask, complete or not at all.

        Raises:
            WsssError: If it cannot be written.
        """
        from wsss_adapters.endoscopy.frame_reading import write_grey

        write_grey(path, mask)


def _are_points(part: NDArray[np.float64]) -> bool:
    return part.size % 2 == 0 and bool(np.isfinite(part).all())


def _malformed(thing: CocoObject, path: Path, what: str) -> DataError:
    return DataError(
        f"annotation {thing.number!r} cannot be rasterised: {what}",
        where=str(path),
        fix="correct it, or take it out of the file",
    )
