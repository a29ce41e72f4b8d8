"""Index masks that people keep beside their pictures."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsss_adapters.folder.mask_sizes import another_size
from wsss_toolkit.domain import IGNORE_INDEX
from wsss_toolkit.errors import DataError


def read_codes(path: Path) -> NDArray[np.int32]:
    """Read a mask's values: int32 `h w`; the indices of a palette, else the values of its only channel.

    It is turned as its own EXIF orientation says, as pictures are.

    Raises:
        DataError: If the file is missing, damaged, a JPEG, or has colours.
    """
    from PIL import Image, ImageOps

    if path.suffix.lower() in (".jpg", ".jpeg"):
        raise DataError("masks cannot be JPEG, which changes their values", where=str(path), fix="use PNG")
    if not path.is_file() or not path.stat().st_size:
        raise DataError("is empty (0 bytes) or missing", where=str(path), fix="copy it again, or move it away")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # remarks on metadata
            with Image.open(path) as mask:
                values = np.asarray(ImageOps.exif_transpose(mask))
    except Exception as error:  # Pillow raises many kinds where bytes make no sense
        raise DataError("is no readable mask, truncated or damaged", where=str(path), fix="copy it again") from error
    if values.ndim == 3:
        # Grey stored in colours is a habit of drawing programs; an opaque fourth channel says nothing.
        colors = values[..., :3] if values.shape[2] >= 3 else values[..., :1]
        if (colors != colors[..., :1]).any():
            raise DataError(
                "has colours; masks hold one number for each pixel",
                where=str(path),
                fix="save it as palette or grey PNG",
            )
        values = colors[..., 0]
    whole = values.astype(np.int32)
    if not np.array_equal(whole, values):
        raise DataError("holds fractions; masks hold whole numbers", where=str(path))
    return whole


def read_mask(
    path: Path, size: tuple[int, int], picture: Path, codes: dict[int, int], ignored: Sequence[int]
) -> NDArray[np.uint8]:
    """Read a mask as class indices.

    Args:
        path: The mask.
        size: Height and width of its picture.
        picture: The picture, for errors.
        codes: Class index of each value.
        ignored: Values that become 255.

    Raises:
        DataError: If it cannot be read, is of another size, or holds a value that is neither.
    """
    from wsss_adapters.geotiff.geotiff import encode_labels

    values = read_codes(path)
    if values.shape != size:
        raise another_size((values.shape[0], values.shape[1]), path, size, picture)
    void = () if IGNORE_INDEX in codes else (IGNORE_INDEX,)
    return encode_labels(values, codes, (*ignored, *void), path)
