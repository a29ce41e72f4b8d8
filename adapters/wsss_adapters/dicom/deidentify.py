"""What a DICOM object must not tell: PS3.15 Annex E, Basic Application Level Confidentiality Profile.

Nothing is taken out of a header. A new one is made from a short list of attributes that identify nobody, so that an
attribute which nobody thought of, private or misplaced, cannot slip through.
"""

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom import Dataset

KEPT = (
    "SOPClassUID", "Rows", "Columns", "NumberOfFrames", "InstanceNumber", "PixelSpacing",
    "LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod",
)  # fmt: skip
"""Attributes of the source that a segmentation needs; the profile keeps all of them."""

REPLACED_UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
"""UIDs of the source that a segmentation repeats; the profile replaces all UIDs that point at a person's study."""

UNTIMED = {"ContentDate": "19000101", "ContentTime": "000000"}
"""Dummy values (action D) of dates that a segmentation cannot do without."""

REMOVED = (
    "InstanceCreationDate", "InstanceCreationTime", "SeriesDescription", "ContributingEquipmentSequence",
    "ReferringPhysicianIdentificationSequence",
)  # fmt: skip
"""Attributes (action X) that a segmentation has of its own making."""


def derived_uid(*parts: str) -> str:
    """Return a UID that the parts determine and that does not give them back.

    It is a UUID of version 8 (RFC 9562) made of the SHA-256 of the parts, below the root 2.25 (PS3.5, B.2).
    """
    digest = hashlib.sha256("\0".join(("wsss-toolkit", *parts)).encode()).digest()
    number = int.from_bytes(digest[:16], "big")
    number = number & ~(0xF << 76) | 8 << 76  # version
    number = number & ~(0x3 << 62) | 2 << 62  # variant
    return f"2.25.{number}"


def replaced_uid(uid: str) -> str:
    """Return the UID that stands for one of the source's, the same each time, so that a study stays together.

    Whoever has the original UID can compute the same: the replacement hides it from those who don't.
    """
    return derived_uid("deidentified", uid)


def deidentified(header: "Dataset") -> "Dataset":
    """Return the header of an instance without anything that tells whom it shows, when or where.

    The new header of a complete one (`dicom_seg.source.complete_header`) has `KEPT` as they are, `REPLACED_UIDS`
    replaced, name, birth date, sex, dates, numbers and physician empty (action Z), and a patient's ID (Z: a dummy) that
    differs from study to study, so that an archive does not take all patients for one.
    """
    from pydicom import Dataset

    clean = Dataset()
    for keyword in KEPT:
        if keyword in header:
            setattr(clean, keyword, header[keyword].value)
    for keyword in REPLACED_UIDS:
        setattr(clean, keyword, replaced_uid(str(header[keyword].value)))
    number = clean.StudyInstanceUID.removeprefix("2.25.")
    clean.PatientID = f"ANON-{hashlib.sha256(number.encode()).hexdigest()[:12].upper()}"
    for keyword in ("PatientName", "PatientSex", "AccessionNumber", "StudyID", "ReferringPhysicianName"):
        setattr(clean, keyword, "")
    for keyword in ("PatientBirthDate", "StudyDate", "StudyTime"):
        setattr(clean, keyword, None)
    return clean


def mark_deidentified(segmentation: "Dataset", version: str) -> None:
    """Remove what the profile removes from an object made for a `deidentified` source, and say so in it, in place."""
    from pydicom import Dataset

    for keyword in REMOVED:
        if keyword in segmentation:
            delattr(segmentation, keyword)
    for keyword, value in UNTIMED.items():
        setattr(segmentation, keyword, value)
    segmentation.PatientIdentityRemoved = "YES"
    segmentation.DeidentificationMethod = f"wsss-toolkit {version}, PS3.15 Basic Profile"[:64]
    segmentation.LongitudinalTemporalInformationModified = "REMOVED"
    method = Dataset()
    method.CodeValue = "113100"
    method.CodingSchemeDesignator = "DCM"
    method.CodeMeaning = "Basic Application Confidentiality Profile"
    segmentation.DeidentificationMethodCodeSequence = [method]
