"""What describes a segmentation and each of its frames.

highdicom makes the object for a stand-in of the source, a single frame without a frame of reference, because it refuses
several frames that have no place in space. The functional groups of the frames are then our own.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from wsss_adapters.dicom.privacy import derived_uid, mark_deidentified
from wsss_adapters.dicom_seg.frames import SegFrame
from wsss_adapters.dicom_seg.segments import PRIVATE_SCHEME
from wsss_adapters.dicom_seg.source import Source
from wsss_toolkit.domain import LEVELS

if TYPE_CHECKING:
    from highdicom.seg import SegmentDescription
    from pydicom import Dataset

SegmentationType = Literal["binary", "labelmap", "fractional"]

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
"""The stand-in's SOP class: a single frame, of which nothing is required."""

RLE_LOSSLESS = "1.2.840.10008.1.2.5"
EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"

NOT_STOOD_IN = (
    "SOPClassUID", "Rows", "Columns", "FrameOfReferenceUID", "NumberOfFrames", "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence", "DimensionIndexSequence", "SpecificCharacterSet",
)  # fmt: skip
"""What the stand-in must not have, or has of its own."""

FRAME_CONTENT, TEMPORAL_POSITION = 0x00209111, 0x00209128
SEGMENT_IDENTIFICATION, SEGMENT_NUMBER = 0x0062000A, 0x0062000B


def describe_head(
    source: Source,
    kind: SegmentationType,
    what: tuple[str, int],
    segments: Sequence["SegmentDescription"],
    tags: Mapping[str, str],
    digest: str,
    *,
    deidentify: bool,
) -> "Dataset":
    """Return an object without frames.

    Args:
        source: The instance that was labelled.
        kind: How pixels are stored.
        what: What the object holds, such as ``mask``, and the number of its series.
        segments: One description per segment.
        tags: Provenance; its versions go into the equipment, the rest is in the segments' algorithm.
        digest: Of the pixels: the same content has the same UID, another content another.
        deidentify: Whether to leave out what could tell whom it shows; the source is then without it already.
    """
    import highdicom
    from pydicom import Dataset

    content, series_number = what
    version = tags.get("wsss_version", "0")
    run = " ".join(f"{key}={value}" for key, value in sorted(tags.items()) if key != "wsss_job")
    header = source.header
    stand_in = Dataset()
    stand_in.update({element.tag: element for element in header if element.keyword not in NOT_STOOD_IN})
    stand_in.SOPClassUID = SECONDARY_CAPTURE
    stand_in.Rows, stand_in.Columns = source.rows, source.columns
    uid = derived_uid(content, kind, str(header.SOPInstanceUID), run, digest)
    private = any(
        item.SegmentedPropertyTypeCodeSequence[0].CodingSchemeDesignator == PRIVATE_SCHEME for item in segments
    )
    head: Any = highdicom.seg.Segmentation(
        source_images=[stand_in],
        pixel_array=np.zeros((source.rows, source.columns), np.uint8),
        segmentation_type=kind.upper(),
        segment_descriptions=segments,
        series_instance_uid=derived_uid(content, kind, str(header.SeriesInstanceUID), run),
        series_number=series_number,
        sop_instance_uid=uid,
        instance_number=_number(header),
        manufacturer="wsss-toolkit",
        manufacturer_model_name="wsss pseudolabel",
        software_versions=version[:64],
        device_serial_number="0",
        max_fractional_value=LEVELS,
        content_description=f"wsss-toolkit: {content}"[:64],
        content_label=content.upper().replace(" ", "_")[:16],
        omit_empty_frames=False,
        series_description=f"wsss-toolkit {content}"[:64],
        specific_character_set="ISO_IR 192",
        coding_schemes=[_private_scheme()] if private else None,
    )
    for keyword in ("PixelData", "PerFrameFunctionalGroupsSequence"):
        delattr(head, keyword)
    head.SharedFunctionalGroupsSequence[0].pop("SegmentIdentificationSequence", None)
    for reference in (*head.SourceImageSequence, *head.ReferencedSeriesSequence[0].ReferencedInstanceSequence):
        reference.ReferencedSOPClassUID = header.SOPClassUID
    head.PatientOrientation = ""  # required where there is no position in space, and unknown
    head.ContentCreatorName = ""  # no person
    if (source.rows, source.columns) != source.shown and header.get("PixelAspectRatio"):
        head.PixelAspectRatio = header.PixelAspectRatio
    _set_dimensions(head, kind, derived_uid("dimensions", uid))
    head.file_meta.TransferSyntaxUID = EXPLICIT_LITTLE_ENDIAN if kind == "binary" else RLE_LOSSLESS
    if deidentify:
        mark_deidentified(head, version)
    return head  # type: ignore[no-any-return]


def describe_frames(source: Source) -> Callable[[SegFrame], "Dataset"]:
    """Return a function that describes a frame: the functional groups that differ from frame to frame."""
    from pydicom.sr.codedict import codes

    header = source.header

    def describe(frame: SegFrame) -> "Dataset":
        reference = _item(
            ReferencedSOPClassUID=header.SOPClassUID,
            ReferencedSOPInstanceUID=header.SOPInstanceUID,
            PurposeOfReferenceCodeSequence=[_code(codes.cid7202.SourceImageForImageProcessingOperation)],
            SpatialLocationsPreserved="YES",
        )
        if source.multi_frame:
            reference.ReferencedFrameNumber = frame.source + 1
        kind = _code(codes.cid7203.SegmentationImageDerivation)
        content = _item(TemporalPositionIndex=frame.source + 1, DimensionIndexValues=[frame.source + 1])
        item = _item(
            DerivationImageSequence=[_item(DerivationCodeSequence=[kind], SourceImageSequence=[reference])],
            FrameContentSequence=[content],
        )
        if frame.segment is not None:
            content.DimensionIndexValues = [frame.source + 1, frame.segment]
            item.SegmentIdentificationSequence = [_item(ReferencedSegmentNumber=frame.segment)]
        return item

    return describe


def _set_dimensions(head: Any, kind: SegmentationType, organization_uid: str) -> None:
    """Say that frames are ordered by time and, where each shows one segment, by segment."""
    pointers = [(TEMPORAL_POSITION, FRAME_CONTENT, "Temporal Position Index")]
    if kind != "labelmap":
        pointers.append((SEGMENT_NUMBER, SEGMENT_IDENTIFICATION, "Referenced Segment Number"))
    head.DimensionIndexSequence = [
        _item(
            DimensionOrganizationUID=organization_uid,
            DimensionIndexPointer=pointer,
            FunctionalGroupPointer=group,
            DimensionDescriptionLabel=label,
        )
        for pointer, group, label in pointers
    ]
    head.DimensionOrganizationSequence = [_item(DimensionOrganizationUID=organization_uid)]
    if "DimensionOrganizationType" in head:
        del head.DimensionOrganizationType


def _number(header: "Dataset") -> int:
    try:
        return max(1, int(header.get("InstanceNumber") or 1))
    except ValueError:
        return 1


def _item(**attributes: Any) -> "Dataset":
    """Return an item of a sequence."""
    from pydicom import Dataset

    item = Dataset()
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return item


def _code(concept: Any) -> "Dataset":
    scheme = concept.scheme_designator
    return _item(CodeValue=concept.value, CodingSchemeDesignator=scheme, CodeMeaning=concept.meaning)


def _private_scheme() -> Any:
    from highdicom.coding_schemes import CodingSchemeIdentificationItem

    return CodingSchemeIdentificationItem(designator=PRIVATE_SCHEME, name="Classes of wsss-toolkit recipes")
