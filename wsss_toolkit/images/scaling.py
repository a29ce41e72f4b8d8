"""From sensor units to network input: band scaling with recorded statistics."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsss_toolkit.domain import ChannelTable, Sample, Sensor
from wsss_toolkit.errors import DataError, blamed_on
from wsss_toolkit.files import write_json
from wsss_toolkit.images.distribution import LEVELS, PixelSample, Quantiles
from wsss_toolkit.images.input_faults import input_faults
from wsss_toolkit.recipe.schema import Channels, SensorChannels
from wsss_toolkit.state import read_state

# Mean and standard deviation of ImageNet's training images, as shares of 255 (torchvision's documentation).
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
Prepared = tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]
"""What `Preprocessing` returns: scaled image `c h w`, valid pixels `h w`, present sensors `s`."""

FLOAT32_MAX = float(np.finfo(np.float32).max)

PREPROCESSING_FILE = "preprocessing.json"
"""The file in a run's stage `train` that says how its images were scaled."""

CLIPPED = LEVELS.index(0.001), LEVELS.index(0.999)
"""The quantiles of training images that `scale: zscore` clips at, so that no saturated pixel outweighs all others."""


@dataclass(frozen=True, slots=True)
class BandScaling:
    """The affine map of one band: ``(clip(x, low, high) - offset) / scale``."""

    low: float
    """Values below become this, in sensor units."""
    high: float
    """Values above become this."""
    offset: float
    """Subtracted after clipping."""
    scale: float
    """Divides what is left; positive."""

    def __call__(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scale values of the band."""
        scaled: NDArray[np.float64] = (np.clip(values, self.low, self.high) - self.offset) / self.scale
        return scaled


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """Everything that turns a `Sample` into network input; stored beside the trained model.

    >>> channels = ChannelTable((Sensor("radar", ("VV",)),))
    >>> prepare = Preprocessing(channels, (BandScaling(-25.0, 0.0, -25.0, 25.0),), "early")
    >>> image, valid, present = prepare(Sample("a", {"radar": np.array([[[-25.0, -5.0, np.nan]]], np.float32)}))
    >>> image.tolist(), valid.tolist(), present.tolist()
    ([[[0.0, 0.800000011920929, 0.0]]], [[True, True, False]], [True])
    """

    channels: ChannelTable
    """The selected sensors and bands, in input order."""
    bands: tuple[BandScaling, ...]
    """One scaling per channel, in the same order."""
    fusion: str
    """``early`` or ``per_sensor``; the latter accepts samples that lack a sensor."""
    quantiles: Quantiles | None = None
    """How each channel's values were distributed in the training images; None in runs of older versions."""

    def __call__(self, sample: Sample) -> Prepared:
        """Scale and stack the bands of a sample.

        Returns:
            The image, float32 `c h w` with 0 where a pixel is missing; the pixels that hold data in at least
            one sensor, bool `h w`; and the sensors that hold any data, bool `s`.

        Raises:
            DataError: If a sensor is absent and the fusion is ``early``.
        """
        height, width = sample.size
        image = np.zeros((len(self.channels), height, width), np.float32)
        valid = np.zeros((height, width), np.bool_)
        present = np.zeros(len(self.channels.sensors), np.bool_)
        start = 0
        for index, sensor in enumerate(self.channels.sensors):
            stop = start + len(sensor.bands)
            values = sample.bands.get(sensor.name)
            if values is None and self.fusion == "early":
                fix = "use `fusion: per_sensor`, which allows a missing sensor"
                raise DataError(f"image has no {sensor.name} bands", where=sample.key, fix=fix)
            if values is not None:
                finite = np.isfinite(values)
                known = finite.all(axis=0)
                image[start:stop] = np.where(finite, self._scale(values, start, stop), 0.0)
                valid |= known
                present[index] = known.any()
            start = stop
        return image, valid, present

    def _scale(self, values: NDArray[np.float32], start: int, stop: int) -> NDArray[np.float32]:
        low, high, offset, scale = (
            np.array([getattr(band, name) for band in self.bands[start:stop]], np.float32)[:, None, None]
            for name in ("low", "high", "offset", "scale")
        )
        scaled: NDArray[np.float32] = (np.clip(values, low, high) - offset) / scale
        return scaled

    def save(self, path: Path) -> None:
        """Write as JSON."""
        write_json(path, {**asdict(self), "quantile_levels": LEVELS})

    @classmethod
    def load(cls, path: Path) -> "Preprocessing":
        """Read what `save` wrote; a `DataError` says what is wrong with the file."""
        fix = f"delete the folder {path.parent} and run the recipe again"
        stored = read_state(path, dict[str, Any], fix)
        with blamed_on(str(path), fix):
            found = stored["channels"]["sensors"]
            sensors = tuple(Sensor(s["name"], tuple(s["bands"]), tuple(s["rgb"]) if s["rgb"] else None) for s in found)
            bands = tuple(BandScaling(**{k: float(v) for k, v in band.items()}) for band in stored["bands"])
            if len(bands) != sum(len(sensor.bands) for sensor in sensors) or any(band.scale <= 0 for band in bands):
                raise ValueError("bands and their scales do not fit")
            known = stored.get("quantiles") if tuple(stored.get("quantile_levels", ())) == LEVELS else None
            quantiles = None if known is None else tuple(tuple(map(float, band)) for band in known)
            if quantiles is not None and [len(band) for band in quantiles] != [len(LEVELS)] * len(bands):
                raise ValueError("bands and their quantiles do not fit")
            return cls(ChannelTable(sensors), bands, stored["fusion"], quantiles)


def preprocessing(section: Channels, channels: ChannelTable, samples: Iterable[Sample]) -> Preprocessing:
    """Resolve the recipe's scales of the selected channels into numbers, and look at the training images, `samples`.

    Raises:
        DataError: If statistics are to be measured and no pixel holds data, or a scale makes inputs of the training
            images constant or absurd.
    """
    pairs = [(section.sensors[sensor.name], sensor) for sensor in channels.sensors]
    measure = [sensor for part, sensor in pairs if part.scale in ("zscore", "minmax") and part.statistics == "measured"]
    look = PixelSample(channels)
    measured = measure_statistics(measure, look.watch(samples))
    quantiles = look.quantiles()
    bands = [band for part, sensor in pairs for band in _sensor_scaling(part, sensor, measured)]
    scales = [part.scale for part, sensor in pairs for _ in sensor.bands]
    for index, (scale, known) in enumerate(zip(scales, quantiles or (), strict=quantiles is not None)):
        if scale == "zscore" and known:
            bands[index] = _clipped(bands[index], known)
    prepare = Preprocessing(channels, tuple(bands), section.fusion, quantiles)
    if faults := input_faults(prepare, [part.scale for part, _ in pairs]):
        raise DataError("; ".join(faults))
    return prepare


def _clipped(band: BandScaling, known: Sequence[float]) -> BandScaling:
    """Return the scaling with bounds at outer quantiles, or at the extremes where nearly all pixels are alike."""
    low, high = (known[index] for index in CLIPPED)
    if low == high:
        low, high = known[0], known[-1]
    return replace(band, low=low, high=high)


def _sensor_scaling(
    section: SensorChannels, sensor: Sensor, measured: Mapping[str, Mapping[str, NDArray[np.float64]]]
) -> list[BandScaling]:
    unbounded = (-FLOAT32_MAX, FLOAT32_MAX)  # finite, because JSON has no infinity
    count = len(sensor.bands)
    if section.scale == "reflectance":
        return [BandScaling(0.0, 10000.0, 0.0, 10000.0)] * count
    if section.scale == "decibel":
        return [BandScaling(-25.0, 0.0, -25.0, 25.0)] * count
    if section.scale == "imagenet":
        if count != 3:
            raise DataError(f"scale imagenet is for 3 bands (red, green, blue), sensor {sensor.name} has {count}")
        natural = zip(IMAGENET_MEAN, IMAGENET_STD, strict=True)
        return [BandScaling(*unbounded, 255 * mean, 255 * std) for mean, std in natural]
    if section.scale == "symmetric":
        return [BandScaling(*unbounded, 127.5, 127.5)] * count
    given = section.statistics
    values: Mapping[str, object] = measured[sensor.name] if given == "measured" else given.model_dump()
    first, second = ("mean", "std") if section.scale == "zscore" else ("min", "max")
    pairs = list(zip(np.asarray(values[first], float), np.asarray(values[second], float), strict=True))
    if len(pairs) != count:
        raise DataError(f"{len(pairs)} statistics for {count} bands of {sensor.name}", fix="give one number per band")
    if section.scale == "zscore":
        return [BandScaling(*unbounded, float(mean), float(std) or 1.0) for mean, std in pairs]
    return [BandScaling(float(low), float(high), float(low), float(high - low) or 1.0) for low, high in pairs]


def measure_statistics(
    sensors: Iterable[Sensor], samples: Iterable[Sample]
) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Mean, standard deviation, minimum and maximum of every band over the pixels that hold data.

    One pass; images are merged by Chan, Golub & LeVeque's (1979) pairwise update, which stays exact for large means.

    Raises:
        DataError: If a sensor has no pixel with data.

    >>> pixels = np.array([[[1.0, 3.0, np.nan]]], np.float32)
    >>> found = measure_statistics([Sensor("radar", ("VV",))], [Sample("a", {"radar": pixels})])
    >>> float(found["radar"]["mean"][0]), float(found["radar"]["std"][0])
    (2.0, 1.0)
    """
    wanted = list(sensors)
    state: dict[str, dict[str, NDArray[np.float64]]] = {}
    for sensor in wanted:
        zeros = np.zeros(len(sensor.bands))
        state[sensor.name] = {"n": zeros, "mean": zeros, "m2": zeros, "min": zeros + np.inf, "max": zeros - np.inf}
    for sample in samples:
        for sensor in wanted:
            if sensor.name in sample.bands:
                _merge(state[sensor.name], sample.bands[sensor.name])
    for sensor in wanted:
        found = state[sensor.name]
        if not found["n"].all():
            raise DataError(f"no pixel of sensor {sensor.name} holds data in the training split", fix="check its files")
        found["std"] = np.sqrt(found["m2"] / found["n"])
    return state


def _merge(state: dict[str, NDArray[np.float64]], values: NDArray[np.float32]) -> None:
    pixels = values.reshape(len(values), -1).astype(np.float64)
    finite = np.isfinite(pixels)
    count = finite.sum(axis=1).astype(np.float64)
    seen = count > 0
    mean = np.where(finite, pixels, 0.0).sum(axis=1) / np.maximum(count, 1)
    m2 = np.where(finite, (pixels - mean[:, None]) ** 2, 0.0).sum(axis=1)
    total = state["n"] + count
    delta = np.where(seen, mean - state["mean"], 0.0)
    share = count / np.maximum(total, 1)
    state["m2"] = state["m2"] + m2 + delta**2 * state["n"] * share
    state["mean"] = state["mean"] + delta * share
    state["n"] = total
    state["min"] = np.minimum(state["min"], np.where(finite, pixels, np.inf).min(axis=1))
    state["max"] = np.maximum(state["max"], np.where(finite, pixels, -np.inf).max(axis=1))
