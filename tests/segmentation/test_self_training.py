import json

import numpy as np
import pytest
import torch
from fake_domain import FakeDomain
from PIL import Image
from safetensors.torch import load_file

from wsss_toolkit.compute import choose_device
from wsss_toolkit.domain import ChannelTable, ClassTable, Sample, Sensor
from wsss_toolkit.errors import UsageError
from wsss_toolkit.images.scaling import BandScaling, Preprocessing
from wsss_toolkit.recipe.schema import PseudoMasks, Segmentation
from wsss_toolkit.segmentation import train as training
from wsss_toolkit.segmentation.network import SegmentationTask
from wsss_toolkit.segmentation.self_training import Relabelling, Setting, allowed_values, relabel
from wsss_toolkit.segmentation.train import load_network, train_segmentation

SIDE = 32
PREPARE = Preprocessing(ChannelTable((Sensor("optical", ("B02",)),)), (BandScaling(-9, 9, 0, 1),), "early")
KEYS = {"train": ("a", "b", "c", "d"), "val": ("e", "f")}
FILES = {"train": "round_1/masks/train", "val": "round_1/masks/val"}


@pytest.fixture(autouse=True)
def small_network(monkeypatch):
    """Two convolutions in place of a network of smp: the rounds are what is tested."""

    def build(section, channels, classes, classifier=None, background=None):
        return torch.nn.Sequential(
            torch.nn.Conv2d(channels, 8, 3, padding=1),
            torch.nn.BatchNorm2d(8),
            torch.nn.ReLU(),
            torch.nn.Conv2d(8, classes, 1),
        )

    monkeypatch.setattr(training, "build_network", build)


