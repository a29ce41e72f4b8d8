"""What adapters of georeferenced images share: scenes in, masks, styles, polygons and a catalogue out."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from wsss_adapters.geo_scenes.finder import find_scenes
from wsss_adapters.geo_scenes.options import SceneRules
from wsss_adapters.geo_scenes.reader import GeoScene, open_geo_scene
from wsss_adapters.geo_scenes.source import GeoSource
from wsss_adapters.geo_scenes.writer import GeoOutputs, scene_tags, write_scene
from wsss_adapters.geotiff.mask import write_mask
from wsss_adapters.geotiff.values import BandValues
from wsss_toolkit.domain import (
    AdapterOptions,
    ChannelTable,
    ClassTable,
    Destination,
    Layers,
    ModelDescription,
    SceneOutputs,
    SceneSource,
    Window,
)


class GeoScenes:
    """Implements `wsss_toolkit.domain.SceneAdapter` for GeoTIFF, COG and Sentinel-2 products."""

    Outputs: ClassVar[type[SceneOutputs]] = GeoOutputs

    @property
    def scene_rules(self) -> SceneRules | None:
        """The recipe's `data.scenes`."""
        return None

    @property
    def training_rules(self) -> SceneRules | None:
        """Patterns of the training data, which scenes may follow too."""
        return None

    @property
    def training_values(self) -> Mapping[str, BandValues]:
        """How the numbers in each sensor's files become values in training, where the recipe says it."""
        return {}

    @property
    def stated_bands(self) -> Mapping[str, tuple[str, ...]]:
        """Band order of each sensor's files, where it is known without looking into them."""
        return {}

    def find_scenes(self, inputs: Sequence[str], channels: ChannelTable) -> tuple[SceneSource, ...]:
        """Find scenes among files, folders, globs, `.SAFE` products and GDAL paths."""
        rules = self.scene_rules
        said = {} if rules is None else {name: sensor.band_values() for name, sensor in rules.sensors.items()}
        return find_scenes(inputs, channels, rules, self.training_rules, {**self.training_values, **said})

    def open_scene(
        self, source: SceneSource, channels: ChannelTable, outputs: SceneOutputs | None = None
    ) -> AbstractContextManager[GeoScene]:
        """Open a scene's files on one grid."""
        wanted = outputs if isinstance(outputs, GeoOutputs) else GeoOutputs()
        return open_geo_scene(
            cast(GeoSource, source),
            channels,
            self.stated_bands,
            require_crs=wanted.require_crs,
            allowed=wanted.drivers,
        )

    def write_scene(
        self,
        source: SceneSource,
        layers: Sequence[Layers],
        classes: ClassTable,
        destination: Destination,
        channels: ChannelTable,
    ) -> Path:
        """Write the mask as Cloud-Optimized GeoTIFF on the scene's grid, and what else was asked for."""
        with self.open_scene(source, channels, destination.outputs) as scene:
            grid = scene.grid
        return write_scene(grid, source.name, layers, classes, destination)

    def scene_tags(self, name: str, folder: Path) -> Mapping[str, str] | None:
        """Return the tags of a finished mask."""
        return scene_tags(name, folder)

    def describe_scenes(self, folder: Path, model: ModelDescription) -> tuple[Path, ...]:
        """Write a STAC collection with an item for each finished scene, and one for the model."""
        from wsss_adapters.geo_scenes.stac import describe_scenes

        return describe_scenes(folder, model)


class GeoAdapter(GeoScenes, ABC):
    """Finds scenes by the recipe's `data.scenes`, and writes masks as GeoTIFF on the grid of an image's file."""

    Options: ClassVar[type[AdapterOptions]]
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
