import numpy as np
import pytest
import torch
from fake_domain import FakeDomain
from tiny_classifier import CHANNELS, tiny_classifier

from wsss_toolkit.domain import Sample
from wsss_toolkit.images.augment import apply_symmetry
from wsss_toolkit.images.dataset import ImageDataset
from wsss_toolkit.images.scaling import BandScaling, Preprocessing
from wsss_toolkit.recipe.schema import Segmentation
from wsss_toolkit.segmentation.kept_features import keep_features, stand_still
from wsss_toolkit.segmentation.unet import build_network, predict

PREPARE = Preprocessing(CHANNELS, (BandScaling(-9, 9, 0, 1),) * 5, "early")
SECTION = {"encoder": "classifier", "classifier": {"blocks": 2, "width": 8, "patch_scores": True}, "input_scale": 2}


class Noise(FakeDomain):
    """Images of 20 pixels, which patches of 8 do not divide; of one, a part holds no data."""

    def __init__(self):
        super().__init__(None)

    def read(self, key, channels):
        image = np.random.default_rng(ord(key)).normal(0, 1, (5, 20, 20)).astype(np.float32)
        if key == "b":
            image[:, :8] = np.nan
        return Sample(key, {"radar": image[:2], "optical": image[2:]})


def dataset(codes=(0, 1), **changes):
    return ImageDataset(Noise(), ("a", "b", "c"), PREPARE, codes=codes, seed=3, **changes)


def network(section):
    torch.manual_seed(0)
    return build_network(section, 5, 3, tiny_classifier(patch_head=True)).eval()


@pytest.mark.parametrize("cache", ["memory", "disk"])
def test_kept_features_are_those_of_the_turned_image(tmp_path, cache):
    built, images = network(Segmentation.model_validate(SECTION)), dataset()
    arguments = {"batch_size": 2, "workers": 0, "device": torch.device("cpu"), "cache": cache, "memory_mb": 1}
    kept = keep_features(built, images, path=tmp_path / "kept.npy", **arguments)
    turned = set()
    for index in range(3):
        for epoch in range(4):
            item = kept[index, epoch]
            turned.add(int(item["code"]))
            code = item["code"][None]
            image, valid = (apply_symmetry(item[name][None], code) for name in ("image", "valid"))
            with torch.no_grad():
                expected = predict(built, image, valid=valid, present=item["present"][None])
                found = predict(built, image, valid=valid, features=item["features"][None])
            torch.testing.assert_close(found, expected, atol=2e-3, rtol=2e-3)
    assert turned == {0, 1}
    assert (tmp_path / "kept.npy").exists() == (cache == "disk")
    full = keep_features(built, images, path=tmp_path / "full.npy", **{**arguments, "memory_mb": 0})
    assert (full is images) == (cache == "memory"), "on disk there is room"
    if cache == "disk":  # a killed run finds them again
        again = keep_features(None, images, path=tmp_path / "kept.npy", **arguments)
        assert torch.equal(again[1, 2]["features"], kept[1, 2]["features"])


def test_features_are_kept_only_where_every_epoch_sees_the_same():
    still = Segmentation.model_validate({**SECTION, "augment": {"horizontal_flip": True}})
    assert stand_still(network(still), still, dataset())
    assert not stand_still(network(still), still, dataset(crop=16))
    changing = [{"color_jitter": 0.1}, {"channel_jitter": 0.1}, {"scale": [0.5, 1.0]}, {"cutmix": 0.5}, {"erase": 0.5}]
    changing += [{"mosaic": 0.5}]
    for change in changing:
        section = Segmentation.model_validate({**SECTION, "augment": change})
        assert not stand_still(network(section), section, dataset()), change
    learning = Segmentation.model_validate({**SECTION, "classifier": {"blocks": 2, "learning_rate": 1e-5}})
    assert not stand_still(network(learning), learning, dataset())
    assert not stand_still(torch.nn.Conv2d(5, 3, 1), still, dataset())


def test_the_network_can_learn_after_it_was_moved_to_another_device(tmp_path, monkeypatch):
    built, images = network(Segmentation.model_validate(SECTION)), dataset()
    # A move that copies, as to a GPU.
    monkeypatch.setattr(torch.nn.Module, "to", lambda self, *_, **__: self._apply(lambda tensor: tensor.clone()))
    arguments = {"batch_size": 2, "workers": 0, "device": torch.device("cpu"), "cache": "memory", "memory_mb": 1}
    item = keep_features(built, images, path=tmp_path / "kept.npy", **arguments)[0, 0]
    predict(built.train(), item["image"][None], features=item["features"][None]).sum().backward()
