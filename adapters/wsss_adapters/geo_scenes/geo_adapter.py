"""What data sets of georeferenced rasters have in common."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsss_adapters.geo_scenes.adapter import GeoScenes
from wsss_adapters.geo_scenes.options import SceneRules
from wsss_adapters.geotiff.mask import write_mask
from wsss_toolkit.domain import ClassTable, Window


class GeoAdapter(GeoScenes, ABC):
    """Finds scenes by the recipe's `data.scenes`, and writes masks as GeoTIFF on the grid of an image's file.

    Args:
        options: The `data` section, with a key `scenes`; nothing is read yet.
    """

    options: Any

    def __init__(self, options: Any) -> None:
        self.options = options

    @property
    @abstractmethod
    def classes(self) -> ClassTable:
        """The classes, in the order of mask values."""

    @abstractmethod
    def grid_of(self, key: str) -> tuple[Path, Window | None]:
        """Return a file of an image, and the part of it that the image is; None for all of it.

        Raises:
            DataError: If there is no such image.
        """

    @property
    def scene_rules(self) -> SceneRules | None:
        """The recipe's `data.scenes`."""
        rules: SceneRules | None = self.options.scenes
        return rules

    def write_mask(
        self,
        path: Path,
        key: str,
        mask: NDArray[np.uint8],
        confidence: NDArray[np.uint8] | None,
        tags: Mapping[str, str],
    ) -> Path:
        """Write a mask as GeoTIFF with the CRS and transform of the image's file, see `geotiff.mask.write_mask`."""
        like, window = self.grid_of(key)
        return write_mask(path, mask, like=like, window=window, classes=self.classes, confidence=confidence, tags=tags)
