"""Each test breaks one promise of an adapter in memory; the check must name that promise."""

from dataclasses import dataclass

import numpy as np
import pytest

from wsss_toolkit.domain import AdapterOptions, ChannelTable, ClassTable, Fingerprint, Sample, Sensor
from wsss_toolkit.domain.contract import check_adapter
from wsss_toolkit.errors import DataError, WsssError

OPTICAL = Sensor("optical", ("R", "G", "B"), ("R", "G", "B"))
RADAR = Sensor("radar", ("VV", "VH"))


class Kept:
    """An adapter that keeps the contract: pictures in memory, masks as .npy files."""

    Options = AdapterOptions

    def __init__(self, options):
        self.options = options

    classes = ClassTable(("cat", "dog"), ((1, 2, 3), (4, 5, 6)))
    sensors = (OPTICAL, RADAR)
    notices = ()

    def prepare(self):
        pass

    def fingerprint(self):
        return "f"

    def splits(self):
        return {"train": ("a", "b"), "val": ("c",)}

    def whole(self, split):
        return self.splits()[split]

    def _check(self, key):
        if key not in ("a", "b", "c"):
            raise DataError(f"no image {key}")

    def read(self, key, channels):
        self._check(key)
        levels = {"R": 0, "G": 1, "B": 2, "VV": 3, "VH": 4}
        return Sample(
            key,
            {
                sensor.name: np.stack([np.full((8, 9), levels[band], np.float32) for band in sensor.bands])
                for sensor in channels.sensors
            },
        )

    def read_mask(self, key):
        self._check(key)
        return np.full((8, 9), 255, np.uint8)

    def write_mask(self, path, key, mask, confidence, tags):
        if mask.shape != (8, 9):
            raise ValueError("wrong size")
        target = path.with_name(path.name + ".npy")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(target, mask)
            if confidence is not None:
                np.save(path.with_name(path.name + ".confidence.npy"), confidence)
        except OSError as error:
            raise WsssError("cannot write") from error
        return target


def check(adapter_type, tmp_path):
    check_adapter(adapter_type(AdapterOptions(adapter="kept")), tmp_path, read_written=np.load)


def test_an_adapter_that_keeps_the_contract_passes(tmp_path):
    check(Kept, tmp_path)


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ({}, "names no split"),
        ({"train": ["a", "b"]}, "are a list, not a tuple"),
        ({"train": ("b", "a")}, "are not sorted"),
        ({"train": ("a", "b"), "val": ("b",)}, "'b' is in the splits 'train' and 'val'"),
        ({"train": ("a/b",)}, "'a/b' of split 'train' is not safe"),
        ({"train": ("..",)}, r"'\.\.' of split 'train' is not safe"),
        ({"train": ("A", "a")}, "differ in case only"),
        ({"train": ()}, "no split has a key"),
    ],
)
def test_bad_splits(tmp_path, splits, message):
    class Broken(Kept):
        def splits(self):
            return splits

    with pytest.raises(AssertionError, match=message):
        check(Broken, tmp_path)


def test_changing_splits_and_fingerprints(tmp_path):
    class Moving(Kept):
        calls = 0

        def splits(self):
            self.calls += 1
            return {"train": ("a",) if self.calls % 2 else ("b",)}

    with pytest.raises(AssertionError, match=r"splits\(\) differs"):
        check(Moving, tmp_path)

    class Ticking(Kept):
        calls = 0

        def fingerprint(self):
            self.calls += 1
            return str(self.calls)

    with pytest.raises(AssertionError, match=r"fingerprint\(\) differs"):
        check(Ticking, tmp_path)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (5, "neither a Fingerprint nor a text"),
        ("", "neither a Fingerprint nor a text"),
        (Fingerprint({"root": "data"}), "holds `root`"),
        (Fingerprint({}, images={"/data/a.png": "0"}), "holds the absolute path /data/a.png"),
        (Fingerprint({"size": {1, 2}}), "what JSON does not know"),
    ],
)
def test_fingerprints_that_tie_a_run_to_a_place(tmp_path, found, message):
    class Tied(Kept):
        def fingerprint(self):
            return found

    with pytest.raises(AssertionError, match=message):
        check(Tied, tmp_path)


def test_missing_method(tmp_path):
    class Partial(Kept):
        write_mask = None

    with pytest.raises(AssertionError, match="Partial lacks write_mask"):
        check(Partial, tmp_path)

    class Free(Kept):
        Options = dict

    with pytest.raises(AssertionError, match="Options is not a subclass of AdapterOptions"):
        check_adapter(Free(None), tmp_path)


