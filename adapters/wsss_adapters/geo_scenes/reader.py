"""Reads windows of a scene: all bands on one grid, warped on the fly where files lie on another."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsss_adapters.geo_scenes.bands import name_bands, require_bands
from wsss_adapters.geo_scenes.cloud_layers import CloudLayers
from wsss_adapters.geo_scenes.source import GeoSource, SceneFile, checked_values
from wsss_adapters.geo_scenes.times import scene_time
from wsss_adapters.geotiff.band_names import contradiction
from wsss_adapters.geotiff.grid import SceneGrid, grid_of, share_ground, warp_crs
from wsss_adapters.geotiff.opening import opened, reading, shown
from wsss_adapters.geotiff.sites import GRID_TOLERANCE, corner_distance
from wsss_adapters.geotiff.validity import Validity, alpha_band, in_float32
from wsss_toolkit.domain import ChannelTable, Sample, Window
from wsss_toolkit.errors import DataError, blamed_on

METRES_PER_DEGREE = 111_320.0
"""For comparing pixel sizes of geographic and projected files."""

CACHE_MB = (64, 1024)
"""Least and most of GDAL's block cache in MB."""


@dataclass
class OpenFile:
    """A file of a scene while it is open."""

    file: SceneFile
    source: Any
    bands: dict[tuple[str, str], int]
    """Band numbers by sensor and band."""
    nodata: dict[int, float] = field(default_factory=dict)
    """The number that means "no data", by the band's, where the recipe or the product says it."""
    alpha: int | None = None
    """The band that says which pixels are valid, or None."""
    validity: Validity | None = None
    """What leaves out its pixels, where windows are read from the file itself."""
    warped: dict[int, Any] = field(default_factory=dict)
    """Views of its bands on the scene's grid, NaN where a pixel is missing, where the file lies on another."""


class GeoScene:
    """An open scene; see `wsss_toolkit.domain.Scene`."""

    frame_height = None

    def __init__(
        self,
        source: GeoSource,
        channels: ChannelTable,
        files: Sequence[OpenFile],
        grid: SceneGrid,
        clouds: CloudLayers,
        notices: tuple[str, ...] = (),
    ) -> None:
        self.grid, self._source, self._channels, self._clouds = grid, source, channels, clouds
        self._places = {place: file for file in reversed(files) for place in file.bands}
        self.height, self.width = grid.height, grid.width
        self.sensors = tuple(
            sensor.name for sensor in channels.sensors if (sensor.name, sensor.bands[0]) in self._places
        )
        placed = () if grid.crs else ("has no coordinate reference system, so its mask has none either",)
        self.notices = (*placed, *notices)

    def read(self, window: Window) -> Sample:
        """Read the channels of a window, NaN where a pixel is missing.

        Raises:
            DataError: If a file cannot be read.
        """
        bands = {}
        for sensor in self._channels.sensors:
            if sensor.name not in self.sensors:
                continue
            places = [(sensor.name, band) for band in sensor.bands]
            pixels = np.empty((len(places), window.height, window.width), np.float32)
            for file in {id(self._places[place]): self._places[place] for place in places}.values():
                own = [index for index, place in enumerate(places) if self._places[place] is file]
                numbers = [file.bands[places[index]] for index in own]
                read, values = _read(file, numbers, window), self._source.values_of(file.file, sensor.name)
                pixels[own] = values.apply(read, file.source, numbers)
            self._clouds.hide(sensor.name, pixels, window)
            bands[sensor.name] = pixels
        return Sample(self._source.name, bands)


def _read(file: OpenFile, indexes: Sequence[int], window: Window) -> NDArray[np.float32]:
    from rasterio.windows import Window as RasterioWindow

    area = RasterioWindow(window.column, window.row, window.width, window.height)
    with reading(shown(file.file.path)):
        if file.validity is not None:
            return in_float32(file.validity.read(file.source, indexes, area))
        return in_float32(np.stack([file.warped[index].read(1, window=area) for index in indexes]))