class Halves(FakeDomain):
    """Images whose left and right halves differ in brightness; three classes; ground truth is out of reach."""

    def __init__(self):
        super().__init__(None)

    def read(self, key, channels):
        image = np.random.default_rng(ord(key)).normal(0, 0.1, (1, SIDE, SIDE)).astype(np.float32)
        image[..., SIDE // 2 :] += 2
        return Sample(key, {"optical": image})

    def read_mask(self, key):
        raise AssertionError("ground truth was read")

    def write_mask(self, path, key, mask, confidence, tags):
        written = path.with_name(f"{path.name}.png")
        Image.fromarray(mask).save(written)
        if confidence is not None:
            Image.fromarray(confidence).save(path.with_name(f"{path.name}.confidence.png"))
        return written


def masks_in(folder):
    """Write pseudo-masks: Forest on the left, Urban on the right."""
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[:, SIDE // 2 :] = 2
    folder.mkdir()
    written = {}
    for split, keys in KEYS.items():
        written[split] = (keys, [Halves().write_mask(folder / key, key, mask, mask + 100, {}) for key in keys])
    return written


def section(**changes):
    values = {"epochs": 2, "batch_size": 2, **changes}
    return Segmentation.model_validate({"self_training": {"rounds": 1, "ignore_below": 0.0}, **values})


def allow(*values):
    row = np.zeros(3, bool)
    row[list(values)] = True
    return Relabelling({key: row for keys in KEYS.values() for key in keys}, {})


def setting(chosen):
    return Setting(Halves(), PREPARE, chosen, 1, choose_device("cpu", 1, "32"))


def fit(folder, masks, chosen, relabelling):
    folder.mkdir(exist_ok=True)
    return train_segmentation(
        setting(chosen), masks["train"], masks["val"], folder=folder, results=folder, relabelling=relabelling
    )


CLASSES = ClassTable(("None", "Forest", "Water"), ((0, 0, 0), (0, 99, 0), (0, 0, 200)), background=0)


def test_the_rule_of_the_pseudo_masks_says_what_an_image_may_show():
    scores = np.array([[0.7, 0.5], [0.2, 0.3]])
    labels = np.array([[0, 1], [0, 0]], np.float32)
    found = allowed_values(scores, labels, PseudoMasks(background="threshold"), CLASSES, allow_none=True)
    assert found.tolist() == [[True, True, True], [True, False, False]]
    found = allowed_values(scores, labels, PseudoMasks(), CLASSES, allow_none=False)
    assert found.tolist() == [[False, True, True], [False, False, True]], "without a background the best class"
    found = allowed_values(scores, labels, PseudoMasks(classes="labels"), CLASSES, allow_none=False)
    assert found.tolist() == [[False, False, True], [False, False, False]]


class Constant(torch.nn.Module):
    """Gives class 0 the probability 0.1, class 1 0.54 on the left and 0.3 on the right, class 2 the rest."""

    def forward(self, images):
        left = torch.tensor([0.1, 0.54, 0.36]).log().view(1, 3, 1, 1).expand(len(images), -1, SIDE, SIDE // 2)
        right = torch.tensor([0.1, 0.3, 0.6]).log().view(1, 3, 1, 1).expand(len(images), -1, SIDE, SIDE // 2)
        return torch.cat((left, right), 3)


def test_masks_show_allowed_classes_only_and_ignore_uncertain_pixels(tmp_path):
    allowed = {
        "a": np.array([True, True, True]),
        "b": np.array([True, False, True]),
        "c": np.array([False, False, False]),
        "d": np.array([True, True, False]),
    }
    # Scores are refined for the masks of the end, not for those that the next round learns from.
    refine = {"pixels": {"kind": "pixel_adaptive", "iterations": 1}}
    chosen = section(self_training={"rounds": 1, "ignore_below": 0.58}, refine=refine)
    arguments = (Constant(), setting(chosen), {"train": KEYS["train"]}, Relabelling(allowed, {}), tmp_path)
    masks = relabel(*arguments)
    keys, files = masks["train"]
    assert keys == KEYS["train"]
    found = {}
    for key, path in zip(keys, files, strict=True):
        mask, level = np.array(Image.open(path)), np.array(Image.open(path.with_suffix(".confidence.png")))
        halves = (slice(0, SIDE // 2), slice(SIDE // 2, SIDE))
        assert all(len(np.unique(plane[:, half])) == 1 for plane in (mask, level) for half in halves)
        found[key] = ([int(mask[0, 0]), int(mask[0, -1])], [int(level[0, 0]), int(level[0, -1])])
    expected = {  # probabilities among the allowed classes
        "a": ([255, 2], [0.54, 0.6]),
        "b": ([2, 2], [0.36 / 0.46, 0.6 / 0.7]),
        "c": ([255, 255], [0, 0]),
        "d": ([1, 1], [0.54 / 0.64, 0.3 / 0.4]),
    }
    assert found == {key: (mask, [round(255 * value) for value in level]) for key, (mask, level) in expected.items()}
    before = files[0].stat().st_mtime_ns
    assert relabel(*arguments) == masks
    assert files[0].stat().st_mtime_ns == before, "finished masks are kept"
    (tmp_path / "index.json").unlink()
    relabel(*arguments)
    assert files[0].stat().st_mtime_ns != before, "unfinished ones are not"


def test_the_second_round_learns_the_masks_of_the_first(tmp_path):
    masks = masks_in(tmp_path / "given")
    # Only Water is allowed, which no pseudo-mask shows: the second round can only have it from the masks in between.
    result = fit(tmp_path / "run", masks, section(epochs=12, lr=3e-2), allow(1))
    assert result["epochs"] == 24 and result["rounds"] == [12, 12]
    for key in KEYS["train"]:
        assert set(np.unique(Image.open(tmp_path / "run" / FILES["train"] / f"{key}.png"))) == {1}
    images = torch.from_numpy(np.stack([Halves().read(key, None).bands["optical"] for key in KEYS["val"]]))
    with torch.no_grad():
        assert (load_network(tmp_path / "run")(images).argmax(dim=1) == 1).float().mean() > 0.95


@pytest.mark.parametrize("start", ["scratch", "previous"])
@pytest.mark.parametrize("killed_in", ["masks", "round"])
def test_killed_and_resumed_equals_uninterrupted(tmp_path, monkeypatch, killed_in, start):
    masks = masks_in(tmp_path / "given")
    chosen = section(self_training={"rounds": 1, "ignore_below": 0.0, "start": start})
    fit(tmp_path / "whole", masks, chosen, allow(0, 2))
    with monkeypatch.context() as patch:
        if killed_in == "masks":
            count = iter(range(100))

            def stop_writing(adapter, path, key, mask, confidence, tags):
                if next(count) == 3:
                    raise KeyboardInterrupt
                return original(adapter, path, key, mask, confidence, tags)

            original = Halves.write_mask
            patch.setattr(Halves, "write_mask", stop_writing)
        else:
            original_fit = training.fit

            def stop_fitting(module, train, val, *, folder, epochs, **options):
                if folder.name == "round_1":
                    original_fit(module, train, val, folder=folder, epochs=1, **options)
                    raise KeyboardInterrupt
                return original_fit(module, train, val, folder=folder, epochs=epochs, **options)

            patch.setattr(training, "fit", stop_fitting)
        with pytest.raises(KeyboardInterrupt):
            fit(tmp_path / "killed", masks, chosen, allow(0, 2))
    assert not (tmp_path / "killed" / "network.safetensors").exists()
    fit(tmp_path / "killed", masks, chosen, allow(0, 2))
    whole, killed = (load_file(tmp_path / name / "network.safetensors") for name in ("whole", "killed"))
    for name, value in whole.items():
        assert torch.equal(killed[name], value), name
    for split, keys in KEYS.items():
        for key in keys:
            first, second = (tmp_path / name / FILES[split] / f"{key}.png" for name in ("whole", "killed"))
            assert first.read_bytes() == second.read_bytes()


def test_without_rounds_nothing_is_labelled_anew(tmp_path):
    masks = masks_in(tmp_path / "given")
    result = fit(tmp_path / "run", masks, section(self_training={"rounds": 0}, epochs=1), None)
    assert "rounds" not in result and not list((tmp_path / "run").glob("round_*"))
    assert json.loads((tmp_path / "run" / "network.json").read_text())["classifier"] is None
    with pytest.raises(UsageError, match="self_training needs pseudo-masks of a classifier"):
        fit(tmp_path / "other", masks, section(), None)


@pytest.mark.parametrize("start", ["scratch", "previous"])
def test_what_each_round_begins_with_and_is_judged_by(tmp_path, monkeypatch, start):
    begun, judged, backgrounds = [], [], []
    build = training.build_network

    def noted(*arguments, background):
        backgrounds.append(background)
        return build(*arguments)

    def add_one(module, train, val, **options):
        begun.append(module.network[0].weight.detach().clone())
        judged.append(torch.cat([batch["mask"] for batch in val]))
        torch.nn.init.zeros_(module.network[3].weight)  # class 1 is the likeliest everywhere
        module.network[3].bias.data = torch.tensor([0.0, 9.0, 0.0])
        module.network[0].weight.data += 1
        return 1

    monkeypatch.setattr(training, "build_network", noted)
    monkeypatch.setattr(training, "fit", add_one)
    monkeypatch.setattr(Halves, "classes", ClassTable(CLASSES.names, CLASSES.colors, background=1))
    fit(tmp_path / "run", masks_in(tmp_path / "given"), section(self_training={"rounds": 1, "start": start}), allow(1))
    assert torch.equal(begun[1], begun[0] + (start == "previous"))
    assert [len(masks) for masks in judged] == [2, 2], "the validation images"
    assert [masks.unique().tolist() for masks in judged] == [[0, 2], [1]]
    assert backgrounds == [1, 1]


def test_every_round_weighs_the_classes_of_its_own_masks(tmp_path, monkeypatch):
    seen = []

    def task(network, section, *, class_weights, **options):
        seen.append(class_weights)
        return SegmentationTask(network, section, class_weights=class_weights, **options)

    monkeypatch.setattr(training, "SegmentationTask", task)
    masks = masks_in(tmp_path / "masks")
    fit(tmp_path / "run", masks, section(class_balance=1.0, epochs=1), allow(2))
    # Half of the pixels are of class 0, half of class 2; the second round's are all of class 2.
    assert [weights.tolist() for weights in seen] == [[1, 0, 1], [0, 0, 1]]
