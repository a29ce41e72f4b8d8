"""What adapters of endoscopic images share: frames in, DICOM-SEG and PNG masks out."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, cast

from wsss_adapters.dicom.frames import open_dicom_scene
from wsss_adapters.dicom.header import is_dicomdir
from wsss_adapters.dicom_seg import writing
from wsss_adapters.dicom_seg.source import TEXTS
from wsss_adapters.endoscopy.frame_finder import find_frames
from wsss_adapters.endoscopy.hiding import hide, require_none_hidden, without_paths
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
from wsss_toolkit.domain.unread import files_beside


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

    def hides(self, outputs: SceneOutputs) -> bool:
        """Tell whether `--deidentify` was given."""
        return cast(writing.DicomOutputs, outputs).deidentify

    def hide_scenes(
        self, sources: Sequence[SceneSource], destination: Destination
    ) -> tuple[tuple[SceneSource, ...], tuple[str, ...]]:
        """Give the files neutral names, which a table and a key beside the folder of the masks belong to.

        Without `--deidentify` they keep their names, in another folder.
        """
        if not self.hides(destination.outputs):
            require_none_hidden(destination.folder)
            return tuple(sources), ()
        key_file = cast(writing.DicomOutputs, destination.outputs).key_file
        hidden = hide(cast(Sequence[FrameSource], sources), destination.folder, key_file)
        return hidden.sources, hidden.notices

    def unread(self, inputs: Sequence[str], sources: Sequence[SceneSource]) -> Sequence[Path]:
        """Return the files among the inputs that hold no frames, nor masks of ours."""
        read = [cast(FrameSource, source).path for source in sources]
        left = [path for path in files_beside(inputs, read) if not is_dicomdir(path)]
        return [path for path in left if not png_mask.is_ours(path) and not writing.is_ours(path)]

    def open_scene(
        self, source: SceneSource, channels: ChannelTable, outputs: SceneOutputs | None = None
    ) -> AbstractContextManager[FrameScene]:
        """Open a file of frames."""
        frames = cast(FrameSource, source)
        copied = () if outputs is None or cast(writing.DicomOutputs, outputs).deidentify else TEXTS
        return _open(frames, channels, mask_borders=self.mask_borders, copied=copied)

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
        with without_paths(frames):
            return self._write(frames, layers, classes, destination, channels)

    def _write(
        self,
        frames: FrameSource,
        layers: Sequence[Layers],
        classes: ClassTable,
        destination: Destination,
        channels: ChannelTable,
    ) -> Path:
        if frames.kind == "picture":
            # Without a name that tells who it is: `shown` hides what is known of that.
            hidden = isinstance(destination.outputs, writing.DicomOutputs) and destination.outputs.deidentify
            named = None if hidden else Path(frames.shown).name
            return png_mask.write_png_mask(frames.name, layers, classes, destination, named)
        with self.open_scene(frames, channels) as scene:
            height = scene.frame_height
        kind = frames.segmentation_type
        return writing.write_dicom_seg(
            frames.path, frames.name, layers, classes, destination, height, segmentation_type=kind
        )

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
def _open(
    source: FrameSource, channels: ChannelTable, *, mask_borders: bool, copied: Iterable[str]
) -> Iterator[FrameScene]:
    with without_paths(source):
        if source.kind == "picture":
            opened = _open_picture_scene(source, channels, mask_borders=mask_borders)
        else:
            opened = open_dicom_scene(source, channels, mask_borders=mask_borders, copied=copied)
        with opened as scene:
            yield scene


@contextmanager
def _open_picture_scene(source: FrameSource, channels: ChannelTable, *, mask_borders: bool) -> Iterator[FrameScene]:
    """Open a picture as a single frame; its EXIF orientation is applied, its colour profile is not."""
    picture = decode_picture(source.path, source.shown, MAX_PIXELS)
    rows, columns = picture.pixels.shape[:2]
    frames = Frames(rows, columns, 1, picture.notices, lambda _: (picture.pixels, picture.there))
    yield FrameScene(source, channels, frames, mask_borders=mask_borders)
