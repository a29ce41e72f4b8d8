"""From stored samples to red, green and blue in 0..255, whatever the photometric interpretation.

ICC profiles are not applied: networks are trained on pictures whose profiles nobody applied either.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsss_toolkit.errors import DataError

RED, GREEN, BLUE = 0.299, 0.587, 0.114
"""Shares of the primaries in luma (ITU-R BT.601)."""


def ybr_to_rgb(samples: NDArray[Any], depth: int, *, partial: bool = False) -> NDArray[np.uint8]:
    """Convert luma and colour differences `h w 3` to red, green and blue (ITU-T T.871, DICOM PS3.3 C.7.6.3.1.2).

    Args:
        samples: Unsigned, of `depth` bits.
        depth: Bits per sample.
        partial: Whether luma keeps to 16..235 and differences to 16..240, as in video.
    """
    scale = 255 / (2**depth - 1)
    luma, blue, red = (np.multiply(samples[..., plane], scale, dtype=np.float32) for plane in range(3))
    for difference in (blue, red):
        difference -= 2 ** (depth - 1) * scale
    if partial:
        luma = (luma - 16) * np.float32(255 / 219)
        blue, red = blue * np.float32(255 / 224), red * np.float32(255 / 224)
    weights = (
        (0.0, 2 * (1 - RED)),
        (-2 * (1 - BLUE) * BLUE / GREEN, -2 * (1 - RED) * RED / GREEN),
        (2 * (1 - BLUE), 0.0),
    )
    rgb = np.empty(samples.shape, np.uint8)
    for plane, (of_blue, of_red) in enumerate(weights):
        value = luma + np.float32(0.5)
        for weight, difference in ((of_blue, blue), (of_red, red)):
            if weight:
                value += np.float32(weight) * difference
        rgb[..., plane] = np.clip(value, 0, 255, out=value)  # what is assigned to whole numbers is rounded down
    return rgb


def to_8_bit(samples: NDArray[Any], depth: int) -> NDArray[np.uint8]:
    """Scale unsigned samples of `depth` bits to 0..255."""
    if depth == 8 and samples.dtype == np.uint8:
        return samples.view(np.uint8)
    scaled: NDArray[np.float64] = samples.astype(np.float64) * (255 / (2**depth - 1))
    return np.floor(np.clip(scaled, 0, 255) + 0.5).astype(np.uint8)


class Palette:
    """The colours of a PALETTE COLOR object.

    Args:
        header: The header.
        where: What messages call the file.

    Raises:
        DataError: If tables are missing or contradict their descriptors.
    """

    def __init__(self, header: Any, where: str) -> None:
        try:
            entries, first, _ = (int(number) for number in header.RedPaletteColorLookupTableDescriptor)
            entries = entries % 2**16 or 2**16
            if "RedPaletteColorLookupTableData" in header:
                table = np.stack([_table(header, color, entries) for color in ("Red", "Green", "Blue")], axis=-1)
            else:
                table = _segmented(header, entries, first)
        except Exception as error:  # pydicom raises many kinds where tables make no sense
            known = str(error) if isinstance(error, _BadTable) else "missing or damaged"
            raise DataError(f"its palette is {known}", where=where, fix="export it again") from None
        # 16-bit entries use their upper byte; a table that never does holds 8-bit entries in 16-bit words.
        self._first = first
        self._colors = (table >> 8 if table.max() > 255 else table).astype(np.uint8)

    def colors(self, samples: NDArray[Any]) -> NDArray[np.uint8]:
        """Return the colours `h w 3` of indices `h w`; indices outside the table take its ends."""
        index = np.clip(samples.astype(np.int64) - self._first, 0, len(self._colors) - 1)
        return self._colors[index]


class _BadTable(ValueError):
    """A table whose length contradicts its descriptor."""


def _table(header: Any, color: str, entries: int) -> NDArray[np.uint16]:
    stored = header[f"{color}PaletteColorLookupTableData"].value
    if isinstance(stored, bytes):
        order = "<" if header.original_encoding[1] in (True, None) else ">"
        if len(stored) >= 2 * entries:
            return np.frombuffer(stored, f"{order}u2", entries).astype(np.uint16)
        if len(stored) >= entries:
            return np.frombuffer(stored, np.uint8, entries).astype(np.uint16)
    elif len(stored) >= entries:
        return np.array(stored[:entries], np.uint16)
    raise _BadTable(f"shorter than the {entries} entries that it declares")


def _segmented(header: Any, entries: int, first: int) -> NDArray[np.uint16]:
    from pydicom.pixels.processing import apply_color_lut

    rgb = apply_color_lut(np.arange(first, first + entries, dtype=np.int64), header)
    return np.asarray(rgb[:, :3], np.uint16)