@contextmanager
def open_geo_scene(
    source: GeoSource,
    channels: ChannelTable,
    stated: Mapping[str, tuple[str, ...]],
    *,
    require_crs: bool = False,
    allowed: Sequence[str] = (),
) -> Iterator[GeoScene]:
    """Open the files of a scene on one grid.

    Args:
        source: The scene.
        channels: What is read of it.
        stated: The band order of each sensor, where the recipe states one.
        require_crs: Whether it must have a coordinate reference system.
        allowed: GDAL drivers besides those that are opened unasked.

    Raises:
        DataError: If a file cannot be read, bands are missing, grids cannot be joined, or there is no coordinate
            reference system and it is required.
    """
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    if not source.files:
        raise DataError(source.hint or "has no files", where=source.shown)
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with blamed_on(source.shown):
            files = [_open(file, channels, stated, stack, allowed) for file in source.files]
            used = [file for file in files if file.bands]
            for file in used:
                file.nodata = checked_values(source, file.file, file.source, file.bands)
            require_bands(
                channels,
                {place: file for file in used for place in file.bands},
                where=source.shown,
                hint=source.hint,
                names=[text for file in files for text in file.source.descriptions if text and file.file.bands is None],
            )
            reference = _reference(used, channels, source.reference)
            _check_grids(used, reference, source, require_crs=require_crs)
            for file in used:
                _add_views(file, reference, stack)
            stack.enter_context(rasterio.Env(GDAL_CACHEMAX=_cache_mb(used)))
            paths = () if source.acquired else (file.file.path for file in used)
            time, notices = scene_time(source.acquired, reference.source.tags())
            sources = tuple(dict.fromkeys([source.shown, *paths]))
            grid = replace(grid_of(reference.source), acquired=time, sources=sources)
            clouds = CloudLayers(source.clouds, reference.source, stack, allowed)
            scene = GeoScene(source, channels, used, grid, clouds, notices)
        yield scene


def _open(
    file: SceneFile,
    channels: ChannelTable,
    stated: Mapping[str, tuple[str, ...]],
    stack: ExitStack,
    allowed: Sequence[str],
) -> OpenFile:
    dataset = stack.enter_context(opened(file.path, allowed))
    with reading(shown(file.path)):
        found = _bands(file, dataset, channels, stated)
        return OpenFile(file, dataset, found, alpha=alpha_band(dataset, set(found.values())))


def _bands(
    file: SceneFile, dataset: Any, channels: ChannelTable, stated: Mapping[str, tuple[str, ...]]
) -> dict[tuple[str, str], int]:
    """Return which bands of a file the model wants, by their number."""
    descriptions, alpha, where = list(dataset.descriptions), alpha_band(dataset), shown(file.path)
    if file.bands is None:
        return name_bands(descriptions, channels, sensor=file.sensor, stated=stated, where=where, alpha=alpha)
    numbers = [*range(1, dataset.count + 1)]
    if len(file.bands) == dataset.count - 1 and alpha is not None:
        numbers.remove(alpha)
    if len(file.bands) != len(numbers):
        what = f"has {dataset.count} bands, but {len(file.bands)} are named for it: {', '.join(file.bands)}"
        raise DataError(what, where=where, fix="correct `bands` in data.scenes")
    said = contradiction(file.bands, [descriptions[number - 1] for number in numbers])
    if said is not None:
        called = ", ".join(str(descriptions[number - 1]) for number in numbers)
        what = f"calls its bands {called}; the recipe calls them {', '.join(file.bands)}: {said}"
        raise DataError(what, where=where, fix="correct `bands` in data.scenes (--set), or the file's names")
    found = name_bands(list(file.bands), channels, sensor=file.sensor, stated=stated, where=where)
    return {place: numbers[index - 1] for place, index in found.items()}


def _reference(files: Sequence[OpenFile], channels: ChannelTable, sensor: str | None) -> OpenFile:
    """Return the file whose grid the scene takes.

    Of the named sensor, else of all, it is the one with the smallest pixels; where several have those, one of a sensor
    that makes a natural-looking picture, because that is what people compare masks with.
    """
    own = [file for file in files if sensor in {name for name, _ in file.bands}] or list(files)
    smallest = min(_pixel_area(file.source) for file in own)
    finest = [file for file in own if _pixel_area(file.source) <= 1.01 * smallest]
    pictures = {known.name for known in channels.sensors if known.rgb}
    return next((file for file in finest if pictures & {name for name, _ in file.bands}), finest[0])


