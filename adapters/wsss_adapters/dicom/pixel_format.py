"""The description of pixels in a DICOM header, checked before anything is decoded."""

from dataclasses import dataclass
from typing import Any, Final

from wsss_adapters.dicom.header import FRAMES
from wsss_adapters.dicom.library import text_of
from wsss_adapters.frames.scene import MAX_PIXELS
from wsss_toolkit.errors import DataError

GREY: Final = ("MONOCHROME1", "MONOCHROME2")
PALETTE: Final = "PALETTE COLOR"
YBR: Final = ("YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_422", "YBR_PARTIAL_420", "YBR_ICT", "YBR_RCT")
BY_SAMPLES: Final = {1: (*GREY, PALETTE), 3: ("RGB", *YBR)}
"""Photometric interpretations by their number of samples."""

DEPTHS: Final = (8, 16, 32)
"""Bits that a sample may take."""


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """What a header says of its pixels."""

    rows: int
    columns: int
    frames: int
    samples: int
    """1 or 3 per pixel."""
    photometric: str
    planar: int
    """0 if the samples of a pixel lie together, 1 if those of a colour do."""
    allocated: int
    """Bits that a sample takes."""
    stored: int
    """Bits of it that hold the value."""
    signed: bool
    overlaid: bool = False
    """Whether bits beyond those are an overlay's."""
    notice: str = ""
    """What the user should know of a description that contradicts itself."""

    @property
    def frame_bytes(self) -> int:
        """Bytes of an uncompressed frame."""
        whole = self.rows * self.columns * self.samples * self.allocated // 8
        return whole // 3 * 2 if self.photometric.endswith("_422") else whole

    def options(self, photometric: str) -> dict[str, Any]:
        """Return what pydicom's decoders ask for, for one frame that is to be taken as something else."""
        return {
            "rows": self.rows,
            "columns": self.columns,
            "number_of_frames": 1,
            "samples_per_pixel": self.samples,
            "photometric_interpretation": photometric,
            "planar_configuration": 0,  # means something to uncompressed frames alone
            "bits_allocated": self.allocated,
            "bits_stored": self.stored,
            "pixel_representation": int(self.signed),
            "pixel_keyword": "PixelData",
        }


def require_frames_class(header: Any, where: str) -> None:
    """Raise a DataError, which says what the object is, for one of no endoscopic, ultrasound or captured pictures."""
    from pydicom.uid import UID

    sop_class = text_of(header, "SOPClassUID")
    if not sop_class:
        raise DataError("is no readable DICOM file, truncated or damaged", where=where, fix="copy it again")
    if sop_class not in FRAMES:
        name = UID(sop_class).name
        what = f"is a DICOM object of another kind: {'a private class' if name == sop_class else name}"
        raise DataError(what, where=where, fix="give VL or Video Endoscopic, Secondary Capture or Ultrasound images")


def read_format(header: Any, where: str) -> PixelFormat:
    """Read and check the description of pixels.

    Raises:
        DataError: If something is missing or absurd; it names the attribute.
    """
    rows, columns = _number(header, "Rows", where), _number(header, "Columns", where)
    if rows < 1 or columns < 1 or rows * columns > MAX_PIXELS:
        fix = "export it again"
        raise DataError(f"its frames are {rows} x {columns} pixels (Rows x Columns)", where=where, fix=fix)
    frames = _number(header, "NumberOfFrames", where, 1)
    if frames < 1:
        raise DataError(f"holds no frames: NumberOfFrames is {frames}", where=where, fix="export it again")
    samples = _number(header, "SamplesPerPixel", where)
    photometric = text_of(header, "PhotometricInterpretation").upper()
    if samples not in BY_SAMPLES:
        raise DataError(f"has {samples} samples per pixel; 1 and 3 are supported", where=where)
    if photometric not in BY_SAMPLES[samples]:
        known = any(photometric in names for names in BY_SAMPLES.values())
        what = f"declares {photometric}" if known else "declares no known photometric interpretation"
        fix = f"correct PhotometricInterpretation: {', '.join(BY_SAMPLES[samples])}"
        raise DataError(f"{what} with {samples} sample{'s' * (samples > 1)} per pixel", where=where, fix=fix)
    allocated = _number(header, "BitsAllocated", where)
    stored = _number(header, "BitsStored", where, allocated)
    if allocated not in DEPTHS or not 1 <= stored <= allocated:
        what = f"has {stored} of {allocated} bits per sample (BitsStored, BitsAllocated); 8, 16 and 32 are supported"
        raise DataError(what, where=where)
    signed = _number(header, "PixelRepresentation", where, 0)
    planar = _number(header, "PlanarConfiguration", where, 0)
    if signed not in (0, 1) or planar not in (0, 1):
        raise DataError(f"PixelRepresentation {signed} or PlanarConfiguration {planar} is neither 0 nor 1", where=where)
    notice = ""
    if signed and samples == 3:
        signed, notice = 0, "says that its colours are signed numbers, which they never are: they are read as unsigned"
    return PixelFormat(
        rows, columns, frames, samples, photometric, planar, allocated, stored, bool(signed), _overlaid(header), notice
    )


def _overlaid(header: Any) -> bool:
    """Tell whether an overlay lies in the bits that samples leave free, as it did in objects of before 2004."""
    return any(header.get((group, 0x0102)) and not header.get((group, 0x3000)) for group in range(0x6000, 0x6020, 2))


def _number(header: Any, keyword: str, where: str, default: int | None = None) -> int:
    text = text_of(header, keyword)
    if not text and default is not None:
        return default
    try:
        return int(text)
    except ValueError:
        what = "is not a whole number" if text else "is missing"
        raise DataError(f"{keyword} {what}", where=where, fix="export it again") from None