def test_band_order_is_ignored(tmp_path):
    class Stubborn(Kept):
        def read(self, key, channels):
            sample = super().read(key, ChannelTable(self.sensors))
            names = [sensor.name for sensor in channels.sensors]
            return Sample(key, {name: sample.bands[name] for name in names})

    with pytest.raises(AssertionError, match="ignores the order in which bands are asked for"):
        check(Stubborn, tmp_path)


@dataclass(frozen=True)
class Smuggler(Sample):
    mask: object = None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda key, bands: Smuggler(key, bands), "returns a Smuggler, not a Sample"),
        (lambda key, bands: Sample("other", bands), "a sample with the key 'other'"),
        (lambda key, bands: Sample(key, {}), "returns no sensor"),
        (
            lambda key, bands: Sample(key, {n: b.astype(float) for n, b in bands.items()}),
            "is float64, not float32",
        ),
        (lambda key, bands: Sample(key, {n: b[0] for n, b in bands.items()}), "not `c h w`"),
        (
            lambda key, bands: Sample(key, {n: b + np.float32(np.inf) for n, b in bands.items()}),
            "infinite values",
        ),
        (lambda key, bands: Sample(key, {n: b[:, : 4 + len(b)] for n, b in bands.items()}), "differ in size"),
        (lambda key, bands: Sample(key, {n: b[1:] for n, b in bands.items()}), "bands, 3 were asked for"),
    ],
)
def test_bad_samples(tmp_path, change, message):
    class Broken(Kept):
        def read(self, key, channels):
            sample = super().read(key, channels)
            return change(sample.key, sample.bands)

    with pytest.raises(AssertionError, match=message):
        check(Broken, tmp_path)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.zeros((8, 9), np.int64), "is int64, not uint8"),
        (np.zeros((8, 8), np.uint8), r"is \(8, 8\), its image \(8, 9\)"),
        (np.full((8, 9), 2, np.uint8), r"holds \[2\], which are neither"),
    ],
)
def test_bad_masks(tmp_path, mask, message):
    class Broken(Kept):
        def read_mask(self, key):
            self._check(key)
            return mask

    with pytest.raises(AssertionError, match=message):
        check(Broken, tmp_path)


def test_bad_writers(tmp_path):
    class Lossy(Kept):
        def write_mask(self, path, key, mask, confidence, tags):
            return super().write_mask(path, key, np.minimum(mask, 1), confidence, tags)

    with pytest.raises(AssertionError, match="does not come back"):
        check(Lossy, tmp_path / "a")

    class Astray(Kept):
        def write_mask(self, path, key, mask, confidence, tags):
            return super().write_mask(path.parent.parent / path.name, key, mask, confidence, tags)

    (tmp_path / "b").mkdir()
    with pytest.raises(AssertionError, match="was asked to write into"):
        check(Astray, tmp_path / "b")

    class Unsure(Kept):
        def write_mask(self, path, key, mask, confidence, tags):
            return super().write_mask(path, key, mask, None, tags)

    (tmp_path / "c").mkdir()
    with pytest.raises(AssertionError, match="no confidence layer"):
        check(Unsure, tmp_path / "c")

    class Shapeless(Kept):
        def write_mask(self, path, key, mask, confidence, tags):
            return super().write_mask(path, key, np.resize(mask, (8, 9)), confidence, tags)

    (tmp_path / "d").mkdir()
    with pytest.raises(AssertionError, match="of another size"):
        check(Shapeless, tmp_path / "d")


def test_unknown_keys_must_be_refused(tmp_path):
    class Generous(Kept):
        def _check(self, key):
            pass

    with pytest.raises(AssertionError, match="a key that does not exist raises no WsssError"):
        check(Generous, tmp_path)


def test_labels_of_a_data_set_name_classes(tmp_path):
    class Described(Kept):
        def image_labels(self, key):
            return ("Frost",)

    with pytest.raises(AssertionError, match=r"names \['Frost'\], which are no classes with a label"):
        check(Described, tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda sample, mask: (sample, None), "loses or adds the mask"),
        (lambda sample, mask: (sample, None if mask is None else mask[:-1]), "parts image and mask in size"),
        (lambda sample, mask: (sample, None if mask is None else mask.astype(int)), "makes the mask int64"),
        (lambda sample, mask: (noisy(sample), mask), "differs from one call to the next"),
    ],
)
def test_bad_random_changes(tmp_path, change, message):
    class Changing(Kept):
        augments = True

        def augment(self, sample, mask, random):
            return change(sample, mask)

    with pytest.raises(AssertionError, match=message):
        check(Changing, tmp_path)


def noisy(sample):
    """Change a sample from a source of chance that no seed rules."""
    chance = np.random.default_rng()
    return Sample(sample.key, {name: bands + chance.random() for name, bands in sample.bands.items()})
