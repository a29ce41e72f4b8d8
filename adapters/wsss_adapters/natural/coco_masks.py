"""Rasterises COCO's outlines by pycocotools, one class per pixel, keeps the masks as PNG, and writes results."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from wsss_adapters.natural.coco_annotations import CocoObject
from wsss_adapters.pictures.decoding import Size
from wsss_adapters.pictures.masks import read_codes
from wsss_toolkit.domain import IGNORE_INDEX
from wsss_toolkit.errors import DataError, WsssError

RULE: Final = 1
"""Raised when outlines come to make other masks, so that cached ones are made anew."""

NUMBERS_OF_A_TRIANGLE: Final = 6
FAR_OUTSIDE: Final = 10
"""Points this many image sides away are damaged; pycocotools ends the process or its memory over far larger ones."""


def rasterise(objects: Sequence[CocoObject], size: Size, indices: Mapping[int, int], path: Path) -> NDArray[np.uint8]:
    """Rasterise the objects of an image, in the file's order, as uint8 `h w`.

    Where objects overlap, the one with fewer pixels wins; of two with as many, the later in the file. Crowds become 255
    where no object is. All else is background, 0. `indices` holds the class index of each category id.

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
    outline, lengths = thing.outline, None
    if isinstance(outline, list):
        arrays = all(isinstance(part, np.ndarray) and part.ndim == 1 for part in outline)
        if not arrays or any(part.size % 2 or not np.isfinite(part).all() for part in outline):
            raise _malformed(thing, path, "its polygons are no lists of finite x and y")
        if any(part.size and np.abs(part).max() > FAR_OUTSIDE * max(size) for part in outline):
            raise _malformed(thing, path, "its points lie far outside the image")
        polygons = [part for part in outline if part.size >= NUMBERS_OF_A_TRIANGLE]
        if not polygons:
            return None
        tools = mask_tools()
        lengths = decode_counts(tools.merge(tools.frPyObjects(polygons, *size))["counts"].decode("ascii"))
    elif isinstance(outline, dict):
        if outline.get("size") != list(size):
            raise _malformed(
                thing, path, f"its run lengths are of the size {outline.get('size')}, its image {list(size)}"
            )
        counts = outline.get("counts")
        lengths = decode_counts(counts) if isinstance(counts, str) else counts
    else:
        raise _malformed(thing, path, "it has no outline (`segmentation`)")
    if not isinstance(lengths, list) or not all(type(length) is int and length >= 0 for length in lengths):
        raise _malformed(thing, path, "its run lengths are damaged")
    if sum(lengths) != size[0] * size[1]:
        raise _malformed(thing, path, f"its run lengths do not add up to {size[0]} x {size[1]} pixels")
    # Column by column, in turn outside and inside. pycocotools' own decoder does not go with future versions of numpy.
    inside = np.arange(len(lengths)) % 2 == 1
    pixels: NDArray[np.bool_] = np.repeat(inside, lengths).reshape(size[1], size[0]).T
    return pixels


def decode_counts(text: str) -> list[int] | None:
    """Return the run lengths of COCO's compressed text, None where it is damaged.

    pycocotools reads such texts too, but a damaged one makes it write outside its memory and end the process.

    Numbers are cut into groups of five bits, the lowest first, each group one character from ``0`` on; a bit of 32
    says that another follows, and the last one's 16 is the sign. From the fourth on they are differences to the number
    two places before.
    """
    lengths: list[int] = []
    value = shift = 0
    for character in text:
        group = ord(character) - 48
        if not 0 <= group < 64 or shift > 60:
            return None
        value |= (group & 31) << shift
        shift += 5
        if group & 32:
            continue
        if group & 16:
            value -= 1 << shift
        lengths.append(value + lengths[-2] if len(lengths) > 2 else value)
        value = shift = 0
    return lengths if shift == 0 else None


def mask_tools() -> Any:
    """Return `pycocotools.mask`.

    Raises:
        WsssError: If it is not installed.
    """
    try:
        from pycocotools import mask
    except ImportError as error:
        fix = "pip install 'wsss-toolkit[natural]'"
        raise WsssError("masks of COCO need pycocotools, which is not installed", fix=fix) from error
    return mask


class MaskCache:
    """Masks in a folder, one subfolder per state of an annotation file; without a folder, nothing is kept."""

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
        try:
            mask = np.array(read_codes(path, as_stored=True))
        except DataError:
            return None
        return mask if mask.shape == size and mask.dtype == np.uint8 else None


def _malformed(thing: CocoObject, path: Path, what: str) -> DataError:
    fix = "correct it, or take it out of the file"
    return DataError(f"annotation {thing.number!r} cannot be rasterised: {what}", where=str(path), fix=fix)


def write_results(path: Path, masks: Iterable[tuple[int, NDArray[np.uint8]]], indices: Mapping[int, int]) -> Path:
    """Write masks, each an image id and uint8 `h w`, as results that `pycocotools.coco.COCO.loadRes` reads.

    Each class of a mask becomes one region with the category's sparse id; background and 255 are left out. Regions are
    written as they come, so memory holds one mask. `score` is 1.0 throughout: a mask ranks nothing.

    Raises:
        WsssError: If the file, complete or absent, cannot be written, or pycocotools is not installed.
    """
    from wsss_toolkit.files import complete_file

    tools = mask_tools()
    with complete_file(path) as partial, partial.open("w", encoding="ascii") as file:
        file.write("[")
        separator = "\n"
        for image, mask in masks:
            shown = set(np.unique(mask).tolist())
            for category, index in indices.items():
                if index not in shown:
                    continue
                encoded = tools.encode(np.asfortranarray(mask == index).astype(np.uint8, order="F"))
                region = {"size": list(encoded["size"]), "counts": encoded["counts"].decode("ascii")}
                entry = {"image_id": image, "category_id": category, "segmentation": region, "score": 1.0}
                file.write(separator + json.dumps(entry))
                separator = ",\n"
        file.write("\n]\n")
    return path
