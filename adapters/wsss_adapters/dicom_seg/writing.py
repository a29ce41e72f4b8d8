"""Masks of DICOM instances as DICOM Segmentation objects: one object per instance, its frames written one by one."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from wsss_adapters.dicom.pixel_shape import as_stored
from wsss_adapters.dicom.secret import key_for
from wsss_adapters.dicom_seg.file import open_spool, spool_frames, write_file
from wsss_adapters.dicom_seg.frames import SegFrame, binary_frames, fractional_frames, labelmap_frames, whole_frames
from wsss_adapters.dicom_seg.head import SegmentationType, describe_frames, describe_head
from wsss_adapters.dicom_seg.segments import CONFIDENCE, SOURCE, algorithm, class_code, segment
from wsss_adapters.dicom_seg.source import read_source
from wsss_adapters.quiet import quiet
from wsss_toolkit.domain import ClassTable, Destination, Layers, SceneOutputs
from wsss_toolkit.errors import DataError, UsageError
from wsss_toolkit.files import complete_file, remove_older

if TYPE_CHECKING:
    from highdicom.seg import SegmentDescription

SUFFIXES = {"mask": "_mask.dcm", "confidence": "_confidence.dcm", "scores": "_scores.dcm"}
"""What the objects of an instance are called after its name."""

OURS = re.compile(r"_(mask|confidence|scores)\.dcm$|^DICOMDIR$", re.IGNORECASE)
"""Names of files that `write_dicom_seg` wrote, and of lists of files, which are no input; tags tell whose they are."""

SERIES_NUMBERS = {"mask": 9001, "confidence": 9002, "scores": 9003}
"""Numbers of the series that the objects form within the study, beyond those of devices."""

SEGMENT_SEQUENCE = 0x00620002


class DicomOutputs(SceneOutputs):
    """What is written for a DICOM instance besides the mask."""

    deidentify: bool = False
    """Leave out of files, names and messages whom they show (DICOM's de-identification profile)."""
    key_file: Annotated[str | None, Field(exclude=True)] = None
    """With --deidentify: the file of the secret key by which UIDs are replaced; without one, a key is made and kept
    beside the masks."""

    @model_validator(mode="after")
    def _key_has_a_use(self) -> "DicomOutputs":
        if self.key_file is not None and not self.deidentify:
            raise ValueError("--key-file belongs to --deidentify")
        return self


def write_dicom_seg(
    source: Path,
    name: str,
    layers: Sequence[Layers],
    classes: ClassTable,
    destination: Destination,
    frame_height: int,
    *,
    segmentation_type: Literal["binary", "labelmap"] = "binary",
) -> Path:
    """Write the masks of an instance's frames as one Segmentation object; confidence and scores as fractional ones.

    Args:
        source: The DICOM file that was labelled; its patient and study are taken over, but for `deidentify`.
        name: What the files are named after.
        layers: Blocks of rows from top to bottom; frame ``f`` lies in the rows from ``f * frame_height``.
        classes: Names, colours and codes. The background becomes no segment.
        destination: What to write (`DicomOutputs`) and where.
        frame_height: Rows of one frame as it was labelled, with square pixels.
        segmentation_type: ``binary``: a frame of bits per segment, which every viewer reads; ``labelmap``: a frame of
            segment numbers, compressed, of the newer Label Map Segmentation class.

    Returns:
        The mask's path, which appears last.

    Raises:
        DataError: If the source cannot be read, or the mask does not fit its frames.
        UsageError: If there is no class but the background.
        WsssError: If a file cannot be written.
    """
    if not classes.labelled:
        raise UsageError("a DICOM segmentation needs a class that is not the background")
    outputs = cast(DicomOutputs, destination.outputs)
    key = key_for(destination.folder, outputs.key_file) if outputs.deidentify else None
    instance = read_source(source, name, key)
    if frame_height != instance.shown[0]:
        raise DataError(f"its frames have {instance.shown[0]} rows, the mask's {frame_height}", where=name)
    files = {kind: destination.folder / f"{name}{suffix}" for kind, suffix in SUFFIXES.items()}
    remove_older(files.values(), destination.folder)

    def frames(choose: Callable[[Layers], NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
        stored = instance.rows, instance.columns
        return (as_stored(frame, stored) for frame in whole_frames(layers, choose, instance.frames, instance.shown))

    identification = algorithm(destination.tags)

    def segments(indices: Iterable[int]) -> list["SegmentDescription"]:
        return [
            segment(number, classes.names[index], class_code(classes, index), classes.colors[index], identification)
            for number, index in enumerate(indices, start=1)
        ]

    def write(
        content: str, kind: SegmentationType, described: Sequence["SegmentDescription"], pixels: Iterator[SegFrame]
    ) -> None:
        bits = 1 if kind == "binary" else 8
        with complete_file(files[content]) as partial, open_spool(partial, bits) as spool:
            spool_frames(spool, pixels, describe_frames(instance))
            what, digest = (content, SERIES_NUMBERS[content]), spool.digest.hexdigest()
            with quiet("pydicom", "highdicom"):
                head = describe_head(
                    instance, kind, what, described, destination.tags, digest, deidentify=outputs.deidentify
                )
            write_file(partial, head, spool)

    try:
        if outputs.confidence:
            levels = fractional_frames(frames(lambda block: block.confidence[None]))
            one = segment(1, "Confidence", CONFIDENCE, (255, 255, 255), identification)
            write("confidence", "fractional", [one], levels)
        if outputs.scores:
            levels = fractional_frames(frames(Layers.class_scores))
            write("scores", "fractional", segments(range(len(classes.names))), levels)
        divide = binary_frames if segmentation_type == "binary" else labelmap_frames
        masks = divide(frames(lambda block: block.mask), classes)
        write("mask", segmentation_type, segments(classes.labelled), masks)
    except DataError as error:
        raise DataError(error.what, where=error.where or name, fix=error.fix) from error
    return files["mask"]


def mask_tags(path: Path) -> Mapping[str, str] | None:
    """Return the tags of a mask that `write_dicom_seg` wrote, or None where there is no such file.

    They are a JSON object in the Algorithm Parameters of the segments' algorithm. Reading stops there.

    Raises:
        DataError: If the file is there and is no Segmentation of ours, or cannot be read.
    """
    from pydicom.filereader import read_partial

    try:
        with path.open("rb") as file, quiet("pydicom", "highdicom"):
            header = read_partial(file, stop_when=lambda tag, vr, length: tag > SEGMENT_SEQUENCE)
    except FileNotFoundError:
        return None
    except Exception as error:  # pydicom raises whatever it stumbles over
        raise DataError("no readable DICOM file", where=str(path), fix="delete it or use --overwrite") from error
    for described in header.get("SegmentSequence") or ():
        for identification in described.get("SegmentationAlgorithmIdentificationSequence") or ():
            if identification.get("AlgorithmSource") == SOURCE:
                try:
                    tags = json.loads(identification.AlgorithmParameters)
                except (AttributeError, ValueError):
                    continue
                if isinstance(tags, dict):
                    return {str(key): str(value) for key, value in tags.items()}
    raise DataError("was not written by wsss", where=str(path), fix="move it away or choose another --out")


def is_ours(path: Path) -> bool:
    """Return whether a file is one that `write_dicom_seg` wrote, by its name and its tags."""
    try:
        return OURS.search(path.name) is not None and mask_tags(path) is not None
    except DataError:
        return False
