from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import distributed

from wsss_toolkit.domain import ChannelTable, Sample, Sensor
from wsss_toolkit.errors import DataError
from wsss_toolkit.images.dataset import EpochSampler, ImageDataset, loader, read_pseudo_mask, same_size_batches
from wsss_toolkit.images.scaling import BandScaling, Preprocessing

SENSOR = Sensor("optical", ("B02", "B03"))
CHANNELS = ChannelTable((SENSOR,))
PREPARE = Preprocessing(CHANNELS, (BandScaling(-1e9, 1e9, 0.0, 1.0),) * 2, "early")
SIZES = {"a": (12, 12), "b": (12, 16), "c": (12, 16), "d": (20, 12), "e": (12, 16)}


class Pixels:
    """An adapter of images whose first band holds the row and whose second band holds the column of each pixel."""

    def __init__(self, sizes):
        self.sizes, self.reads = sizes, []

    def read(self, key, channels):
        assert channels == CHANNELS
        self.reads.append(key)
        rows, columns = np.indices(self.sizes[key]).astype(np.float32)
        return Sample(key, {"optical": np.stack([rows, columns])})


def dataset(sizes=SIZES, **options):
    return ImageDataset(Pixels(sizes), tuple(sizes), PREPARE, **options)


def masks_of(folder: Path, sizes):
    """Write masks that hold ``row * 12 + column`` of 12 x 12 images: each pixel names its place."""
    paths = []
    for key, (height, width) in sizes.items():
        rows, columns = np.indices((height, width))
        paths.append(folder / f"{key}.png")
        Image.fromarray((rows * 12 + columns).astype(np.uint8), "L").save(paths[-1])
    return paths


def visits(sampler, epoch):
    sampler.set_epoch(epoch)
    return list(sampler)


def test_every_epoch_is_another_permutation():
    sampler = EpochSampler(50, seed=7)
    epochs = [visits(sampler, epoch) for epoch in range(3)]
    for number, epoch in enumerate(epochs):
        assert sorted(epoch) == [(index, number) for index in range(50)]
    orders = [[index for index, _ in epoch] for epoch in epochs]
    assert orders[0] != orders[1] != orders[2] != list(range(50))
    assert visits(EpochSampler(50, seed=8), 0) != epochs[0]


def test_an_epoch_that_is_resumed_equals_the_same_epoch_of_a_run_that_went_through():
    through = EpochSampler(20, seed=7)
    orders = [visits(through, epoch) for epoch in range(4)]
    assert visits(EpochSampler(20, seed=7), 3) == orders[3]


def test_without_a_seed_the_order_is_the_data_sets():
    assert visits(EpochSampler(4, seed=None), 5) == [(0, 5), (1, 5), (2, 5), (3, 5)]


