"""Masks of pictures: palette PNGs, which show their colours and hold class indices.

They are made from the mask alone, so nothing of the picture's metadata (EXIF, comments, thumbnails) can get into them.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wsss_toolkit.domain import IGNORE_INDEX, ClassTable, Destination, Layers
from wsss_toolkit.errors import DataError
from wsss_toolkit.files import complete_file, remove_older

if TYPE_CHECKING:
    from PIL.PngImagePlugin import PngInfo


SUFFIXES = {"mask": "_mask.png", "confidence": "_confidence.png"}
"""What a picture's files are called after its name; scores are ``_scores_NUMBER_CLASS.png``."""

SOURCE = "wsss_source"
"""The text of a mask that names its picture's file: keys do not tell `x.jpg` from `x.png`."""

OURS = re.compile(r"_(mask|confidence|scores_\d+_.*)\.png$", re.IGNORECASE)
"""Names of files that `write_png_mask` wrote, which are no input; tags tell whether they are its own."""


def write_png_mask(
    name: str, layers: Sequence[Layers], classes: ClassTable, destination: Destination, source: str | None = None
) -> Path:
    """Write confidence as a grey PNG and scores as one for each class, if asked for, and last the mask of a picture.

    The picture's file name, `source`, becomes the text `wsss_source`; None where it should not be told.

    Grey levels are ``round(share * LEVELS)``, 255 where there is no data. Layers are blocks of rows from top to bottom.

    Raises:
        ValueError: If the blocks do not follow each other, or pixels are no classes.
        WsssError: If a file cannot be written.
    """
    folder, outputs = destination.folder, destination.outputs
    tags = {**destination.tags, **({} if source is None else {SOURCE: source})}
    files = {kind: folder / f"{name}{suffix}" for kind, suffix in SUFFIXES.items()}
    remove_older((*files.values(), *folder.glob(f"{name}_scores_*.png")), folder)
    if outputs.confidence:
        write_grey_png(files["confidence"], _joined(layers, lambda block: block.confidence), tags)
    if outputs.scores:
        for index, plane in enumerate(_joined(layers, Layers.class_scores)):
            write_grey_png(_scores_file(name, index, classes, folder), plane, tags)
    return write_palette_png(files["mask"], _joined(layers, lambda block: block.mask), classes, tags)


def check_mask_size(key: str, size: tuple[int, int], mask: NDArray[np.uint8]) -> None:
    """Raise a ValueError for a mask `h w` that is not of its picture's height and width."""
    if mask.shape != size:
        raise ValueError(f"{key} is {size[0]} x {size[1]}, the mask {mask.shape}")


def write_palette_png(path: Path, mask: NDArray[np.uint8], classes: ClassTable, tags: Mapping[str, str]) -> Path:
    """Write class indices as an 8-bit palette PNG with the classes' colours; no data is transparent.

    The mask, uint8 `h w`, holds class indices and `IGNORE_INDEX`. Tags and the names of classes (``CLASS_0``,
    ``CLASS_1``, ...) are stored as texts. The file is complete or absent.

    Raises:
        ValueError: If a pixel is neither a class index nor `IGNORE_INDEX`.
        WsssError: If the file cannot be written.
    """
    from PIL import Image

    _check_indices(mask, classes)
    image = Image.fromarray(mask)
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(classes.colors)] = classes.colors
    image.putpalette(palette.tobytes())
    opacity = bytes([255] * IGNORE_INDEX + [0])
    numbered = {f"CLASS_{index}": name for index, name in enumerate(classes.names)}
    with complete_file(path, companions=False) as partial:
        image.save(partial, format="PNG", bits=8, transparency=opacity, pnginfo=_texts({**tags, **numbered}))
    return path


def write_grey_png(path: Path, pixels: NDArray[np.uint8], tags: Mapping[str, str] | None = None) -> None:
    """Write grey values `h w` as PNG, complete or not at all.

    Raises:
        WsssError: If it cannot be written.
    """
    from PIL import Image

    with complete_file(path, companions=False) as partial:
        Image.fromarray(pixels).save(partial, format="PNG", pnginfo=_texts(tags or {}))


def mask_tags(path: Path) -> Mapping[str, str] | None:
    """Return the texts of a mask that `write_palette_png` wrote, or None where there is no such file.

    Raises:
        DataError: If the file is there and is no mask of ours, or cannot be read.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path, formats=["PNG"]) as image:
            tags = {str(key): str(value) for key, value in image.info.items() if isinstance(value, str)}
    except FileNotFoundError:
        return None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise DataError("no readable PNG", where=str(path), fix="delete it or use --overwrite") from error
    if "wsss_version" not in tags:
        raise DataError("was not written by wsss", where=str(path), fix="move it away or choose another --out")
    return tags


def is_ours(path: Path) -> bool:
    """Return whether a file is one that `write_png_mask` wrote, by its name and its tags."""
    try:
        return OURS.search(path.name) is not None and mask_tags(path) is not None
    except DataError:
        return False


def _texts(tags: Mapping[str, str]) -> "PngInfo":
    """Return text chunks in UTF-8."""
    from PIL.PngImagePlugin import PngInfo

    texts = PngInfo()
    for key, value in tags.items():
        texts.add_itxt(key, value.encode("utf-8", "backslashreplace").decode())  # names may hold what is no text
    return texts


def _joined(layers: Sequence[Layers], choose: Callable[[Layers], NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Join the blocks `... h w` of one layer, each of which must begin where the one before ends."""
    blocks: list[NDArray[np.uint8]] = []
    expected = 0
    for block in layers:
        pixels = choose(block)
        if block.row != expected:
            raise ValueError(f"expected row {expected}, got row {block.row}")
        expected += pixels.shape[-2]
        blocks.append(pixels)
    return np.concatenate(blocks, axis=-2)


def _check_indices(mask: NDArray[np.uint8], classes: ClassTable) -> None:
    if mask.dtype != np.uint8 or mask.ndim != 2:
        raise ValueError(f"a mask is uint8 `h w`, got {mask.dtype} {mask.shape}")
    found = set(np.unique(mask).tolist()) - set(range(len(classes.names))) - {IGNORE_INDEX}
    if found:
        raise ValueError(f"a mask holds {sorted(found)}, which are no classes")


def _scores_file(name: str, index: int, classes: ClassTable, folder: Path) -> Path:
    readable = re.sub(r"[^A-Za-z0-9]+", "-", classes.names[index]).strip("-")[:40]
    return folder / f"{name}_scores_{index}_{readable}.png"
