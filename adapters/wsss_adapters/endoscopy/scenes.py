"""What adapters of endoscopic images share: frames in, DICOM-SEG and PNG masks out."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, cast

from wsss_adapters.dicom.frames import open_dicom_scene
from wsss_adapters.dicom_seg import writing
from wsss_adapters.dicom_seg.source import TEXTS
from wsss_adapters.endoscopy.frame_finder import find_frames
from wsss_adapters.frames.scene import MAX_PIXELS, Frames, FrameScene, FrameSource, SegmentationType
from wsss_adapters.pictures import png_mask
from wsss_adapters.pictures.decoding import decode_picture
from wsss_toolkit.domain import (
    ChannelTable,
    ClassTable,
    Destination,
    Layers,
    ModelDescription,
    SceneOutputs,
    SceneSource,
)
from wsss_toolkit.errors import WsssError


class EndoscopyScenes:
    """Implements `wsss_toolkit.domain.SceneAdapter` for pictures and DICOM objects, each labelled in its own format."""

    Outputs: ClassVar[type[SceneOutputs]] = writing.DicomOutputs

    @property
    def mask_borders(self) -> bool:
        """Whether pixels outside the endoscope's field of view count as missing."""
        return True

    @property
    def segmentation_type(self) -> SegmentationType:
        """What a DICOM-SEG holds: ``binary``, which viewers read everywhere, or ``labelmap``, which is smaller."""
        return "binary"

    def find_scenes(self, inputs: Sequence[str], channels: ChannelTable) -> tuple[SceneSource, ...]:
        """Find frames among files, folders, globs and DICOMDIRs."""
        return tuple(replace(source, segmentation_type=self.segmentation_type) for source in find_frames(inputs))

    def open_scene(
        self, source: SceneSource, channels: ChannelTable, outputs: SceneOutputs | None = None
    ) -> AbstractContextManager[FrameScene]:
        """Open a file of frames."""
        frames = cast(FrameSource, source)
        if frames.kind == "picture":
            return _open_picture_scene(frames, channels, mask_borders=self.mask_borders)
        copied = () if outputs is None or cast(writing.DicomOutputs, outputs).deidentify else TEXTS
        return open_dicom_scene(frames, channels, mask_borders=self.mask_borders, copied=copied)

    def write_scene(
        self,
        source: SceneSource,
        layers: Sequence[Layers],
        classes: ClassTable,
        destination: Destination,
        channels: ChannelTable,
    ) -> Path:
        """Write a DICOM-SEG beside DICOM, a PNG beside a picture, and what else was asked for."""
        frames = cast(FrameSource, source)
        if frames.kind == "picture":
            return png_mask.write_png_mask(frames.name, layers, classes, destination)
        with self.open_scene(source, channels) as scene:
            height = scene.frame_height
        try:
            kind = frames.segmentation_type
            return writing.write_dicom_seg(
                frames.path, frames.name, layers, classes, destination, height, segmentation_type=kind
            )
        except WsssError as error:  # it knows the path, which may name the patient
            raise _shown(error, frames) from None

    def scene_tags(self, name: str, folder: Path) -> Mapping[str, str] | None:
        """Return the tags of a finished mask, whichever format it has."""
        picture = folder / f"{name}_mask.png"
        if picture.is_file():
            return png_mask.mask_tags(picture)
        return writing.mask_tags(folder / f"{name}_mask.dcm")

    def describe_scenes(self, folder: Path, model: ModelDescription) -> tuple[Path, ...]:
        """Write nothing: archives have their own catalogue."""
        return ()


@contextmanager
def _open_picture_scene(source: FrameSource, channels: ChannelTable, *, mask_borders: bool) -> Iterator[FrameScene]:
    """Open a picture as a single frame; its EXIF orientation is applied, its colour profile is not."""
    picture = decode_picture(source.path, source.shown, MAX_PIXELS)
    rows, columns = picture.pixels.shape[:2]
    frames = Frames(rows, columns, 1, picture.notices, lambda _: (picture.pixels, picture.there))
    yield FrameScene(source, channels, frames, mask_borders=mask_borders)


def _shown(error: WsssError, source: FrameSource) -> WsssError:
    """Return an error in which a file is called what messages call it."""
    what, where, fix = (
        text and text.replace(str(source.path), source.shown) for text in (error.what, error.where, error.fix)
    )
    return type(error)(what or error.what, where=where, fix=fix)
