"""The header of the instance that a segmentation belongs to, completed where its maker left gaps."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsss_toolkit.errors import DataError

if TYPE_CHECKING:
    from pydicom import Dataset

from wsss_adapters.dicom.pixel_shape import square_size
from wsss_adapters.dicom.privacy import deidentified, derived_uid
from wsss_adapters.dicom.text import decode_texts, require_texts
from wsss_adapters.quiet import quiet

TEXTS = ("PatientID", "PatientName", "AccessionNumber", "StudyID", "ReferringPhysicianName")
"""Type 2 attributes of patient and study: present in a valid object, perhaps empty."""

CHECKED = ("AS", "CS", "DS", "IS")
"""Value representations with rules that people break, of attributes by which nothing is filed."""

LOSSY_METHODS = {
    f"1.2.840.10008.1.2.4.{suffix}": method
    for method, suffixes in {
        "ISO_10918_1": (50, 51), "ISO_14495_1": (81,), "ISO_15444_1": (91,), "ISO_13818_2": (100, 101),
        "ISO_14496_10": (102, 103, 104, 105, 106), "ISO_23008_2": (107, 108), "ISO_15444_15": (203,),
    }.items()
    for suffix in suffixes
}  # fmt: skip
"""What PS3.3 C.7.6.1.1.5.1 calls the compression of a transfer syntax that loses information."""


MULTI_FRAME_CLASSES = frozenset(
    f"1.2.840.10008.5.1.4.1.1.{suffix}"
    for suffix in ("3", "3.1", "7.1", "7.2", "7.3", "7.4", "77.1.1.1", "77.1.2.1", "77.1.4.1")
)
"""SOP classes of several frames, even where an instance has one: ultrasound, secondary capture, video."""


@dataclass(frozen=True, slots=True)
class Source:
    """The instance that was labelled, without its pixels."""

    header: "Dataset"
    """Every type 1 and 2 attribute of patient and study is there."""
    multi_frame: bool
    """Whether references to it name a frame."""
    frames: int
    rows: int
    columns: int
    shown: tuple[int, int]
    """Rows and columns with square pixels, as it was labelled."""


def read_source(path: Path, shown: str, key: bytes | None = None) -> Source:
    """Read the header of an instance, which messages call `shown`: paths may name patients.

    With a key, whatever identifies is left out or replaced by what the key makes of it.

    Raises:
        DataError: If it cannot be read, or has no UIDs or no size that an archive would know it by.
    """
    from pydicom import dcmread

    with quiet("pydicom", "highdicom"):
        try:
            header = dcmread(path, stop_before_pixels=True, force=True)
            if key is None:
                require_texts(header, TEXTS, shown)
            size = int(header.Rows), int(header.Columns)
            frames = int(header.get("NumberOfFrames") or 1)
            complete_header(header, path.stat().st_size)
        except DataError:
            raise
        except OSError as error:
            raise DataError(f"cannot be read: {error.strerror or error}", where=shown) from error
        except Exception as error:  # pydicom raises whatever it stumbles over
            raise DataError("is no complete DICOM image", where=shown, fix="copy it again") from error
        multi_frame = frames > 1 or str(header.SOPClassUID) in MULTI_FRAME_CLASSES
        square = square_size(header, *size)[:2]
        return Source(header if key is None else deidentified(header, key), multi_frame, frames, *size, square)


def complete_header(header: "Dataset", file_size: int) -> None:
    """Mend what a segmentation would copy or need, in place.

    Missing type 2 attributes become empty, malformed dates too; what else is malformed is left out. Missing UIDs of
    study and series are derived from the instance's own, so that all that is made of it stays together. A compression
    that the transfer syntax gives away is named, and its ratio estimated from the file's size in bytes. Text becomes
    Unicode.

    Raises:
        AttributeError: If there is no SOP instance UID.
    """
    from pydicom.valuerep import DA, TM

    decode_texts(header)
    _drop_malformed(header)
    meta = getattr(header, "file_meta", None)
    for keyword, stored in (
        ("SOPClassUID", "MediaStorageSOPClassUID"),
        ("SOPInstanceUID", "MediaStorageSOPInstanceUID"),
    ):
        if not header.get(keyword):
            setattr(header, keyword, getattr(meta, stored))
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID"):
        if not header.get(keyword):
            setattr(header, keyword, derived_uid(keyword, str(header.SOPInstanceUID)))
    for keyword in TEXTS:
        setattr(header, keyword, next(iter(_values(header.get(keyword))), ""))
    for keyword, kind, mark in (("PatientBirthDate", DA, "."), ("StudyDate", DA, "."), ("StudyTime", TM, ":")):
        value = next(iter(_values(header.get(keyword))), "").replace(mark, "")  # ACR-NEMA wrote 1997.04.24 and 13:14:15
        setattr(header, keyword, value if value and _valid(kind, value) else None)
    if header.get("PatientSex") not in ("M", "F", "O"):
        header.PatientSex = ""
    if header.get("PatientIdentityRemoved") == "YES" and not header.get("DeidentificationMethodCodeSequence"):
        header.DeidentificationMethod = header.get("DeidentificationMethod") or "not stated"
    _complete_compression(header, str(getattr(meta, "TransferSyntaxUID", "")), file_size)


def _drop_malformed(header: "Dataset") -> None:
    """Remove numbers, codes and ages that break the rules of their value representation: ``1,85`` for a height."""
    from pydicom.config import RAISE
    from pydicom.valuerep import validate_value

    for tag in list(header.keys()):
        try:
            element = header[tag]
            if element.VR in CHECKED:
                for value in _values(element.value):
                    validate_value(element.VR, value, RAISE)
        except Exception:  # pydicom raises whatever it stumbles over
            del header[tag]


def _valid(kind: Callable[[str], object], value: str) -> bool:
    try:
        kind(value)
    except ValueError:
        return False
    return True


def _values(value: Any) -> list[str]:
    """Return the values of an attribute that may have none, one or several."""
    if value is None or value == "":
        return []
    several = isinstance(value, (list, tuple)) or type(value).__name__ == "MultiValue"
    return [str(one) for one in (value if several else [value])]


def _complete_compression(header: "Dataset", transfer_syntax: str, file_size: int) -> None:
    """Name a lossy compression, which whatever is derived from the image must repeat."""
    method = LOSSY_METHODS.get(transfer_syntax)
    if method is not None:
        header.LossyImageCompression = "01"
    if not {*_values(header.get("LossyImageCompressionMethod"))} <= {*LOSSY_METHODS.values()}:
        del header.LossyImageCompressionMethod
    if header.get("LossyImageCompression") != "01":
        header.LossyImageCompression = "00"
        return
    if not header.get("LossyImageCompressionMethod") and method is not None:
        header.LossyImageCompressionMethod = method
    if not header.get("LossyImageCompressionRatio"):
        samples = int(header.Rows) * int(header.Columns) * int(header.get("SamplesPerPixel") or 1)
        plain = samples * int(header.get("NumberOfFrames") or 1) * int(header.get("BitsAllocated") or 8) / 8
        header.LossyImageCompressionRatio = f"{max(1.0, plain / max(1, file_size)):.2f}"
