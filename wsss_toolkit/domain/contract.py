"""The checks that any adapter's author can run: `check_adapter(MyAdapter(options), tmp_path)` in a test.

Each check fails with an AssertionError whose sentence says what the adapter promised and did not keep.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsss_toolkit.domain.adapter import Adapter, AdapterOptions, AugmentingAdapter, LabelledAdapter
from wsss_toolkit.domain.fingerprint import Fingerprint
from wsss_toolkit.domain.sample import IGNORE_INDEX, ChannelTable, ClassTable, Sample, Sensor
from wsss_toolkit.errors import WsssError

SAFE_KEY = re.compile(r"[A-Za-z0-9._-]+")
"""What a key may consist of: files are named after it."""

METHODS = ("prepare", "fingerprint", "splits", "whole", "read", "read_mask", "write_mask")
"""What every adapter can do."""

ReadWritten = Callable[[Path], NDArray[np.uint8]]
"""Reads the mask `h w` back from a file that the adapter wrote."""


def check_adapter(
    adapter: Adapter, tmp_path: Path, *, images: int = 2, read_written: ReadWritten | None = None
) -> None:
    """Check everything that the core relies on.

    Args:
        adapter: The adapter, constructed with options under which its data can be found or made.
        tmp_path: An empty folder for masks.
        images: How many images of each split are read.
        read_written: Reads a mask that the adapter wrote; without it the round trip checks only that the
            files exist and that different masks make different files.

    Raises:
        AssertionError: If the adapter breaks the contract.
    """
    missing = [name for name in METHODS if not callable(getattr(adapter, name, None))]
    require(not missing, f"{type(adapter).__name__} lacks {', '.join(missing)}")
    options = getattr(adapter, "Options", None)
    described = isinstance(options, type) and issubclass(options, AdapterOptions)
    require(described, f"{type(adapter).__name__}.Options is not a subclass of AdapterOptions")
    adapter.prepare()
    _check_tables(adapter)
    splits = check_splits(adapter)
    _check_fingerprint(adapter)
    for split, keys in splits.items():
        for key in dict.fromkeys([*keys[:images], *adapter.whole(split)[:images]]):
            sample = check_read(adapter, key)
            check_mask(adapter, key, sample.size)
            check_labels(adapter, key)
            check_augment(adapter, sample)
    exported = next(iter(whole[0] for whole in map(adapter.whole, splits) if whole))
    check_write(adapter, exported, tmp_path, read_written)
    _check_unknown_key(adapter)


def check_splits(adapter: Adapter) -> Mapping[str, tuple[str, ...]]:
    """Check that splits are stable, sorted and disjoint, and that keys are safe as file names."""
    splits = adapter.splits()
    require(bool(splits), "splits() names no split")
    require(dict(splits) == dict(adapter.splits()), "splits() differs from one call to the next")
    for kind, groups in (("key", splits), ("whole image", {split: adapter.whole(split) for split in splits})):
        owners: dict[str, str] = {}
        for split, keys in groups.items():
            require(isinstance(keys, tuple), f"the {kind}s of split {split!r} are a {type(keys).__name__}, not a tuple")
            require(list(keys) == sorted(keys), f"the {kind}s of split {split!r} are not sorted")
            for key in keys:
                safe = SAFE_KEY.fullmatch(key) is not None and not key.startswith(".")
                require(safe, f"{kind} {key!r} of split {split!r} is not safe as a file name")
                other = owners.setdefault(key.casefold(), split)
                require(other == split, f"{kind} {key!r} is in the splits {other!r} and {split!r}")
            distinct = len({key.casefold() for key in keys}) == len(keys)
            require(distinct, f"{kind}s of split {split!r} repeat or differ in case only")
        require(bool(owners), f"no split has a {kind}")
    return splits


def check_read(adapter: Adapter, key: str) -> Sample:
    """Check that images are float32 with NaN for missing pixels, and channels come as they were asked for."""
    sensors = adapter.sensors
    sample = adapter.read(key, ChannelTable(sensors))
    # A subclass could smuggle a mask into training.
    require(type(sample) is Sample, f"read({key!r}) returns a {type(sample).__name__}, not a Sample")
    require(sample.key == key, f"read({key!r}) returns a sample with the key {sample.key!r}")
    require(bool(sample.bands), f"read({key!r}) returns no sensor")
    known = {sensor.name: sensor for sensor in sensors}
    for name, bands in sample.bands.items():
        require(name in known, f"read({key!r}) returns the sensor {name!r}, which was not asked for")
        require(bands.dtype == np.float32, f"sensor {name!r} of {key!r} is {bands.dtype}, not float32")
        require(bands.ndim == 3, f"sensor {name!r} of {key!r} has the shape {bands.shape}, not `c h w`")
        count = len(known[name].bands)
        require(len(bands) == count, f"sensor {name!r} of {key!r} has {len(bands)} bands, {count} were asked for")
        require(bands.shape[1:] == sample.size, f"the sensors of {key!r} differ in size")
        require(not np.isinf(bands).any(), f"sensor {name!r} of {key!r} holds infinite values; missing pixels are NaN")

    reversed_order = tuple(Sensor(sensor.name, sensor.bands[::-1]) for sensor in sensors[::-1])
    backwards = adapter.read(key, ChannelTable(reversed_order))
    for name, bands in sample.bands.items():
        require(name in backwards.bands, f"sensor {name!r} of {key!r} is missing when sensors are asked for in reverse")
        same = np.array_equal(backwards.bands[name], bands[::-1], equal_nan=True)
        require(same, f"sensor {name!r} of {key!r} ignores the order in which bands are asked for")
        alone = adapter.read(key, ChannelTable((Sensor(name, known[name].bands[-1:]),)))
        require(set(alone.bands) == {name}, f"read({key!r}) returns sensors that were not asked for")
        same = np.array_equal(alone.bands[name], bands[-1:], equal_nan=True)
        require(same, f"sensor {name!r} of {key!r} ignores which bands are asked for")
    return sample


def check_mask(adapter: Adapter, key: str, size: tuple[int, int]) -> None:
    """Check that ground truth, if there is any, is uint8 of the image's size with class indices and 255."""
    mask = adapter.read_mask(key)
    if mask is None:
        return
    require(mask.dtype == np.uint8, f"the mask of {key!r} is {mask.dtype}, not uint8")
    require(mask.shape == size, f"the mask of {key!r} is {mask.shape}, its image {size}")
    extra = sorted(set(np.unique(mask).tolist()) - set(range(len(adapter.classes.names))) - {IGNORE_INDEX})
    require(not extra, f"the mask of {key!r} holds {extra}, which are neither class indices nor 255")


