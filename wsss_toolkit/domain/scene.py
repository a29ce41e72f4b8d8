"""Scenes: images of any size, read window by window, whose masks are written in the domain's own format.

A scene may also be a stack of frames, such as an endoscopic video: then each frame is a window.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from wsss_toolkit.domain.sample import ChannelTable, ClassTable, Sample

LEVELS = 254
"""Confidence and class scores in 0..1 are stored as ``round(value * LEVELS)``, uint8; 255 means no data."""


@dataclass(frozen=True, slots=True)
class Window:
    """A rectangle of an image, in pixels from its upper left corner."""

    row: int
    column: int
    height: int
    width: int


class SceneSource(Protocol):
    """A scene that was found and not opened yet: plain values that travel to other processes and machines."""

    @property
    def name(self) -> str:
        """What its files are named after: ``[A-Za-z0-9._-]+``, distinct among the scenes found together."""

    @property
    def shown(self) -> str:
        """What messages call it: usually the path that the user gave."""

    def fingerprint(self) -> str:
        """Return a text that changes when the scene's files or the way they are read change (names, sizes, times)."""


class Scene(Protocol):
    """An open scene. One thread at a time reads from it."""

    @property
    def height(self) -> int:
        """Rows."""

    @property
    def width(self) -> int:
        """Columns."""

    @property
    def frame_height(self) -> int | None:
        """Rows of one frame where the scene is a stack of frames, one below the other; None where windows slide.

        `height` is a multiple of it. A frame is labelled as a whole, at the size of the training images.
        """

    @property
    def sensors(self) -> tuple[str, ...]:
        """The selected sensors that the scene has; it has all bands of each."""

    @property
    def notices(self) -> tuple[str, ...]:
        """What the user should know about this scene, such as that it lies nowhere; often empty."""

    def read(self, window: Window) -> Sample:
        """Read the channels that the scene was opened with, NaN where a pixel is missing.

        Raises:
            DataError: If the pixels cannot be read, because the file is truncated for example.
        """


@dataclass(frozen=True, slots=True)
class Layers:
    """What is known of some whole rows of a scene."""

    row: int
    """The first of the rows."""
    mask: NDArray[np.uint8]
    """uint8 `h w`: class indices, 255 where the scene holds no data."""
    confidence: NDArray[np.uint8]
    """uint8 `h w`: the winning class's score in 0..`LEVELS`, 255 where there is no data."""
    scores: NDArray[np.uint8] | None
    """uint8 `c h w`: every class's score in 0..`LEVELS`, 255 where there is no data; None if not asked for."""

    def class_scores(self) -> NDArray[np.uint8]:
        """Return `scores`; a ValueError says that they were not asked for."""
        if self.scores is None:
            raise ValueError("the layers hold no scores")
        return self.scores

    def part(self, first: int, last: int) -> "Layers":
        """Return the rows from `first` to before `last`, counted from the first of these."""
        scores = None if self.scores is None else self.scores[:, first:last]
        return Layers(self.row + first, self.mask[first:last], self.confidence[first:last], scores)


class SceneOutputs(BaseModel):
    """What is written for each scene besides the mask; an adapter's `Outputs` adds what its domain knows.

    `wsss pseudolabel` has a flag for each field, whose docstring is the flag's help: a bool is a switch, a `Literal` a
    choice, a number keeps its limits. Every field has a default. A mask that was made with other values is another
    mask, but for fields with ``exclude=True``: these change no file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    confidence: bool = False
    """Also write the confidence in each pixel."""
    scores: bool = False
    """Also write the scores of all classes."""

    @property
    def needs_scores(self) -> bool:
        """Whether `Layers.scores` must be there."""
        return self.scores


@dataclass(frozen=True, slots=True)
class Destination:
    """Where the files of scenes go, which they are, and what they say of their making."""

    folder: Path
    outputs: SceneOutputs
    """What is written besides the mask: a value of the adapter's `Outputs`."""
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """What others need to know of the model that made the masks."""

    name: str
    stage: str
    """``unet`` (the segmentation network) or ``vit`` (the classifier's class maps)."""
    architecture: str
    """Such as ``unet with encoder resnet34``."""
    channels: ChannelTable
    """Sensors and bands, in input order."""
    scaling: tuple[Mapping[str, float], ...]
    """Per channel what `BandScaling` holds: ``low``, ``high``, ``offset``, ``scale``; the input is
    ``(clip(x, low, high) - offset) / scale``."""
    classes: ClassTable
    """Names and colours, in the order of mask values."""
    window: int
    """Side of the windows in pixels."""
    overlap: float
    """Share of a window that it has in common with the next, 0..1."""
    parameters: int
    weights: Path
    framework: tuple[str, str]
    """Such as ``("pytorch", "2.8.0")``."""
    tags: Mapping[str, str]
    """Provenance: version, recipe digest, label source."""
    notices: tuple[str, ...]
    """Sentences that must stand beside every figure."""


