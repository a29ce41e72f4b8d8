"""From monochrome samples to grey in 0..255, the way that DICOM says they are to be shown (PS3.3 C.7.6.3, C.11)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsss_adapters.dicom.library import text_of
from wsss_toolkit.errors import DataError


def to_grey(samples: NDArray[Any], header: Any, index: int, depth: int, where: str) -> NDArray[np.uint8]:
    """Rescale, window and invert monochrome samples as their header asks for.

    Without a window, the range that the samples can take becomes 0..255.

    Args:
        samples: Stored values `h w`.
        header: The header.
        index: Which frame it is, for attributes that frames have of their own.
        depth: Bits per sample.
        where: What messages call the file.

    Raises:
        DataError: If a lookup table or window makes no sense.
    """
    signed = text_of(header, "PixelRepresentation") == "1"
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
