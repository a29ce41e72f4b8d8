"""MONAI's dictionary transforms that read pictures; imported where a picture is read, because MONAI loads slowly."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data.image_reader import PILReader
from monai.data.meta_tensor import MetaTensor
from monai.transforms.compose import Compose
from monai.transforms.utility.dictionary import EnsureChannelFirstd
from PIL import Image, ImageOps

Pictures = dict[str, Any]
"""What dictionary transforms hand on: a path, then an image, under ``picture``."""


@lru_cache(maxsize=3)
def picture_reader(mode: str) -> Callable[[Pictures], Pictures]:
    """Return the transform that turns the path in ``picture`` into uint8 `c h w`, upright.

    MONAI's own `LoadImaged` is not used: for a file that Pillow cannot read it tries all other readers, of which
    NumPy's unpickles.

    Args:
        mode: ``RGB``, ``grey`` or ``index``.
    """
    convert = {"RGB": _rgb, "grey": _grey, "index": _index}[mode]
    # MONAI's readers put the width first unless told otherwise.
    reader = PILReader(converter=_upright(convert), reverse_indexing=False)

    def read(pictures: Pictures) -> Pictures:
        path: Path = pictures["picture"]
        pixels, meta = reader.get_data(reader.read(str(path)))
        # Pillow's memory is read-only, which torch warns about: hence the copy.
        return {**pictures, "picture": MetaTensor(torch.from_numpy(np.array(pixels, dtype=np.uint8)), meta=meta)}

    return Compose([read, EnsureChannelFirstd("picture", channel_dim=-1 if mode == "RGB" else "no_channel")])


def _upright(convert: Callable[[Image.Image], Image.Image]) -> Callable[[Image.Image], Image.Image]:
    """Return a converter that turns a picture as its EXIF orientation says and closes its file."""

    def converted(picture: Image.Image) -> Image.Image:
        with picture:
            return convert(ImageOps.exif_transpose(picture))

    return converted


def _rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith(("I", "F")):
        raise ValueError(f"frames have 8 bits a colour, this one is of Pillow's mode {picture.mode}")
    return picture.convert("RGB")


def _grey(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith(("I", "F")):
        values = np.asarray(picture)
        return Image.fromarray((values >= 0.5 * max(1.0, float(values.max()))).astype(np.uint8) * np.uint8(255))
    return picture.convert("L")


def _index(picture: Image.Image) -> Image.Image:
    if picture.mode in ("L", "P"):
        return picture
    if picture.mode == "1":
        return picture.convert("L")
    values = np.asarray(picture)
    if values.ndim == 3:
        colors = values[..., :3] if values.shape[2] >= 3 else values[..., :1]
        if (colors != colors[..., :1]).any():
            raise ValueError("an index mask has one channel, this picture has colours")
        values = colors[..., 0]
    if not np.array_equal(values, values.astype(np.uint8)):
        raise ValueError(f"index masks hold 0 to 255, this one {values.min()} to {values.max()}")
    return Image.fromarray(values.astype(np.uint8))
