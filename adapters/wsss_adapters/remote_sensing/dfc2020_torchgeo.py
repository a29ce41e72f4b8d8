"""TorchGeo's copy of DFC2020, read and downloaded by TorchGeo itself (extra `remote-sensing`)."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from wsss_toolkit.domain import Sensor
from wsss_toolkit.errors import DataError, WsssError

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")


def download_lists(root: Path, *, download: bool) -> None:
    """Check that TorchGeo finds its copy; let it unpack or download what is missing.

    Raises:
        DataError: If the data are missing and `download` is false.
        WsssError: If TorchGeo is not installed or the download fails.
    """
    for split in SPLITS:
        for name in ("sentinel1", "sentinel2"):
            _open(root, name, split, download)
    _open_cached.cache_clear()
    _positions.cache_clear()


def read_image(root: Path, name: str, sensor: Sensor) -> NDArray[np.float32]:
    """Read one tile's bands through TorchGeo.

    Args:
        root: The folder that holds `dfc2020_s1s2`.
        name: The file name of the tile's mask, by which TorchGeo's lists know it.
        sensor: The sensor and its bands, in the order of the result.

    Returns:
        float32 `c h w`; NaN where a value is not finite.
    """
    split, index = _positions(root)[name]
    with _reading(root, name):
        image = _open_cached(root, sensor.name, split, sensor.bands, False)[index]["image"]
    values: NDArray[np.float32] = np.array(image.numpy(), dtype=np.float32)
    values[~np.isfinite(values)] = np.nan
    return values


def read_codes(root: Path, name: str) -> NDArray[np.int32]:
    """Read one tile's mask through TorchGeo: int32 `h w`, the file's own codes 0-10.

    Args:
        root: The folder that holds `dfc2020_s1s2`.
        name: The file name of the mask.
    """
    split, index = _positions(root)[name]
    with _reading(root, name):
        mask = _open_cached(root, "sentinel1", split, ("VV",), True)[index]["mask"]
    return np.asarray(mask.numpy(), dtype=np.int32).squeeze()


@lru_cache(maxsize=4)
def _positions(root: Path) -> dict[str, tuple[Split, int]]:
    """Return the split and the position in it of every tile, by the name of its mask."""
    return {
        str(name): (split, index)
        for split in SPLITS
        for index, name in enumerate(_open(root, "sentinel2", split, False).files)
    }


@lru_cache(maxsize=32)
def _open_cached(root: Path, sensor: str, split: Split, bands: tuple[str, ...], masks: bool) -> Any:
    return _open(root, sensor, split, False, bands, masks)


def _open(
    root: Path,
    sensor: str,
    split: Split,
    download: bool,
    bands: tuple[str, ...] | None = None,
    masks: bool = False,
) -> Any:
    """Construct TorchGeo's data set of one sensor and split.

    Its samples hold image and mask; without `masks` the mask's file is left unread, because only label
    derivation and evaluation may read ground truth.
    """
    try:
        # Importing TorchGeo brings third-party deprecation warnings that are not the user's to mend.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from torchgeo.datasets import (
                CopernicusBenchDFC2020S1,
                CopernicusBenchDFC2020S2,
                DatasetNotFoundError,
            )
    except ImportError as error:
        raise WsssError(
            f"TorchGeo's copy of DFC2020 needs the package {error.name!r}, which is not installed",
            fix="pip install 'wsss-toolkit[remote-sensing]'",
        ) from error

    kind: Any = {"sentinel1": CopernicusBenchDFC2020S1, "sentinel2": CopernicusBenchDFC2020S2}[sensor]
    if not masks:
        kind = type(f"{kind.__name__}ImagesOnly", (kind,), {"_load_mask": lambda self, path: {}})
    try:
        return kind(root=root, split=split, bands=bands, download=download)
    except DatasetNotFoundError as error:
        raise DataError(
            "DFC2020 not found: dfc2020_s1s2 is not there and `download` is false",
            where=str(root),
            fix="set `download: true`, or put TorchGeo's dfc2020.zip there",
        ) from error
    except (OSError, RuntimeError) as error:
        cause = (str(error).splitlines() or [type(error).__name__])[0]
        raise WsssError(
            f"TorchGeo could not provide DFC2020: {cause}",
            where=str(root),
            fix="check the network and the disk, remove a half-finished dfc2020.zip, and run again",
        ) from error


@contextmanager
def _reading(root: Path, name: str) -> Iterator[None]:
    """Turn a failure inside TorchGeo into an error that names the tile; its tiles lack a georeference."""
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            yield
    except RasterioError as error:
        raise DataError(
            f"tile {name} is missing, truncated or damaged ({str(error).splitlines()[0]})",
            where=str(root / "dfc2020_s1s2"),
            fix="remove the folder and download it again",
        ) from error