def check_labels(adapter: Adapter, key: str) -> None:
    """Check that a data set's own labels, if there are any, name classes."""
    if isinstance(adapter, LabelledAdapter):
        shown = adapter.image_labels(key)
        require(shown is None or isinstance(shown, tuple), f"image_labels({key!r}) is a {type(shown).__name__}")
        unknown = sorted(set(shown or ()) - set(adapter.classes.label_names))
        require(not unknown, f"image_labels({key!r}) names {unknown}, which are no classes with a label")


def check_augment(adapter: Adapter, sample: Sample) -> None:
    """Check that an adapter's random changes, if any, repeat with the seed and keep image and mask together."""
    if not isinstance(adapter, AugmentingAdapter) or not adapter.augments:
        return
    mask = np.zeros(sample.size, np.uint8)
    for given in (mask, None):
        (changed, changed_mask), (again, _) = (
            adapter.augment(sample, given, np.random.default_rng(5)) for _ in range(2)
        )
        same = all(np.array_equal(bands, again.bands[name], equal_nan=True) for name, bands in changed.bands.items())
        require(same, f"augment of {sample.key!r} differs from one call to the next with the same seed")
        require(set(changed.bands) == set(sample.bands), f"augment of {sample.key!r} loses or adds sensors")
        require((changed_mask is None) == (given is None), f"augment of {sample.key!r} loses or adds the mask")
        if changed_mask is not None:
            require(changed_mask.shape == changed.size, f"augment of {sample.key!r} parts image and mask in size")
            require(changed_mask.dtype == np.uint8, f"augment of {sample.key!r} makes the mask {changed_mask.dtype}")


