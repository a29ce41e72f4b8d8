"""Masks of Pascal VOC and SBD: read from PNG and MATLAB files, and written as the test server takes them."""

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wsss_adapters.natural.images import bit_palette
from wsss_adapters.pictures.decoding import Size, check_there
from wsss_adapters.pictures.masks import encode_mask
from wsss_toolkit.domain import IGNORE_INDEX
from wsss_toolkit.errors import DataError

CODES: Final = {code: code for code in (*range(21), IGNORE_INDEX)}
MEANING: Final = "masks of VOC hold 0 (background), 1 to 20 and 255 (void)"
SUBMISSION: Final = Path("results", "VOC2012", "Segmentation", "comp6_test_cls")
"""Where the test server looks for masks of networks that were trained on other data too, such as ImageNet."""


def read_sbd_mask(path: Path, picture: Path, size: Size) -> NDArray[np.uint8]:
    """Read a mask of SBD's `cls`: uint8 `h w`, 0..20; SBD has no void.

    Raises:
        DataError: If the file is missing, damaged, no mask of SBD, of another size than its picture, or holds other
            values.
    """
    from scipy.io import loadmat

    check_there(path)
    try:
        pixels = np.asarray(loadmat(path, squeeze_me=True, variable_names=["GTcls"])["GTcls"]["Segmentation"].item())
    except Exception as error:  # scipy raises many kinds where bytes make no sense
        what = f"is no readable mask of SBD (GTcls.Segmentation): {error}"
        raise DataError(what, where=str(path), fix="unpack benchmark.tgz again") from error
    if pixels.ndim != 2 or pixels.dtype.kind not in "ui":
        what = f"GTcls.Segmentation is {pixels.dtype} {pixels.shape}, not an index mask"
        raise DataError(what, where=str(path), fix="unpack it again")
    return encode_mask(pixels, path, picture, size, CODES, MEANING)


def write_submission_mask(folder: Path, key: str, mask: NDArray[np.uint8]) -> Path:
    """Write a mask as VOC's test server takes it: ``results/VOC2012/Segmentation/comp6_test_cls/KEY.png``.

    Args:
        folder: Of the submission; pack ``results`` as a .tar.gz and upload that.
        key: The image.
        mask: uint8 `h w` of the image's own size, 0..20: the server knows no pixels without a class.

    Returns:
        The file: an 8-bit PNG with VOC's palette and nothing else in it.

    Raises:
        ValueError: If a pixel is no class.
        DataError: If a pixel is 255.
        WsssError: If it cannot be written.
    """
    from PIL import Image

    from wsss_toolkit.files import complete_file

    if mask.dtype != np.uint8 or mask.ndim != 2:
        raise ValueError(f"a mask is uint8 `h w`, got {mask.dtype} {mask.shape}")
    values = set(np.unique(mask).tolist())
    if IGNORE_INDEX in values:
        what = f"the mask of {key!r} has pixels without a class (255), which the test server does not take"
        raise DataError(what, fix="submit masks of the segmentation network, or set pseudo_masks.ignore_below to 0")
    if not values <= set(range(21)):
        raise ValueError(f"the mask of {key!r} holds {sorted(values - set(range(21)))}, which are no classes")
    path = folder / SUBMISSION / f"{key}.png"
    image = Image.fromarray(mask)
    image.putpalette([value for color in bit_palette(256) for value in color])
    with complete_file(path) as partial:
        image.save(partial, format="PNG", bits=8)
    return path
