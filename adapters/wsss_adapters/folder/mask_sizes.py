"""Whether masks are as large as their pictures, by their headers: found before hours of training, not after."""

import warnings
from pathlib import Path

from wsss_adapters.pictures.picture_header import EXIF_ORIENTATION
from wsss_toolkit.errors import DataError


def check_mask_size(path: Path, size: tuple[int, int], picture: Path) -> None:
    """Refuse a mask of another size than its picture; one whose header cannot be read is left to who reads it.

    Args:
        path: The mask.
        size: Height and width of its picture, upright.
        picture: The picture, for the error.

    Raises:
        DataError: If it is of another size.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # remarks on metadata
            with Image.open(path) as mask:
                width, height = mask.size
                # Pillow decodes a whole PNG to find its orientation: it is asked for where it could mend something.
                if (height, width) != size and mask.getexif().get(EXIF_ORIENTATION, 1) in (5, 6, 7, 8):
                    width, height = height, width
    except Exception:  # Pillow raises many kinds where bytes make no sense
        return
    if (height, width) != size:
        raise another_size((height, width), path, size, picture)


def another_size(own: tuple[int, int], path: Path, size: tuple[int, int], picture: Path) -> DataError:
    """Return the error for a mask of the size `own` whose picture has another, as `check_mask_size` has them."""
    return DataError(
        f"is {own[0]} x {own[1]} pixels, its picture {size[0]} x {size[1]}",
        where=str(path),
        fix=f"turn it as EXIF turns {picture.name}, or save both upright"
        if own == size[::-1]
        else f"resize it to the size of {picture.name}, by the nearest pixel",
    )
