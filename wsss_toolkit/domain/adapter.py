"""The contract between a domain and the core, and how an adapter is found."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from wsss_toolkit.domain.fingerprint import Fingerprint
from wsss_toolkit.domain.sample import ChannelTable, ClassTable, Sample, Sensor
from wsss_toolkit.errors import UsageError, WsssError, blamed_on, did_you_mean

GROUP = "wsss.adapters"
"""The entry-point group in which packages publish their adapters."""


class AdapterOptions(BaseModel):
    """The `data` section of a recipe; each adapter subclasses it with the options that it reads."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    adapter: str
    """The name under which the adapter is registered."""


@runtime_checkable
class Adapter(Protocol):
    """Reads one domain's images and writes masks in that domain's format.

    The constructor takes the validated `Options` and touches no file. Every method that does raises
    `wsss_toolkit.errors.DataError` naming the file, the cause and the remedy.
    """

    Options: ClassVar[type[AdapterOptions]]

    def __init__(self, options: AdapterOptions) -> None:
        """Keep the options; read nothing yet."""

    @property
    def classes(self) -> ClassTable:
        """The classes, in the order of mask values."""

    @property
    def sensors(self) -> tuple[Sensor, ...]:
        """Every sensor and band on offer; may look into the data to find band names."""

    @property
    def notices(self) -> tuple[str, ...]:
        """Sentences that must stand beside every figure, such as "Synthetic data"; often empty."""

    def prepare(self) -> None:
        """Download, unpack or generate what is missing, where the options allow it; else check that it is there."""

    def fingerprint(self) -> Fingerprint | str:
        """Return what the data are, see `wsss_toolkit.domain.fingerprint`, which also makes it.

        A text that changes when options or files change does as well; any change then makes the whole run stale.
        """

    def splits(self) -> Mapping[str, tuple[str, ...]]:
        """Return the image keys of each split (`train`, `val`, `test`, ...), disjoint, sorted, stable.

        Keys match ``[A-Za-z0-9._-]+`` and stay distinct when case is ignored, because files are named after them.
        """

    def whole(self, split: str) -> tuple[str, ...]:
        """Return the keys of the whole images behind a split: masks are exported for these.

        They are the split's own keys unless its images are crops of larger ones. `read` and `write_mask`
        accept them too.
        """

    def read(self, key: str, channels: ChannelTable) -> Sample:
        """Read the selected bands of one image, in the order of `channels`."""

    def read_mask(self, key: str) -> NDArray[np.uint8] | None:
        """Read the ground truth of one image: uint8 `h w`, class indices and 255; None where there is none.

        The core calls this in label derivation and in evaluation, nowhere else.
        """

    def write_mask(
        self,
        path: Path,
        key: str,
        mask: NDArray[np.uint8],
        confidence: NDArray[np.uint8] | None,
        tags: Mapping[str, str],
    ) -> Path:
        """Write a mask of image `key` in the domain's format: an 8-bit index image that Pillow opens (TIFF or PNG).

        The core reads pseudo-masks back to train the segmentation network on them.

        Args:
            path: Where to write, without a suffix: the adapter adds its own.
            key: The image that the mask belongs to; its size and position are taken over.
            mask: uint8 `h w`, class indices and 255.
            confidence: uint8 `h w` in 0..255 written beside the mask as an 8-bit image that Pillow opens, or None:
                ``NAME.confidence.png`` beside ``NAME.png``. The core may weigh pixels of pseudo-masks by it.
            tags: Provenance to store in the file.

        Returns:
            The path of the mask that was written.
        """


@runtime_checkable
class LabelledAdapter(Protocol):
    """An adapter whose data set has image-level labels of its own: class folders, annotation files, tables.

    Recipes choose them with `labels: {source: dataset}`.
    """

    def image_labels(self, key: str) -> tuple[str, ...] | None:
        """Return the names of the classes that an image shows, without looking at any mask.

        Returns:
            Names of `ClassTable.label_names`, empty where the data set says that the image shows none of them; None
            where it says nothing of this image.

        Raises:
            DataError: If an annotation file is missing or damaged.
        """


@runtime_checkable
class PreparingAdapter(Protocol):
    """An adapter whose `prepare` makes data or fetches them."""

    @property
    def prepared(self) -> bool:
        """Whether nothing is left to make or to fetch, so that images can be read."""


@runtime_checkable
class ComparingAdapter(Protocol):
    """An adapter that can tell whether splits share what they should not."""

    def alike_across_splits(self) -> tuple[str, ...]:
        """Return sentences on images in two splits that are the same or nearly so; reads all of them."""


@runtime_checkable
class SensorAdapter(Protocol):
    """An adapter that knows which sensors an image has without reading it, where some images may lack one."""

    def sensors_of(self, key: str) -> tuple[str, ...]:
        """Return the names of the sensors that have a file for an image."""