@pytest.mark.parametrize("size", [10, 11, 1])
def test_processes_share_an_epoch_without_overlap(size, monkeypatch):
    whole = [index for index, _ in EpochSampler(size, seed=7)]
    monkeypatch.setattr(distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed, "get_world_size", lambda: 2)
    shares = []
    for rank in range(2):
        monkeypatch.setattr(distributed, "get_rank", lambda rank=rank: rank)
        sampler = EpochSampler(size, seed=7)
        shares.append([index for index, _ in sampler])
        assert len(sampler) == len(shares[-1]) == -(-size // 2), "unequal shares would leave a process waiting"
    together = [index for pair in zip(*shares, strict=True) for index in pair]
    assert together[:size] == whole
    assert together[size:] == whole[: len(together) - size], "what is padded repeats the beginning"


def test_crops_depend_on_seed_epoch_and_position_alone():
    sizes = dict.fromkeys("abc", (12, 12))
    first, second = dataset(sizes, crop=4, seed=1), dataset(sizes, crop=4, seed=1)
    second[0, 0], second[2, 5]  # what was read before changes nothing
    assert torch.equal(first[1, 3]["image"], second[1, 3]["image"])
    corners = {tuple(first[1, epoch]["image"][:, 0, 0].tolist()) for epoch in range(40)}
    assert len(corners) > 15
    assert {corner for row in corners for corner in row} <= set(range(9))
    assert {0.0, 8.0} <= {corner for row in corners for corner in row}, "crops reach both edges"
    other = {tuple(dataset(sizes, crop=4, seed=2)[1, epoch]["image"][:, 0, 0].tolist()) for epoch in range(3)}
    assert other != {tuple(first[1, epoch]["image"][:, 0, 0].tolist()) for epoch in range(3)}


def test_masks_stay_on_their_pixels_under_crops(tmp_path):
    sizes = {"a": (12, 12)}
    data = dataset(sizes, crop=5, masks=masks_of(tmp_path, sizes))
    for epoch in range(10):
        item = data[0, epoch]
        rows, columns = item["image"]
        assert item["mask"].shape == (5, 5)
        assert torch.equal(item["mask"], (rows * 12 + columns).long())


class Rolling(Pixels):
    """Moves image and mask to the side by a random number of pixels."""

    augments = True

    def augment(self, sample, mask, random):
        shift = int(random.integers(1, 12))
        bands = {name: np.roll(band, shift, axis=-1) for name, band in sample.bands.items()}
        return Sample(sample.key, bands), None if mask is None else np.roll(mask, shift, axis=-1)


def test_an_adapter_changes_image_and_mask_alike(tmp_path):
    sizes = {"a": (12, 12)}
    masks = masks_of(tmp_path, sizes)
    data = ImageDataset(Rolling(sizes), ("a",), PREPARE, masks=masks, augment=True, crop=6)
    places = set()
    for epoch in range(6):
        item = data[0, epoch]
        rows, columns = item["image"]
        assert torch.equal(item["mask"], (rows * 12 + columns).long())
        places.add(int(item["mask"][0, 0]))
    assert len(places) > 2


def test_masks_stay_on_their_pixels_under_resizing(tmp_path):
    sizes = {"a": (12, 12)}
    item = dataset(sizes, resize=6, masks=masks_of(tmp_path, sizes))[0]
    assert item["image"].shape == (2, 6, 6) and item["mask"].shape == (6, 6)
    assert item["mask"].dtype == torch.int64
    rows, columns = item["mask"] // 12, item["mask"] % 12
    # Pixel k of the small image covers pixels 2k and 2k + 1; a mask's pixel is one of the two, never a mixture.
    assert torch.equal(rows[:, 0] // 2, torch.arange(6)) and torch.equal(columns[0] // 2, torch.arange(6))
    assert (item["image"][0, 1:5, 0] - rows[1:5, 0]).abs().max() <= 0.5 + 1e-4
    assert item["valid"].all()


def test_missing_pixels_are_zero_and_not_valid():
    data = dataset({"a": (4, 4)})
    read = data.adapter.read

    def with_a_gap(key, channels):
        sample = read(key, channels)
        sample.bands["optical"][1, 2, 3] = np.nan
        return sample

    data.adapter.read = with_a_gap
    item = data[0]
    assert item["image"][:, 2, 3].tolist() == [2.0, 0.0]
    assert item["valid"].sum() == 15 and not item["valid"][2, 3]


def test_images_smaller_than_a_crop_are_extended_by_pixels_without_data(tmp_path):
    masks = masks_of(tmp_path, {"a": (12, 20)})
    item = dataset({"a": (12, 20)}, masks=masks, crop=16)[0]
    assert item["image"].shape[1:] == item["valid"].shape == item["mask"].shape == (16, 16)
    assert item["valid"][:12].all() and not item["valid"][12:].any()
    assert (item["mask"][:12] != 255).all() and (item["mask"][12:] == 255).all()
    whole = dataset({"a": (12, 20)})[0]["image"]
    cuts = [whole[:, :, left : left + 16] for left in range(5)]
    assert any(torch.equal(item["image"][:, :12], cut) for cut in cuts), "what is there is cut, not scaled"


def test_images_that_do_not_fit_are_refused(tmp_path):
    masks = masks_of(tmp_path, {"a": (12, 12)})
    with pytest.raises(DataError, match="b: pseudo-mask and image differ in size"):
        dataset({"b": (12, 16)}, masks=masks)[0]
    with pytest.raises(DataError, match="the split has no usable image"):
        loader(dataset({}), 2)


def test_images_kept_in_memory_are_the_same_and_read_once():
    sizes = dict.fromkeys("abcd", (256, 256))
    image = 2 * 256 * 256 * 4 + 256 * 256 + 1  # bands, valid pixels, one sensor
    kept, fresh = dataset(sizes, crop=32, memory_mb=2), dataset(sizes, crop=32)
    fit = 2 * 2**20 // image
    assert 0 < fit < len(sizes)
    for epoch in range(3):
        for index in range(len(sizes)):
            assert torch.equal(kept[index, epoch]["image"], fresh[index, epoch]["image"])
    assert len(fresh.adapter.reads) == 3 * len(sizes)
    assert [kept.adapter.reads.count(key) for key in sizes] == [1] * fit + [3] * (len(sizes) - fit)


def test_masks_kept_in_memory_are_read_once(tmp_path):
    sizes = {"a": (24, 32), "b": (24, 32)}
    files = masks_of(tmp_path, sizes)
    kept, fresh = dataset(sizes, masks=files, memory_mb=1), dataset(sizes, masks=files)
    first = [kept[index, 0]["mask"] for index in range(len(sizes))]
    for file in files:
        file.unlink()
    assert all(torch.equal(kept[index, 1]["mask"], mask) for index, mask in enumerate(first))
    with pytest.raises(DataError):
        fresh[0, 1]


def test_symmetries_are_drawn_evenly_and_repeatably():
    data = dataset({"a": (4, 4)}, codes=(0, 1, 2, 3))
    drawn = [int(data[0, epoch]["code"]) for epoch in range(200)]
    assert drawn == [int(data[0, epoch]["code"]) for epoch in range(200)]
    assert all(30 < drawn.count(code) < 70 for code in range(4))


def test_batches_hold_images_of_one_size_in_order():
    batches = list(same_size_batches(dataset(), batch_size=2))
    assert [batch["index"].tolist() for batch in batches] == [[0], [1, 2], [3], [4]]
    assert [tuple(batch["image"].shape) for batch in batches] == [
        (1, 2, 12, 12),
        (2, 2, 12, 16),
        (1, 2, 20, 12),
        (1, 2, 12, 16),
    ]
    same = dataset(dict.fromkeys("abcde", (8, 8)))
    assert [batch["index"].tolist() for batch in same_size_batches(same, batch_size=2)] == [[0, 1], [2, 3], [4]]


def test_a_last_batch_of_one_is_left_out_of_shuffled_training_only():
    data = dataset(dict.fromkeys("abcde", (8, 8)))
    assert [len(batch["index"]) for batch in loader(data, 2, shuffle_seed=1)] == [2, 2]
    assert [len(batch["index"]) for batch in loader(data, 2)] == [2, 2, 1]
    assert [len(batch["index"]) for batch in loader(data, 3, shuffle_seed=1)] == [3, 2]
    assert [len(batch["index"]) for batch in loader(dataset({"a": (8, 8)}), 2, shuffle_seed=1)] == [1]


def test_damaged_pseudo_masks_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"cannot read pseudo-mask .* run the stage pseudo_masks again"):
        read_pseudo_mask(tmp_path / "none.png")
    (tmp_path / "bad.png").write_bytes(b"not a picture")
    with pytest.raises(DataError, match=r"bad\.png: cannot read pseudo-mask"):
        read_pseudo_mask(tmp_path / "bad.png")
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "rgb.png")
    with pytest.raises(DataError, match=r"expected an 8-bit index image, got uint8 \(4, 4, 3\)"):
        read_pseudo_mask(tmp_path / "rgb.png")


