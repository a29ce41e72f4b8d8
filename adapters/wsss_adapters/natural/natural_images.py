"""What the adapters for photographs have in common."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict

from wsss_adapters.natural.picture_reading import Size, picture_size, read_picture
from wsss_adapters.pictures.picture_header import RGB
from wsss_adapters.pictures.picture_scenes import PictureScenes
from wsss_adapters.pictures.png_mask import write_picture_mask
from wsss_toolkit.domain import AdapterOptions, Changes, ChannelTable, ClassTable, Sample, Sensor
from wsss_toolkit.errors import DataError

SENSOR: Final = RGB
"""The camera; its bands hold 0..255."""


class NaturalOptions(AdapterOptions):
    """What the `data` sections of photographs have in common."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    scenes: Annotated[Literal["whole", "windows"], Changes.NOTHING] = "whole"
    """How `wsss pseudolabel` labels a picture: as a `whole` at the size of the training images, for networks trained on
    whole, resized pictures; or by `windows` that slide over it at full size, for networks trained on crops
    (`model.fit: crop`)."""


class NaturalImages(PictureScenes, ABC):
    """Reads photographs and writes their masks; subclasses know where files and truth lie.

    New pictures (`wsss pseudolabel`) are no part of the data set: nobody states their size, and they are read upright.
    """

    options: NaturalOptions

    @property
    def scenes_are_whole(self) -> bool:
        """Whether new pictures are labelled as a whole, at the size of the training images."""
        return self.options.scenes == "whole"

    @property
    @abstractmethod
    def classes(self) -> ClassTable:
        """The classes, in the order of mask values."""

    @abstractmethod
    def splits(self) -> Mapping[str, tuple[str, ...]]:
        """Return the keys of each split."""

    @abstractmethod
    def picture(self, key: str) -> Path:
        """Return the file of an image.

        Raises:
            DataError: If there is no such image.
        """

    @abstractmethod
    def stated_size(self, key: str) -> Size | None:
        """Return the size that the data set's annotations have, without looking into a mask; None if unknown."""

    @property
    def sensors(self) -> tuple[Sensor, ...]:
        """The camera."""
        return (SENSOR,)

    def whole(self, split: str) -> tuple[str, ...]:
        """Return the split's own keys: images are whole."""
        return self.splits()[split]

    def size(self, key: str) -> Size:
        """Return height and width of an image as `read` returns it.

        Raises:
            DataError: If there is no such image or its file is no picture.
        """
        return picture_size(self.picture(key), lambda: self.stated_size(key))

    def read(self, key: str, channels: ChannelTable) -> Sample:
        """Read the selected colours of an image, float32 `c h w` in 0..255.

        Raises:
            DataError: If there is no such image or it cannot be read.
        """
        pixels = read_picture(self.picture(key), lambda: self.stated_size(key))
        picked = [SENSOR.bands.index(band) for band in channels.sensors[0].bands]
        return Sample(key, {SENSOR.name: pixels.transpose(2, 0, 1)[picked].astype(np.float32)})

    def write_mask(
        self,
        path: Path,
        key: str,
        mask: NDArray[np.uint8],
        confidence: NDArray[np.uint8] | None,
        tags: Mapping[str, str],
    ) -> Path:
        """Write a mask as palette PNG of the image's size, and the confidence beside it as grey PNG.

        Raises:
            ValueError: If the mask has another size than the image, or holds what is no class.
            DataError: If there is no such image.
            WsssError: If a file cannot be written.
        """
        return write_picture_mask(path, key, self.size(key), mask, confidence, self.classes, tags)


def unknown_image(key: str, root: Path) -> DataError:
    """Return the error for a key that no image has."""
    return DataError(f"no image is called {key!r}", where=str(root))