@runtime_checkable
class AugmentingAdapter(Protocol):
    """An adapter with random changes of its own for training images, beyond the core's flips and quarter turns."""

    @property
    def augments(self) -> bool:
        """Whether the options ask for any."""

    def augment(
        self, sample: Sample, mask: NDArray[np.uint8] | None, random: np.random.Generator
    ) -> tuple[Sample, NDArray[np.uint8] | None]:
        """Change an image, and its pseudo-mask in the same way, at random.

        Args:
            sample: From `read`; NaN where a pixel is missing.
            mask: A pseudo-mask `h w`, class indices and 255; None while the classifier trains.
            random: The only source of chance.

        Returns:
            Image and mask of the same size as each other; pixels that come from outside the image are NaN and 255.
        """


@dataclass(frozen=True, slots=True)
class Starter:
    """A `data` section for a folder that nobody has written a recipe for yet, and what a first recipe depends on."""

    found: tuple[str, ...]
    """Sentences about what lies there."""
    data: Mapping[str, Any]
    """The `data` section without `adapter`, as plain YAML values, in the order to write them."""
    comments: Mapping[str, str]
    """A remark on keys of `data`, by key."""
    scales: Mapping[str, Literal["imagenet", "zscore"]]
    """`channels.SENSOR.scale` of each sensor."""
    labels: Literal["dataset", "mask_coverage"]
    """`labels.source`."""
    splits: Mapping[str, int]
    """Number of training images in each split."""
    size: tuple[int, int]
    """Height and width in pixels of a typical image."""
    same_size: bool
    """Whether all images have that size."""
    crops: bool
    """Whether images are crops of larger ones, which are labelled at their own scale."""
    classes: tuple[str, ...]
    """Names of the classes that have a label."""
    background: bool
    """Whether there is a class for what is none of them."""
    truth: tuple[str, ...]
    """Splits in which every image has a mask."""


@runtime_checkable
class StarterAdapter(Protocol):
    """An adapter that can look at a folder without a recipe."""

    @classmethod
    def starter(cls, folder: Path, masks: Path | None) -> Starter:
        """Look at a folder, `data.root` of the recipe, and propose a `data` section; the user may name one of masks.

        Raises:
            WsssError: If no recipe can be made of it; one line that says what to mend.
        """


def installed_adapters() -> dict[str, EntryPoint]:
    """Return the registered adapters by name, none of them loaded."""
    return {point.name: point for point in sorted(entry_points(group=GROUP), key=lambda point: point.name)}


def find_adapter(name: str) -> type[Adapter]:
    """Load the adapter that is registered as `name`; the others stay unloaded.

    Raises:
        UsageError: If no adapter has that name; the error lists those installed.
        WsssError: If the adapter's own dependencies are missing.
    """
    found = installed_adapters()
    if name not in found:
        hint = did_you_mean(name, found, f"installed: {', '.join(found) or 'none'}")
        raise UsageError(f"no adapter is called {name!r}", fix=hint)
    try:
        return cast(type[Adapter], found[name].load())
    except ImportError as error:
        what = f"adapter {name!r} needs the package {error.name!r}, which is not installed"
        fix = "install the extra that its documentation names, e.g. pip install 'wsss-toolkit[remote-sensing]'"
        raise WsssError(what, fix=fix) from error


class Reader(Protocol):
    """What gives samples by key: an adapter, or what stands between it and a data set."""

    def read(self, key: str, channels: ChannelTable) -> Sample:
        """Read the selected bands of one image."""


def read_sample(reader: Reader, key: str, channels: ChannelTable) -> Sample:
    """Read one image; the core does it here alone, so that whatever a library raises names the image.

    Raises:
        DataError: If it cannot be read.
    """
    with blamed_on(f"image {key!r}"):
        return reader.read(key, channels)


def blamed_on_data(adapter: str) -> AbstractContextManager[None]:
    """Turn whatever a library raises while an adapter looks at its data as a whole into a `DataError`."""
    return blamed_on(f"data of the adapter {adapter!r}", "see --debug for the traceback, and look at the files")


def find_bands(sensor: Sensor, bands: Sequence[str]) -> Sensor:
    """Select bands of a sensor by name, in the order asked for.

    Raises:
        UsageError: If the sensor lacks a band; the error names the bands it has.
    """
    for band in bands:
        if band not in sensor.bands:
            raise UsageError(f"sensor {sensor.name!r} has no band {band!r}", fix=f"it has {', '.join(sensor.bands)}")
    rgb = sensor.rgb if sensor.rgb and set(sensor.rgb) <= set(bands) else None
    return Sensor(sensor.name, tuple(bands), rgb)