class Shifting(Pixels):
    """Moves an image and its mask by a random number of columns; what comes from outside is missing."""

    augments = True

    def augment(self, sample, mask, random):
        by = int(random.integers(1, 5))
        pixels = np.roll(sample.bands["optical"], by, axis=2)
        pixels[..., :by] = np.nan
        if mask is not None:
            mask = np.roll(mask, by, axis=1)
            mask[:, :by] = 255
        return Sample(sample.key, {"optical": pixels}), mask


def test_the_adapters_own_changes_reach_images_and_masks_alike(tmp_path):
    sizes = {"a": (12, 12), "b": (12, 12)}
    adapter = Shifting(sizes)
    options = {"masks": masks_of(tmp_path, sizes), "seed": 3, "memory_mb": 10}
    changed = ImageDataset(adapter, tuple(sizes), PREPARE, augment=True, **options)
    shifts = set()
    for epoch in range(8):
        item = changed[0, epoch]
        by = int((~item["valid"]).any(0).sum())
        shifts.add(by)
        assert (item["mask"][:, :by] == 255).all()
        rows, columns = item["image"]
        assert torch.equal(item["mask"][:, by:].float(), (rows * 12 + columns)[:, by:])
    assert len(shifts) > 1
    assert torch.equal(changed[1, 4]["mask"], changed[1, 4]["mask"])
    assert changed[0, 2]["image"].equal(changed[0, 2]["image"])
    plain = ImageDataset(adapter, tuple(sizes), PREPARE, **options)
    assert plain[0, 0]["valid"].all()
    adapter.augments = False
    assert ImageDataset(adapter, tuple(sizes), PREPARE, augment=True, **options)[0, 0]["valid"].all()