@runtime_checkable
class HidesScenes(Protocol):
    """A `SceneAdapter` that can be asked to keep whom scenes show out of names, files and messages."""

    def hides(self, outputs: SceneOutputs) -> bool:
        """Tell whether the user asks for it."""

    def hide_scenes(
        self, sources: Sequence[SceneSource], destination: Destination
    ) -> tuple[tuple[SceneSource, ...], tuple[str, ...]]:
        """Return scenes whose `name` and `shown` give nothing away, the same in every call, and what the user is told.

        Where the user does not ask for it, scenes stay as they are. Nobody else writes into the folder of the
        destination meanwhile.

        Raises:
            WsssError: If what it takes cannot be read or written, or the folder holds masks of the other kind.
        """


@runtime_checkable
class SceneAdapter(Protocol):
    """An adapter that also labels scenes: `wsss pseudolabel` works with these.

    Nothing here depends on the data that the recipe was trained on: a run folder is enough.
    """

    Outputs: ClassVar[type[SceneOutputs]]

    def find_scenes(self, inputs: Sequence[str], channels: ChannelTable) -> tuple[SceneSource, ...]:
        """Find the scenes among files, folders, globs and whatever else the domain calls an input.

        Files that do not belong to a scene are left out in silence; a scene whose files turn out to be damaged
        is found all the same and fails when it is opened, so that the others can go on.

        Raises:
            UsageError: If an input does not exist, or nothing in it is a scene; it says what was looked for.
        """

    def open_scene(
        self, source: SceneSource, channels: ChannelTable, outputs: SceneOutputs | None = None
    ) -> AbstractContextManager[Scene]:
        """Open a scene for reading the channels in their order.

        Args:
            source: From `find_scenes`, perhaps in another process.
            channels: The bands that the model sees.
            outputs: What will be written, which may ask something of the scene; None where nothing will.

        Raises:
            DataError: If a file cannot be read, bands are missing (it names them), grids cannot be joined, or the
                scene lacks what `outputs` asks for.
        """

    def write_scene(
        self,
        source: SceneSource,
        layers: Sequence[Layers],
        classes: ClassTable,
        destination: Destination,
        channels: ChannelTable,
    ) -> Path:
        """Write everything that was asked for of one scene; the mask appears last, each file complete or not at all.

        Args:
            source: The scene, whose grid is taken over.
            layers: Blocks of rows from top to bottom, without gaps; each is read from disk when it is asked for.
            classes: Names and colours.
            destination: What to write and where.
            channels: What the scene was opened with.

        Returns:
            The mask's path.

        Raises:
            WsssError: If a file cannot be written.
        """

    def scene_tags(self, name: str, folder: Path) -> Mapping[str, str] | None:
        """Return the tags in the finished mask of a scene, or None where there is no such file.

        Raises:
            DataError: If the file is there and is no mask of ours or cannot be read.
        """

    def describe_scenes(self, folder: Path, model: ModelDescription) -> tuple[Path, ...]:
        """Write the catalogue of all finished scenes in a folder, if the domain has such a thing.

        Returns:
            The files written, the most important first.
        """
