"""Reads windows of a scene: all bands on one grid, warped on the fly where files lie on another."""

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsss_adapters.geo_scenes.bands import name_bands, require_bands
from wsss_adapters.geo_scenes.cloud_layers import CloudLayers
from wsss_adapters.geo_scenes.source import REMOTE, GeoSource, SceneFile
from wsss_adapters.geotiff.grid import SceneGrid, grid_of, share_ground
from wsss_adapters.geotiff.sites import GRID_TOLERANCE, corner_distance
from wsss_toolkit.domain import ChannelTable, Sample, Window
from wsss_toolkit.errors import DataError

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
    view: Any = None
    """What windows are read from: the data set, or a warped view of it on the reference grid."""
    nodata: float | None = None
    """The number that means "no data" in it, where the recipe or the product says it."""


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
    ) -> None:
        self.grid, self._source, self._channels, self._clouds = grid, source, channels, clouds
        self._places = {place: file for file in reversed(files) for place in file.bands}
        self.height, self.width = grid.height, grid.width
        self.sensors = tuple(
            sensor.name for sensor in channels.sensors if (sensor.name, sensor.bands[0]) in self._places
        )
        self.notices = () if grid.crs else ("has no coordinate reference system, so its mask has none either",)

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
    from rasterio.errors import RasterioError
    from rasterio.windows import Window as RasterioWindow

    area = RasterioWindow(window.column, window.row, window.width, window.height)
    try:
        stored = file.view.read(list(indexes), window=area, masked=True)
    except RasterioError as error:
        raise unreadable(file.file.path, error) from error
    with np.errstate(over="ignore"):  # a float64 too large for float32 becomes infinite, then missing
        values: NDArray[np.float32] = np.array(stored.data, dtype=np.float32)
    missing = np.ma.getmaskarray(stored) | ~np.isfinite(values)
    if file.view is file.source and file.nodata is not None:
        missing |= values == np.float32(file.nodata)
    values[missing] = np.nan
    return values


