"""The cloud layers of an open scene: they make pixels of their sensors missing."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsss_adapters.geo_scenes.source import CloudLayer
from wsss_adapters.geotiff.clouds import covered, on_grid_of
from wsss_toolkit.domain import Window
from wsss_toolkit.errors import DataError


class CloudLayers:
    """Opens the layers on the grid of a scene's reference, until the stack is closed.

    Raises:
        DataError: If one cannot be read.
    """

    def __init__(self, layers: Sequence[CloudLayer], reference: Any, stack: ExitStack) -> None:
        import rasterio
        from rasterio.errors import RasterioError

        self._views: list[tuple[CloudLayer, Any]] = []
        for layer in layers:
            try:
                dataset = stack.enter_context(rasterio.open(layer.path))
            except RasterioError as error:
                raise _unreadable(layer, error) from error
            self._views.append((layer, stack.enter_context(on_grid_of(dataset, reference, layer.path))))

    def hide(self, sensor: str, pixels: NDArray[np.float32], window: Window) -> None:
        """Make the pixels `c h w` of a window NaN where clouds hide the ground from the sensor."""
        from rasterio.errors import RasterioError

        for layer, view in self._views:
            if layer.sensor == sensor:
                try:
                    pixels[:, covered(view, layer.classes, window)] = np.nan
                except RasterioError as error:
                    raise _unreadable(layer, error) from error


def _unreadable(layer: CloudLayer, error: Exception) -> DataError:
    cause = " ".join(str(error.__cause__ or error).split())
    return DataError(f"is no readable cloud layer ({cause})", where=layer.path, fix="copy it again")
