"""Which values a mask may hold for what the recipe reads it as: one place that says "this is another kind of mask".

Masks come in black and white, as 0 and 1, as indices of a palette, or in colours, and each kind read as another is
empty or wrong without a sign of it.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from wsss_toolkit.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

BINARY_THRESHOLD: Final = 128
"""Binary masks are "yes" from this grey value on: JPEG leaves neither black nor white exact."""

NEARLY: Final = 32
"""Grey levels by which JPEG and smoothed edges may be off black and white."""

FLAT: Final = 4
"""Grey levels within which nine neighbouring pixels are an area of one value, and no edge."""

LISTED: Final = 6
"""Values that an error lists."""

REMEDY: Final = "save it as black and white (0 and 255), or as indices and leave out data.mask_class"


def is_yes(mask: "Image.Image", path: Path, *, lossy: bool) -> NDArray[np.bool_]:
    """Return where a mask of one class says "yes": bool `h w`.

    That is white in black and white masks, of any depth, and 1 in masks of 0 and 1, palettes included, whose 0 is
    black. Black of a `lossy` file is not exact.

    Raises:
        DataError: If it holds other numbers, grey areas, colours or transparent pixels.
    """
    _refuse_transparent(mask, path)
    if mask.mode == "P":
        values = np.asarray(mask)
        if values.max(initial=0) <= 1:
            return _ones(mask, values, path)
        mask = mask.convert("RGB")
    if mask.mode not in ("1", "L") and not mask.mode.startswith(("I", "F")):
        mask = _grey(mask, path)
    values = np.asarray(mask)
    largest = float(values.max(initial=0))
    if mask.mode == "1" or largest <= 1:
        return values >= 0.5
    deep = mask.mode.startswith(("I", "F"))
    if largest < BINARY_THRESHOLD and not (lossy and largest <= NEARLY):
        raise _other(values, path)
    grey = np.clip(values * (255 / largest), 0, 255) if deep else values.astype(np.float64)
    if _has_grey_areas(grey):
        raise _other(values, path)
    yes: NDArray[np.bool_] = grey >= (127.5 if deep else BINARY_THRESHOLD)
    return yes


def shown_values(values: NDArray[Any]) -> str:
    """Return the values of a mask in words, the most frequent of many.

    >>> shown_values(np.array([[0, 0, 38]]))
    '0 and 38'
    """
    found, counts = np.unique(values, return_counts=True)
    kept = np.sort(found[np.argsort(-counts, kind="stable")[:LISTED]])
    listed = [f"{value:g}" for value in kept.tolist()]
    if len(found) > LISTED:
        return ", ".join([*listed, "..."])
    return " and ".join(filter(None, [", ".join(listed[:-1]), listed[-1]]))


def _refuse_transparent(mask: "Image.Image", path: Path) -> None:
    if mask.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in mask.info:
        if (np.asarray(mask.convert("RGBA"))[..., 3] < 255).any():
            fix = "flatten it to black and white (0 and 255)"
            raise DataError(
                "is transparent in places; masks say by their values what is where", where=str(path), fix=fix
            )


def _ones(mask: "Image.Image", values: NDArray[Any], path: Path) -> NDArray[np.bool_]:
    """Return where a palette's index is 1; 0 has to be black and 1 not."""
    palette = np.asarray((mask.getpalette("RGB") or []) + [0] * 6).reshape(-1, 3)[:2]
    if palette[0].max() >= NEARLY or palette[1].max() < NEARLY:
        what = "is a palette picture whose index 0 is not black, or whose index 1 is"
        raise DataError(what, where=str(path), fix="save it as black and white (0 and 255)")
    ones: NDArray[np.bool_] = values == 1
    return ones


def _grey(mask: "Image.Image", path: Path) -> "Image.Image":
    """Return the grey of a mask that is stored in colours and has none."""
    rgb = np.asarray(mask.convert("RGB"))
    spread = rgb.max(axis=-1).astype(np.int16) - rgb.min(axis=-1)
    if (spread > NEARLY).any():
        found, counts = np.unique(rgb.reshape(-1, 3), axis=0, return_counts=True)
        listed = [
            f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in found[np.argsort(-counts)[:LISTED]].tolist()
        ]
        more = ", ..." if len(found) > LISTED else ""
        what = f"has colours ({', '.join(listed)}{more}); masks of data.mask_class are black and white"
        raise DataError(what, where=str(path), fix=REMEDY)
    return mask.convert("L")


def _has_grey_areas(grey: NDArray[Any]) -> bool:
    """Tell whether nine neighbouring pixels are of one value that is neither black nor white."""
    if min(grey.shape) < 3:
        return False
    height, width = grey.shape
    views = [grey[row : height - 2 + row, column : width - 2 + column] for row in range(3) for column in range(3)]
    low, high = np.minimum.reduce(views), np.maximum.reduce(views)
    return bool(((high - low <= FLAT) & (low > NEARLY) & (high < 255 - NEARLY)).any())


def _other(values: NDArray[Any], path: Path) -> DataError:
    what = f"holds {shown_values(values)}; masks of data.mask_class hold 0 and 255, or 0 and 1"
    return DataError(what, where=str(path), fix=REMEDY)