@contextmanager
def open_geo_scene(
    source: GeoSource, channels: ChannelTable, stated: Mapping[str, tuple[str, ...]], *, require_crs: bool = False
) -> Iterator[GeoScene]:
    """Open the files of a scene on one grid; `stated` is the band order of each sensor, where the recipe states one.

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
        files = [_open(file, channels, stated, stack) for file in source.files]
        used = [file for file in files if file.bands]
        for file in used:
            _check_values(file, source)
        require_bands(
            channels, {place: file for file in used for place in file.bands}, where=source.shown, hint=source.hint
        )
        reference = _reference(used, channels, source.reference)
        _check_grids(used, reference, source, require_crs=require_crs)
        for file in used:
            file.view = file.source if _same_grid(file.source, reference.source) else _warped(file, reference, stack)
        stack.enter_context(rasterio.Env(GDAL_CACHEMAX=_cache_mb(used)))
        paths = () if source.acquired else (file.file.path for file in used)
        acquired = source.acquired or _acquired(reference.source)
        sources = tuple(dict.fromkeys([source.shown, *paths]))
        grid = replace(grid_of(reference.source), acquired=acquired, sources=sources)
        clouds = CloudLayers(source.clouds, reference.source, stack)
        yield GeoScene(source, channels, used, grid, clouds)


def _open(file: SceneFile, channels: ChannelTable, stated: Mapping[str, tuple[str, ...]], stack: ExitStack) -> OpenFile:
    import rasterio
    from rasterio.errors import RasterioError

    if not REMOTE.match(file.path) and not Path(file.path).is_file():
        raise DataError("no such file", where=file.path)
    try:
        dataset = stack.enter_context(rasterio.open(file.path))
    except RasterioError as error:
        raise unreadable(file.path, error) from error
    descriptions = list(dataset.descriptions)
    if file.bands is not None:
        if len(file.bands) != dataset.count:
            what = f"has {dataset.count} bands, but {len(file.bands)} are named for it: {', '.join(file.bands)}"
            raise DataError(what, where=file.path, fix="correct `bands` in data.scenes")
        descriptions = list(file.bands)
    found = name_bands(descriptions, channels, sensor=file.sensor, stated=stated, where=file.path)
    return OpenFile(file, dataset, found)


def _check_values(file: OpenFile, source: GeoSource) -> None:
    """Refuse scale tags that nobody said what to do with, of the bands that the model wants."""
    for sensor in dict.fromkeys(name for name, _ in file.bands):
        values = source.values_of(file.file, sensor)
        numbers = [number for (name, _), number in file.bands.items() if name == sensor]
        values.check(file.source, numbers, file.file.path, f"data.scenes.sensors.{sensor}")
        if values.nodata is not None:
            file.nodata = values.nodata


def unreadable(path: str, error: Exception) -> DataError:
    """Return the error for a file that GDAL cannot open or read."""
    cause = " ".join(str(error.__cause__ or error).split())
    return DataError(f"not a readable raster, truncated or damaged ({cause})", where=path, fix="copy it again")


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
            raise DataError(what, where=file.file.path, fix="terrain-correct it first, e.g. with gdalwarp or SNAP")
        if _same_grid(dataset, reference.source):
            continue
        if None in (dataset.crs, reference.source.crs):
            raise DataError(
                f"lies on another grid than {reference.file.path}, and one of them has no coordinate reference system",
                where=file.file.path,
                fix="assign it with gdal_edit.py -a_srs, or bring the files to one grid",
            )
        if not share_ground(grid_of(reference.source), grid_of(dataset)):
            what = f"does not overlap {reference.file.path}, so the two are no scene"
            fix = "correct the patterns in data.scenes, or the files' coordinates"
            raise DataError(what, where=file.file.path, fix=fix)
    if require_crs and reference.source.crs is None:
        fix = "assign it with gdal_edit.py -a_srs, or leave out --require-crs"
        raise DataError("has no coordinate reference system", where=source.shown, fix=fix)


def _same_grid(one: Any, other: Any) -> bool:
    if (one.height, one.width) != (other.height, other.width) or one.crs != other.crs:
        return False
    return corner_distance(grid_of(one), grid_of(other)) <= GRID_TOLERANCE


def _warped(file: OpenFile, reference: OpenFile, stack: ExitStack) -> Any:
    """Return a view of the file on the reference grid.

    Missing pixels take no part in resampling: GDAL weighs the others alone. They are those that equal the file's
    nodata value, or NaN; a file of whole numbers that names none has none.
    """
    from rasterio.enums import Resampling
    from rasterio.errors import RasterioError
    from rasterio.vrt import WarpedVRT

    dataset, grid = file.source, reference.source
    missing = file.nodata if file.nodata is not None else dataset.nodata
    floating = all(np.dtype(kind).kind == "f" for kind in dataset.dtypes)
    if missing is None and floating:
        missing = float("nan")
    try:
        view = stack.enter_context(
            WarpedVRT(
                dataset,
                crs=grid.crs,
                transform=grid.transform,
                width=grid.width,
                height=grid.height,
                resampling=Resampling[file.file.resampling],
                src_nodata=missing,
                nodata=float("nan"),  # also what lies outside the file
                dtype="float32",
            )
        )
    except (RasterioError, ValueError) as error:
        raise unreadable(file.file.path, error) from error
    return view


def _cache_mb(files: Sequence[OpenFile]) -> int:
    """Return the cache that two rows of blocks of all bands need, so that each block is decoded about once."""
    total = 0
    for file in files:
        rows = max(height for height, _ in file.source.block_shapes)
        size = max(np.dtype(kind).itemsize for kind in file.source.dtypes)
        total += 2 * rows * file.source.width * size * len(file.bands)
    return int(np.clip(total / 2**20, *CACHE_MB))


def _acquired(dataset: Any) -> str | None:
    """Return the acquisition time that a file's metadata state."""
    tags = dataset.tags()
    for name in ("ACQUISITIONDATETIME", "TIFFTAG_DATETIME", "wsss_acquired", "datetime"):
        match = re.match(r"(\d{4})[:-](\d\d)[:-](\d\d)[ T](\d\d:\d\d:\d\d)", tags.get(name, ""))
        if match is not None:
            return f"{match[1]}-{match[2]}-{match[3]}T{match[4]}Z"
    return None
