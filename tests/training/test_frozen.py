import numpy as np
import pytest
import torch

from wsss_toolkit.domain import ChannelTable, Sample, Sensor
from wsss_toolkit.images.dataset import ImageDataset
from wsss_toolkit.images.scaling import BandScaling, Preprocessing
from wsss_toolkit.model.vit import build_backbone
from wsss_toolkit.recipe.schema import ClassTokens, Model
from wsss_toolkit.training.frozen import freeze_dataset

CHANNELS = ChannelTable((Sensor("optical", ("B02", "B03")),))
PREPARE = Preprocessing(CHANNELS, (BandScaling(-1e9, 1e9, 0.0, 1.0),) * 2, "early")
KEYS = ("a", "b", "c")
LABELS = np.eye(3, dtype=np.float32)


class Noise:
    """An adapter of random images that counts its reads."""

    reads = 0

    def read(self, key, channels):
        self.reads += 1
        pixels = np.random.default_rng(ord(key)).normal(size=(2, 16, 16)).astype(np.float32)
        return Sample(key, {"optical": pixels})


class HalfSeen(Noise):
    """The same without data in the left half."""

    def read(self, key, channels):
        sample = super().read(key, channels)
        sample.bands["optical"][..., :8] = np.nan
        return sample


@pytest.fixture
def model():
    torch.manual_seed(0)
    section = Model(
        backbone="vit_tiny_patch16_224", patch_size=8, image_size=16, depth=2, class_tokens=ClassTokens(enter_at=1)
    )
    model = build_backbone(section, CHANNELS, "early", 3, frozen_below=1)
    model.freeze(1)
    return model


def frozen(model, path, *, images=None, cache="memory", codes=(0, 1, 2, 3)):
    images = images or ImageDataset(Noise(), KEYS, PREPARE, labels=LABELS, codes=codes, seed=5)
    return freeze_dataset(
        model, images, batch_size=2, workers=0, device=torch.device("cpu"), cache=cache, path=path / "frozen.npy"
    )


def encode(model, images):
    model.eval()
    with torch.no_grad():
        return model.encode_frozen(images, torch.ones(len(images), 1, dtype=torch.bool))


def test_items_are_the_frozen_outputs_of_the_flipped_images(model, tmp_path):
    data = frozen(model, tmp_path)
    pixels = torch.stack([torch.from_numpy(Noise().read(key, CHANNELS).bands["optical"]) for key in KEYS])
    flips = {0: (), 1: (-1,), 2: (-2,), 3: (-1, -2)}
    drawn = set()
    expected = {code: encode(model, pixels.flip(axes) if axes else pixels) for code, axes in flips.items()}
    for epoch in range(12):
        for index in range(3):
            tokens = data[index, epoch]["image"]
            # Another batch size may sum in another order.
            [code] = [code for code in flips if torch.allclose(tokens, expected[code][index], atol=1e-5)]
            drawn.add(code)
    assert drawn == set(flips)
    assert len(data) == 3
    assert torch.equal(data[1, 0]["labels"], torch.tensor([0.0, 1.0, 0.0]))


def test_the_variant_depends_on_seed_epoch_and_position_alone(model, tmp_path):
    first, second = frozen(model, tmp_path), frozen(model, tmp_path)
    second[0, 0], second[2, 7]
    assert all(torch.equal(first[1, epoch]["image"], second[1, epoch]["image"]) for epoch in range(6))


def test_disk_and_memory_hold_the_same(model, tmp_path):
    memory, disk = frozen(model, tmp_path), frozen(model, tmp_path, cache="disk")
    assert torch.equal(memory.tokens, disk.tokens)
    assert torch.equal(memory.visible, disk.visible)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["frozen.npy", "frozen.visible.npy"]


def test_a_cache_on_disk_is_found_again_by_a_run_that_was_killed(model, tmp_path):
    frozen(model, tmp_path, cache="disk")
    adapter = Noise()
    images = ImageDataset(adapter, KEYS, PREPARE, codes=(0, 1, 2, 3), seed=5)
    frozen(model, tmp_path, images=images, cache="disk")
    assert adapter.reads == 0
    (tmp_path / "frozen.npy").rename(tmp_path / "frozen.partial.npy")  # killed while it was written
    frozen(model, tmp_path, images=images, cache="disk")
    assert adapter.reads == 3


@pytest.mark.parametrize("cache", ["memory", "disk"])
def test_the_model_goes_on_in_training_mode(model, tmp_path, cache):
    model.train()
    for _ in range(2):  # the second time, `disk` finds its file
        frozen(model, tmp_path, cache=cache)
        # In evaluation mode gates would be fixed and no token masked: training would be another one.
        assert model.training and model.block(1).training
        assert not model.block(0).training


def test_patches_without_data_are_turned_with_the_image(model, tmp_path):
    images = ImageDataset(HalfSeen(), KEYS, PREPARE, labels=LABELS, codes=(0, 1, 2), seed=5)
    data = frozen(model, tmp_path, images=images)
    left, right = [False, True, False, True], [True, False, True, False]
    assert data.visible.tolist() == [[left] * 3, [right] * 3, [left] * 3]
    variants = {tuple(data[0, epoch]["valid"].tolist()) for epoch in range(12)}
    assert variants == {tuple(left), tuple(right)}
