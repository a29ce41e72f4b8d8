"""The cloud layers of an open scene: they make pixels of their sensors missing."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsss_adapters.geo_scenes.source import CloudLayer
from wsss_adapters.geotiff.clouds import covered, on_grid_of
from wsss_adapters.geotiff.opening import opened, reading, shown
from wsss_toolkit.domain import Window


class CloudLayers:
    """Opens the layers on the grid of a scene's reference, until the stack is closed.

    Raises:
        DataError: If one cannot be read.
    """

    def __init__(
        self, layers: Sequence[CloudLayer], reference: Any, stack: ExitStack, allowed: Sequence[str] = ()
    ) -> None:
        self._views: list[tuple[CloudLayer, Any]] = []
        for layer in layers:
            dataset = stack.enter_context(opened(layer.path, allowed))
            self._views.append((layer, stack.enter_context(on_grid_of(dataset, reference, shown(layer.path)))))

    def hide(self, sensor: str, pixels: NDArray[np.float32], window: Window) -> None:
        """Make the pixels `c h w` of a window NaN where clouds hide the ground from the sensor."""
        for layer, view in self._views:
            if layer.sensor == sensor:
                with reading(shown(layer.path)):
                    pixels[:, covered(view, layer.classes, window)] = np.nan
