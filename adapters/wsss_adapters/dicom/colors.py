"""From stored samples to red, green and blue, or grey, in 0..255, whatever the photometric interpretation.

ICC profiles are not applied: networks are trained on pictures whose profiles nobody applied either.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsss_adapters.dicom.library import text_of
from wsss_toolkit.errors import DataError

RED, GREEN, BLUE = 0.299, 0.587, 0.114
"""Shares of the primaries in luma (ITU-R BT.601)."""


def ybr_to_rgb(samples: NDArray[Any], depth: int, *, partial: bool = False) -> NDArray[np.uint8]:
    """Convert luma and colour differences to red, green and blue (ITU-T T.871, DICOM PS3.3 C.7.6.3.1.2).

    The samples `h w 3` are unsigned, of `depth` bits. Under `partial`, luma keeps to 16..235 and differences to
    16..240, as in video.
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
    """The colours of a PALETTE COLOR object, by its header.

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


def to_grey(
    samples: NDArray[Any], header: Any, index: int, depth: int, where: str, *, signed: bool
) -> NDArray[np.uint8]:
    """Rescale, window and invert monochrome samples, stored values `h w` of `depth` bits, as their header asks for.

    That is how DICOM says they are to be shown (PS3.3 C.7.6.3, C.11). Without a window, the range that the samples can
    take becomes 0..255. `index` is the frame's, for attributes that frames have of their own.

    Raises:
        DataError: If a lookup table or window makes no sense.
    """
    ends = (-(2 ** (depth - 1)), 2 ** (depth - 1) - 1) if signed else (0, 2**depth - 1)
    try:
        values, low, high = _rescaled(samples, header, index, ends)
        grey = _windowed(values, header, index, low, high)
    except Exception:  # pydicom raises many kinds where tables make no sense
        raise DataError("its rescaling, window or lookup table makes no sense", where=where) from None
    if text_of(header, "PhotometricInterpretation").upper() == "MONOCHROME1":
        grey = 255 - grey
    return np.floor(np.clip(grey, 0, 255) + 0.5).astype(np.uint8)


def _rescaled(
    samples: NDArray[Any], header: Any, index: int, ends: tuple[int, int]
) -> tuple[NDArray[np.float64], float, float]:
    """Apply the modality's table or line; return values and the ends of their range."""
    from pydicom.pixels.processing import apply_modality_lut

    if header.get("ModalityLUTSequence"):
        top = 2.0 ** int(header.ModalityLUTSequence[0].LUTDescriptor[2]) - 1
        return np.asarray(apply_modality_lut(samples, header), np.float64), 0.0, top
    group = _own(header, index, "PixelValueTransformationSequence")
    slope = float(text_of(group, "RescaleSlope") or 1)
    intercept = float(text_of(group, "RescaleIntercept") or 0)
    low, high = sorted(slope * end + intercept for end in ends)
    return samples.astype(np.float64) * slope + intercept, low, high


def _windowed(values: NDArray[np.float64], header: Any, index: int, low: float, high: float) -> NDArray[np.float64]:
    """Apply the first window or table of values of interest; return grey in 0..255."""
    from pydicom.pixels.processing import apply_voi

    group = _own(header, index, "FrameVOILUTSequence")
    center, width = (text_of(group, keyword).split("\\")[0] for keyword in ("WindowCenter", "WindowWidth"))
    if center and width:
        return _window(values, float(center), float(width), text_of(group, "VOILUTFunction").upper())
    if group.get("VOILUTSequence"):
        top = 2.0 ** int(group.VOILUTSequence[0].LUTDescriptor[2]) - 1
        return np.asarray(apply_voi(values.astype(np.int64), group), np.float64) * (255 / top)
    return (values - low) * (255 / (high - low))


def _window(values: NDArray[np.float64], center: float, width: float, function: str) -> NDArray[np.float64]:
    """Return PS3.3 C.11.2.1.2 and C.11.2.1.3 with an output of 0..255."""
    if function == "SIGMOID":
        if width <= 0:
            raise ValueError(width)
        return 255 / (1 + np.exp(np.clip(-4 * (values - center) / width, -700, 700)))
    if function != "LINEAR_EXACT":
        center, width = center - 0.5, width - 1
    if width < 0 or (width == 0 and function == "LINEAR_EXACT"):
        raise ValueError(width)
    if width == 0:
        return np.where(values <= center, 0.0, 255.0)
    return np.clip(((values - center) / width + 0.5) * 255, 0, 255)


def _own(header: Any, index: int, sequence: str) -> Any:
    """Return where a frame's attributes are: its own functional group, the shared one, or the header itself."""
    for groups, item in (("PerFrameFunctionalGroupsSequence", index), ("SharedFunctionalGroupsSequence", 0)):
        held = header.get(groups)
        if held and item < len(held) and held[item].get(sequence):
            return held[item].get(sequence)[0]
    return header