def check_write(adapter: Adapter, key: str, tmp_path: Path, read_written: ReadWritten | None) -> None:
    """Check that masks are written where they should be, come back unchanged, and refused if wrong."""
    height, width = adapter.read(key, ChannelTable(adapter.sensors)).size
    values = np.array([*range(len(adapter.classes.names)), IGNORE_INDEX], dtype=np.uint8)
    mask = values[(np.arange(height)[:, None] // 3 + np.arange(width)[None, :] // 3) % len(values)]
    kept = mask.copy()
    folder = tmp_path / "masks"
    written = adapter.write_mask(folder / key, key, mask, None, {"RUN": "contract"})
    require(written.is_file(), f"write_mask returns {written}, which is not there")
    require(written.parent == folder, f"write_mask was asked to write into {folder}, wrote {written}")
    require(written.name.startswith(key) and written.name != key, f"{written.name} is not {key!r} with a suffix")
    require(np.array_equal(mask, kept), "write_mask changes the array that it is given")
    if read_written is not None:
        back = read_written(written)
        require(np.array_equal(back, mask), "a mask does not come back from its file as it was written")

    content = written.read_bytes()
    again = adapter.write_mask(folder / key, key, mask[::-1].copy(), np.zeros_like(mask), {"RUN": "contract"})
    require(again == written, "write_mask names the same image's mask differently the second time")
    require(written.read_bytes() != content, "write_mask leaves an older mask in place")
    beside = written.with_suffix(f".confidence{written.suffix}")
    require(beside.is_file(), f"write_mask writes no confidence layer beside the mask as {beside.name}")

    obstacle = tmp_path / "obstacle"
    obstacle.write_text("a file where a folder is wanted")
    with refused("write_mask raises no WsssError where it cannot write"):
        adapter.write_mask(obstacle / key, key, mask, None, {})
    with refused("write_mask accepts a mask of another size than the image's", (ValueError, WsssError)):
        adapter.write_mask(folder / f"{key}-wrong", key, mask[:-1], None, {})


def _check_tables(adapter: Adapter) -> None:
    """Check classes, sensors and notices."""
    require(isinstance(adapter.classes, ClassTable), "classes is not a ClassTable")
    require(adapter.classes == adapter.classes, "classes differs from one call to the next")
    sensors = adapter.sensors
    require(isinstance(sensors, tuple) and bool(sensors), "sensors is not a tuple with at least one Sensor")
    names = [sensor.name for sensor in sensors]
    require(len(set(names)) == len(names), f"sensor names repeat: {names}")
    for sensor in sensors:
        outside = sorted(set(sensor.rgb or ()) - set(sensor.bands))
        require(not outside, f"rgb of sensor {sensor.name!r} names {outside}, which are not among its bands")
    notices = adapter.notices
    require(isinstance(notices, tuple) and all(notices), "notices is not a tuple of sentences")


def _check_fingerprint(adapter: Adapter) -> None:
    """Check that the fingerprint is stable, says something, and does not say where the data lie."""
    first = adapter.fingerprint()
    require(isinstance(first, str | Fingerprint) and bool(first), "fingerprint() is neither a Fingerprint nor a text")
    require(first == adapter.fingerprint(), "fingerprint() differs from one call to the next")
    if isinstance(first, Fingerprint):
        try:
            json.dumps([first.options, dict(first.found)])
        except (TypeError, ValueError) as error:
            require(False, f"fingerprint() holds what JSON does not know: {error}")
        require("root" not in first.options, "fingerprint() holds `root`: say Changes.NOTHING beside it in Options")
        far = sorted(name for name in (*first.images, *first.masks) if Path(name).is_absolute())
        require(not far, f"fingerprint() holds the absolute path {far[0] if far else ''}: make it relative to a root")


def _check_unknown_key(adapter: Adapter) -> None:
    """Check that a key that does not exist is refused in words."""
    broken, channels = "a key that does not exist raises no WsssError", ChannelTable(adapter.sensors)
    with refused(broken):
        adapter.read("no-such-image", channels)
    with refused(broken):
        adapter.read_mask("no-such-image")


@contextmanager
def refused(broken: str, errors: type[Exception] | tuple[type[Exception], ...] = WsssError) -> Iterator[None]:
    """Raise AssertionError unless the block raises one of some errors."""
    try:
        yield
    except errors:
        return
    raise AssertionError(broken)


def require(kept: bool, broken: str) -> None:
    """Raise AssertionError; unlike `assert`, under `python -O` too."""
    if not kept:
        raise AssertionError(broken)