def _pixel_area(dataset: Any) -> float:
    a, b, _, d, e, _ = tuple(dataset.transform)[:6]
    metres = METRES_PER_DEGREE if dataset.crs and dataset.crs.is_geographic else 1.0
    return float(abs(a * e - b * d) * metres**2)


def _check_grids(files: Sequence[OpenFile], reference: OpenFile, source: GeoSource, *, require_crs: bool) -> None:
    for file in files:
        dataset = file.source
        placed = dataset.crs is not None or not dataset.transform.is_identity
        if not placed and (dataset.gcps[0] or dataset.rpcs):
            what = "is located by ground control points only, so it is not terrain-corrected"
            raise DataError(
                what, where=shown(file.file.path), fix="terrain-correct it first, e.g. with gdalwarp or SNAP"
            )
        if _same_grid(dataset, reference.source):
            continue
        if None in (dataset.crs, reference.source.crs):
            other = shown(reference.file.path)
            raise DataError(
                f"lies on another grid than {other}, and one of them has no coordinate reference system",
                where=shown(file.file.path),
                fix="assign it with gdal_edit.py -a_srs, or bring the files to one grid",
            )
        shared = share_ground(grid_of(reference.source), grid_of(dataset))
        if shared is None:
            other = shown(reference.file.path)
            what = f"lies in a coordinate reference system from which no transformation leads to that of {other}"
            raise DataError(what, where=shown(file.file.path), fix="bring the files to one system")
        if not shared:
            what = f"does not overlap {shown(reference.file.path)}, so the two are no scene"
            fix = "correct the patterns in data.scenes, or the files' coordinates"
            raise DataError(what, where=shown(file.file.path), fix=fix)
    if require_crs and reference.source.crs is None:
        fix = "assign it with gdal_edit.py -a_srs, or leave out --require-crs"
        raise DataError("has no coordinate reference system", where=source.shown, fix=fix)


def _same_grid(one: Any, other: Any) -> bool:
    if (one.height, one.width) != (other.height, other.width) or one.crs != other.crs:
        return False
    return corner_distance(grid_of(one), grid_of(other)) <= GRID_TOLERANCE


def _add_views(file: OpenFile, reference: OpenFile, stack: ExitStack) -> None:
    """Have a file read on the reference grid: in place where it lies on it, else by views of its bands.

    Missing pixels take no part in resampling, band by band: GDAL weighs the others alone.
    """
    from rasterio.enums import Resampling
    from rasterio.vrt import WarpedVRT

    numbers = sorted(set(file.bands.values()))
    validity = Validity.of(file.source, alpha=file.alpha, stated=file.nodata)
    with reading(shown(file.file.path)):
        if _same_grid(file.source, reference.source):
            file.validity = validity
            return
        grid = grid_of(reference.source)
        for number in numbers:
            warped = WarpedVRT(
                stack.enter_context(validity.view(file.source, [number])),
                src_crs=warp_crs(grid_of(file.source), grid),
                crs=grid.rasterio_crs,
                transform=grid.affine,
                width=grid.width,
                height=grid.height,
                resampling=Resampling[file.file.resampling],
                src_nodata=float("nan"),
                nodata=float("nan"),  # also what lies outside the file
                dtype="float32",
            )
            file.warped[number] = stack.enter_context(warped)


def _cache_mb(files: Sequence[OpenFile]) -> int:
    """Return the cache that two rows of blocks of all bands need, so that each block is decoded about once."""
    total = 0
    for file in files:
        rows = max(height for height, _ in file.source.block_shapes)
        size = max(np.dtype(kind).itemsize for kind in file.source.dtypes)
        total += 2 * rows * file.source.width * size * len(file.bands)
    return int(np.clip(total / 2**20, *CACHE_MB))
