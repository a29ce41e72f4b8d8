"""What the adapters for photographs have in common."""

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict

from wsss_adapters.pictures.decoding import Size, decode_picture, picture_size
from wsss_adapters.pictures.header import RGB
from wsss_adapters.pictures.picture_masks import PictureMasks
from wsss_adapters.pictures.reading import rgb_sample
from wsss_adapters.pictures.scenes import PictureScenes
from wsss_toolkit.domain import AdapterOptions, Changes, ChannelTable, Sample, Sensor
from wsss_toolkit.errors import DataError


class NaturalOptions(AdapterOptions):
    """What the `data` sections of photographs have in common."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    scenes: Annotated[Literal["whole", "windows"], Changes.NOTHING] = "whole"
    """How `wsss pseudolabel` labels a picture: as a `whole` at the size of the training images, for networks trained on
    whole, resized pictures; or by `windows` that slide over it at full size, for networks trained on crops
    (`model.fit: crop`)."""


class NaturalImages(PictureScenes, PictureMasks):
    """Reads photographs and writes their masks; subclasses know where files and truth lie.

    New pictures (`wsss pseudolabel`) are no part of the data set: nobody states their size, and they are read upright.
    """

    options: NaturalOptions

    def __init__(self, options: NaturalOptions) -> None:
        """Keep the options; read nothing yet."""
        self.options = options

    @property
    def scenes_are_whole(self) -> bool:
        """Whether new pictures are labelled as a whole, at the size of the training images."""
        return self.options.scenes == "whole"

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
        return (RGB,)

    def whole(self, split: str) -> tuple[str, ...]:
        """Return the split's own keys: images are whole."""
        return self.splits()[split]

    def size(self, key: str) -> Size:
        """Return height and width of an image, see `PictureMasks.size`."""
        return picture_size(self.picture(key), lambda: self.stated_size(key))

    def read(self, key: str, channels: ChannelTable) -> Sample:
        """Read the selected colours of an image, float32 `c h w` in 0..255.

        Raises:
            DataError: If there is no such image or it cannot be read.
        """
        picture = decode_picture(self.picture(key), stated=lambda: self.stated_size(key), deep=False)
        return rgb_sample(key, picture.pixels, None, channels)


def unknown_image(key: str, root: Path) -> DataError:
    """Return the error for a key that no image has."""
    return DataError(f"no image is called {key!r}", where=str(root))


def unusual_counts(splits: Mapping[str, tuple[str, ...]], published: Mapping[str, int]) -> list[str]:
    """Return which splits have not as many images as were published, in words."""
    return [
        f"{len(keys)} in {split} instead of {published[split]}"
        for split, keys in splits.items()
        if len(keys) != published[split]
    ]
