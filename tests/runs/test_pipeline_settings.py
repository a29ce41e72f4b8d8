"""The whole way with settings other than the tiny recipe's."""

import json

import numpy as np
import pytest
import rasterio
import tiny_recipe
from safetensors.torch import load_file

from wsss_toolkit.recipe import load_recipe
from wsss_toolkit.runs import pipeline

pytestmark = pytest.mark.usefixtures("adapters")

CLASSIFIER_ONLY = {"segmentation": None, "pseudo_masks__splits": ["val"], "evaluation": {"pseudo_masks": ["val"]}}
PAPER = {
    "model__class_tokens": {"enter_at": 0},
    "model__attention": "joint",
    "heads": {"class": {"kind": "concat"}},
    "objective": {"presence": {}, "open_gates": {}, "map_diversity": {"weight": 0.1}},
    "pseudo_masks__source": {"kind": "attention", "layers": "all"},
    "pseudo_masks__assign": "paint",
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The folder of the tiles, which the first run generates."""
    return tmp_path_factory.mktemp("settings") / "data"


def run(tmp_path, data, out="run", **changes):
    """Run the changed tiny recipe without a segmentation network; return its report."""
    values = {**CLASSIFIER_ONLY, **changes}
    recipe = load_recipe(tiny_recipe.write_recipe(tmp_path / "tiny.yaml", data, **values))
    return json.loads(pipeline.run(recipe, out=tmp_path / out, device="cpu").read_text())


def model(tmp_path, out):
    return load_file(tmp_path / out / "train" / "model.safetensors")


def equal(first, second):
    return first.keys() == second.keys() and all(bool((first[name] == second[name]).all()) for name in first)


def exported(tmp_path, key):
    with rasterio.open(tmp_path / "run" / "export" / "test" / f"{key}.tif") as mask:
        return mask.read(1)


def test_without_a_segmentation_network_the_classifier_makes_the_masks(tmp_path, data):
    report = run(tmp_path, data)
    assert report["segmentation"] == {} and "segmentation" not in report["seconds"]
    assert len(list((tmp_path / "run" / "export" / "test").glob("*.tif"))) == 4
    assert exported(tmp_path, "val_p0").max() < 8


def test_settings_of_the_paper(tmp_path, data):
    report = run(tmp_path, data, **PAPER)
    assert report["gates"]["total"] == 6
    assert report["pseudo_masks"]["val"]["images"] == 4
    assert np.unique(exported(tmp_path, "val_p0")).max() < 8


def test_the_seed_decides_the_model(tmp_path, data):
    stages = {"train__epochs": 1}
    run(tmp_path, data, "a", **stages)
    run(tmp_path, data, "b", **stages)
    run(tmp_path, data, "c", seed=4, **stages)
    assert equal(model(tmp_path, "a"), model(tmp_path, "b"))
    assert not equal(model(tmp_path, "a"), model(tmp_path, "c"))


def test_frozen_blocks_kept_in_memory_or_on_disk_give_the_same_model(tmp_path, data):
    flips = {"train__augment": {"horizontal_flip": True, "vertical_flip": True}}
    for out, changes in {
        "memory": {"train__freeze_below": 1},
        "disk": {"train__freeze_below": 1, "machine__cache": "disk"},
        "free": {"train__freeze_below": 0},
    }.items():
        run(tmp_path, data, out, **flips, **changes)
    memory, disk, free = (model(tmp_path, out) for out in ("memory", "disk", "free"))
    assert equal(memory, disk)
    assert not equal(memory, free)
    frozen = [name for name in memory if name.startswith(("backbone.blocks.0.", "backbone.patch_embed."))]
    assert any(bool((memory[name] != free[name]).any()) for name in frozen)
    assert not list((tmp_path / "disk" / "train").glob("*.npy")), "the cache is of no use to a trained model"


def test_a_model_of_both_sensors_labels_a_tile_that_lacks_one(tmp_path):
    data = tmp_path / "data"
    changes = {"channels__fusion": "per_sensor", "channels__sensor_dropout": 0.5, "model__fit": "crop"}
    run(tmp_path, data, "before", **changes)
    [path] = data.glob("*/ROIs0000_validation/s1_validation/*_p1.tif")
    with rasterio.open(path, "r+") as tile:
        tile.write(np.full((2, 32, 32), np.nan, np.float32))
    run(tmp_path, data, **changes)
    mask = exported(tmp_path, "val_p1")
    assert mask.max() < 8, "optical pixels are enough"


def test_an_image_without_any_data_is_255_throughout(tmp_path):
    data = tmp_path / "data"
    run(tmp_path, data, "before")
    for product in ("s1", "s2"):
        [path] = data.glob(f"*/ROIs0000_validation/{product}_validation/*_p1.tif")
        with rasterio.open(path, "r+") as tile:
            pixels = tile.read()
            tile.nodata = 0
            tile.write(np.zeros_like(pixels))
    run(tmp_path, data)
    assert set(np.unique(exported(tmp_path, "val_p1"))) == {255}
    assert exported(tmp_path, "val_p0").max() < 8


@pytest.mark.slow
def test_two_processes_train_together(tmp_path, data):
    report = run(tmp_path, data, machine__devices=2, train__batch_size=2)
    assert report["pseudo_masks"]["val"]["images"] == 4
    run(tmp_path, data, "again", machine__devices=2, train__batch_size=2)
    assert equal(model(tmp_path, "run"), model(tmp_path, "again"))
