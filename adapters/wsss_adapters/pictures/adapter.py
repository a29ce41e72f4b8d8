"""What the adapters of data sets of pictures share: splits, the camera, and masks as PNG."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from wsss_adapters.pictures.decoding import Size
from wsss_adapters.pictures.png_mask import check_mask_size, write_grey_png, write_palette_png
from wsss_adapters.pictures.reading import RGB
from wsss_toolkit.domain import AdapterOptions, ClassTable, Sensor


class PictureAdapter(ABC):
    """A data set of pictures; implements part of `wsss_toolkit.domain.Adapter`, which says what each method must do."""

    Options: ClassVar[type[AdapterOptions]]

    @property
    @abstractmethod
    def classes(self) -> ClassTable:
        """The classes, in the order of mask values."""

    @property
    @abstractmethod
    def _splits(self) -> Mapping[str, tuple[str, ...]]:
        """The sorted keys of each split, looked up once; a DataError where the data do not fit the options."""

    @abstractmethod
    def size(self, key: str) -> Size:
        """Return height and width of an image as `read` returns it.

        Raises:
            DataError: If there is no such image or its file is no picture.
        """

    @property
    def sensors(self) -> tuple[Sensor, ...]:
        """The camera."""
        return (RGB,)

    def splits(self) -> Mapping[str, tuple[str, ...]]:
        """Return the keys of each split."""
        return self._splits

    def whole(self, split: str) -> tuple[str, ...]:
        """Return the split's own keys: images are whole."""
        return self._splits[split]

    def write_mask(
        self,
        path: Path,
        key: str,
        mask: NDArray[np.uint8],
        confidence: NDArray[np.uint8] | None,
        tags: Mapping[str, str],
    ) -> Path:
        """Write a mask as palette PNG of the picture's size, and the confidence beside it as grey ``.confidence.png``.

        Georeferenced TIFFs get a PNG too, without their georeference: the adapter `sentinel` keeps it.

        Raises:
            ValueError: If the mask has another size than the picture, or holds what is no class.
            DataError: If there is no such picture.
            WsssError: If a file cannot be written.
        """
        check_mask_size(key, self.size(key), mask)
        if confidence is not None:
            write_grey_png(path.with_name(f"{path.name}.confidence.png"), confidence)
        return write_palette_png(path.with_name(f"{path.name}.png"), mask, self.classes, tags)
