"""`wsss check` finds what stops `wsss run`, with the words of `wsss run`, before anything is trained."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
import timm
import tiny_recipe
import torch
from bad_run import CLASSIFIER_ONLY, the_error, wsss
from click.testing import CliRunner
from safetensors.torch import save_file

from wsss_toolkit.cli import cli

pytestmark = pytest.mark.usefixtures("adapters")

TRAIN = [f"test_p{number}" for number in range(8)]
VAL = [f"test_p{number}" for number in range(8, 12)]
TEST = [f"val_p{number}" for number in range(4)]


@pytest.fixture
def data(tiles, tmp_path):
    """A copy of the tiles."""
    return Path(shutil.copytree(tiles, tmp_path / "data"))


def check(tmp_path, data, /, *arguments, **changes):
    """Check the changed recipe, without a segmentation network unless the changes say so."""
    recipe = tiny_recipe.write_recipe(tmp_path / "tiny.yaml", data, **{**CLASSIFIER_ONLY, **changes})
    return CliRunner().invoke(cli, ["check", str(recipe), *arguments])


def errors(result):
    """Return the lines that a check ends with."""
    assert "Traceback" not in result.output
    assert "ready" not in result.output.splitlines()[-1]
    return [line for line in result.stderr.splitlines() if line.startswith("error: ")]


def file_of(data, product, key):
    group, number = key.split("_p")
    names = {"test": "ROIs0000_test", "val": "ROIs0000_validation"}
    [path] = data.glob(f"*/{names[group]}/{product}_*/*_p{number}.tif")
    return path


def rewrite(path, change):
    """Replace the pixels `c h w` of a file."""
    with rasterio.open(path) as raster:
        pixels, profile = change(raster.read()), raster.profile
    profile.update(height=pixels.shape[1], width=pixels.shape[2], dtype=pixels.dtype)
    with rasterio.open(path, "w", **profile) as raster:
        raster.write(pixels)


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def tags(tmp_path, rows=None, **other):
    """Write a tag file of all tiles but those that `other` changes (None leaves one out), and return the changes."""
    shown = {key: ("Forest", "Water")[number % 2] for number, key in enumerate([*TRAIN, *VAL, *TEST])}
    shown = {key: classes for key, classes in {**shown, **other}.items() if classes is not None}
    path = tmp_path / "tags.csv"
    path.write_text("image,classes\n" + "".join(f"{key},{classes}\n" for key, classes in shown.items()))
    return {"labels": {"source": "tag_file", "tag_file": str(path)}}


def unreadable_tags(tmp_path, data):
    changes = tags(tmp_path)
    Path(changes["labels"]["tag_file"]).write_bytes(b"image,classes\ntest_p0,For\xe9t\n")
    return changes


def linear_under_decibel(tmp_path, data):
    for key in (*TRAIN, *VAL, *TEST):
        rewrite(file_of(data, "s1", key), lambda pixels: 10 ** (pixels / 10))
    return {"channels__sentinel1__scale": "decibel"}


def shares_under_reflectance(tmp_path, data):
    for key in TRAIN:
        rewrite(file_of(data, "s2", key), lambda pixels: (pixels / 10000).astype(np.float32))
    return {"channels__sentinel2__scale": "reflectance"}


def unreadable_image(key):
    def spoil(tmp_path, data):
        truncate(file_of(data, "s2", key))
        return tags(tmp_path)

    return spoil


def unreadable_mask(tmp_path, data):
    truncate(file_of(data, "dfc", VAL[2]))
    return tags(tmp_path)


def mask_of_another_size(tmp_path, data):
    rewrite(file_of(data, "dfc", VAL[1]), lambda pixels: pixels[:, :20, :24])
    return tags(tmp_path)


def mask_of_unknown_values(tmp_path, data):
    rewrite(file_of(data, "dfc", VAL[1]), lambda pixels: np.full_like(pixels, 77))
    return {}


def no_data(tmp_path, data):
    for key in TRAIN:
        for product in ("s1", "s2"):
            rewrite(file_of(data, product, key), lambda pixels: np.full(pixels.shape, np.nan, np.float32))
    return tags(tmp_path) | {"channels": {"sentinel1": {"scale": "decibel"}, "sentinel2": {"scale": "reflectance"}}}


def no_data_of_a_sensor(tmp_path, data):
    for key in TRAIN:
        rewrite(file_of(data, "s1", key), lambda pixels: np.full(pixels.shape, np.nan, np.float32))
    return tags(tmp_path)


def weights_of_another_model(tmp_path, data):
    other = timm.create_model("vit_tiny_patch16_224", num_classes=0, depth=1).state_dict()
    save_file(other, tmp_path / "other.safetensors")
    return {"model__weights": str(tmp_path / "other.safetensors")}


def damaged_weights(tmp_path, data):
    torch.save({"blocks.0.norm1.weight": torch.zeros(1000)}, tmp_path / "w.pth")
    truncate(tmp_path / "w.pth")
    return {"model__weights": str(tmp_path / "w.pth")}


def unreachable_weights(tmp_path, data):
    return {"model__weights": "timm"}


def split_without_labels(tmp_path, data):
    return tags(tmp_path, **dict.fromkeys(VAL)) | {
        "pseudo_masks__classes": "labels",
        "evaluation": {"pseudo_masks": []},
    }


NETWORK = {"pseudo_masks__splits": ["train"], "evaluation": {"pseudo_masks": [], "segmentation": []}}

CHEAP = {
    "tag file that is no text": unreadable_tags,
    "tag of no image": lambda tmp_path, _: tags(tmp_path, nobody="Forest"),
    "tag of no class": lambda tmp_path, _: tags(tmp_path, test_p1="Fores"),
    "tags that leave images of a split out": lambda tmp_path, _: tags(tmp_path, test_p9=None),
    "no class in any image": lambda tmp_path, _: tags(tmp_path, **dict.fromkeys(TRAIN, "")),
    "labels all alike": lambda tmp_path, _: tags(tmp_path, **dict.fromkeys(TRAIN, "Forest;Water")),
    "no coverage so large": lambda tmp_path, _: {"labels__min_coverage": 1.0},
    "mask that labels come from": mask_of_unknown_values,
    "training image": unreadable_image("test_p3"),
    "no data": no_data,
    "no data of a sensor": no_data_of_a_sensor,
    "linear under decibel": linear_under_decibel,
    "shares under reflectance": shares_under_reflectance,
    "weights of another model": weights_of_another_model,
    "damaged weights": damaged_weights,
    "weights out of reach": unreachable_weights,
}
"""Faults at which a run stops before it trains."""

DEAR = {
    "validation image": unreadable_image("test_p11"),
    "mask that cannot be read": unreadable_mask,
    "mask of another size": mask_of_another_size,
    "written split without labels": split_without_labels,
}
"""Faults at which a run stops after it has trained."""


@pytest.fixture
def no_network(monkeypatch):
    create = timm.create_model

    def refuse(*arguments, pretrained=False, **options):
        if pretrained:
            raise OSError("the network is unreachable")
        return create(*arguments, **options)

    monkeypatch.setattr("timm.create_model", refuse)


def compare(tmp_path, data, spoil):
    """Return the words of the run, once the check has been seen to say them too."""
    changes = spoil(tmp_path, data)
    checked = check(tmp_path, data, **changes)
    assert checked.exit_code == 1, checked.output
    found = errors(checked)
    stopped = the_error(wsss(tmp_path, data, **changes))
    # A check adds the file where a run names none, and how many images are concerned.
    words = stopped.removeprefix("error: ").partition("; ")[0]
    assert any(words in line for line in found), (stopped, found)
    return found


@pytest.mark.parametrize("spoil", CHEAP.values(), ids=CHEAP)
def test_what_stops_a_run_before_it_trains_is_said(tmp_path, data, spoil, request):
    if spoil is unreachable_weights:
        request.getfixturevalue("no_network")
    compare(tmp_path, data, spoil)


@pytest.mark.parametrize("spoil", DEAR.values(), ids=DEAR)
def test_what_stops_a_run_after_it_has_trained_is_said(tmp_path, data, spoil):
    compare(tmp_path, data, spoil)


def test_a_split_in_another_unit_is_warned_of(tmp_path, data):
    for key in TEST:
        rewrite(file_of(data, "s2", key), lambda pixels: (pixels / 10000).astype(np.float32))
    scored = {"pseudo_masks": ["test"], "segmentation": []}
    result = check(tmp_path, data, evaluation=scored, pseudo_masks__splits=["train", "val", "test"])
    assert "values of the split 'test' lie far off those of training: sentinel2 looks divided by 10000" in result.stdout
    assert "warning: values of the split 'val'" not in result.stdout


def test_every_fault_has_a_line(tmp_path, data):
    truncate(file_of(data, "s1", "test_p0"))
    truncate(file_of(data, "s2", VAL[0]))
    truncate(file_of(data, "dfc", VAL[1]))
    rewrite(file_of(data, "dfc", VAL[2]), lambda pixels: np.full_like(pixels, 77))
    changes = tags(tmp_path, nobody="Forest") | damaged_weights(tmp_path, data)
    checked = check(tmp_path, data, **changes)
    assert checked.exit_code == 1
    found = errors(checked)
    for named in ("w.pth", "nobody", "_s1_0_p0.tif", "_s2_0_p8.tif", "_dfc_0_p9.tif"):
        assert sum(named in line for line in found) == 1, (named, found)
    assert sum("77" in line for line in found) == 1
    assert len(found) == 6


def test_masks_that_labels_come_from_are_all_named(tmp_path, data):
    for key in (TRAIN[0], TRAIN[5], TEST[1]):
        truncate(file_of(data, "dfc", key))
    assert len(errors(check(tmp_path, data))) == 3


def test_a_network_that_cannot_be_built_is_a_fault_of_the_recipe(tmp_path, data):
    changes = {**NETWORK, "segmentation": {"encoder": "resnet81"}, "export": {"splits": []}}
    checked = check(tmp_path, data, **changes)
    assert checked.exit_code == 2
    assert errors(checked) == [the_error(wsss(tmp_path, data, **changes), code=2)]


def test_encoder_weights_that_do_not_fit(tmp_path, data):
    save_file({"conv1.weight": torch.zeros(64, 3, 7, 7)}, tmp_path / "encoder.safetensors")
    changes = {**NETWORK, "segmentation": {"encoder": "resnet18", "weights": str(tmp_path / "encoder.safetensors")}}
    checked = check(tmp_path, data, **changes)
    [line] = errors(checked)
    assert checked.exit_code == 1 and "the checkpoint does not fit the encoder: it lacks" in line


def test_gradcam_without_its_package(tmp_path, data, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("monai.")]:
        monkeypatch.delitem(sys.modules, name)  # a part that is loaded would be found without the package
    monkeypatch.setitem(sys.modules, "monai", None)
    changes = {"pseudo_masks__source": "gradcam"}
    assert errors(check(tmp_path, data, **changes)) == [the_error(wsss(tmp_path, data, **changes))]


def sites(tmp_path, data, fusion="early"):
    """Make sites of the tiles below `data`, two of which have no Sentinel-1 file."""
    for number, key in enumerate([*TRAIN, *VAL]):
        for product in ("s1", "s2"):
            if product == "s2" or number not in (2, 5):
                (data / product).mkdir(exist_ok=True)
                shutil.copy(file_of(data, product, key), data / product / f"{key}.tif")
    bands = {"sentinel1": ["VV", "VH"], "sentinel2": [f"b{number}" for number in range(13)]}
    files = {"sentinel1": "s1/{site}.tif", "sentinel2": "s2/{site}.tif"}
    changes = tags(tmp_path, **dict.fromkeys(TEST)) | {
        "data": {
            "adapter": "sentinel",
            "root": str(data),
            "sensors": {name: {"path": path, "bands": bands[name]} for name, path in files.items()},
            "classes": [{"name": "Forest", "color": "#009900"}, {"name": "Water", "color": "#1c0dff"}],
            "splits": {"lists": {"train": TRAIN, "val": VAL}},
        },
        "channels": {name: {"bands": "all", "scale": "zscore"} for name in bands} | {"fusion": fusion},
        "evaluation": {"pseudo_masks": []},
        "export": {"splits": []},
    }
    return changes


def test_a_sensor_that_some_sites_lack(tmp_path, data):
    [line] = compare(tmp_path, data, sites)
    assert line == (
        f"error: {TRAIN[2]}: image has no sentinel1 bands, like 2 of 8 images of the split 'train'; "
        "use `fusion: per_sensor`, which allows a missing sensor"
    )


def test_a_sensor_that_sites_may_lack_is_counted(tmp_path, data):
    checked = check(tmp_path, data, **sites(tmp_path, data, fusion="per_sensor"))
    assert checked.exit_code == 0, checked.output
    assert f"warning: 2 of 8 images of the split 'train' have no sentinel1 bands: {TRAIN[2]}, {TRAIN[5]}" in " ".join(
        checked.output.split()
    )


def test_a_scored_split_without_masks(tmp_path, data):
    changes = sites(tmp_path, data, fusion="per_sensor") | {"evaluation": {"pseudo_masks": ["val"]}}
    found = errors(check(tmp_path, data, **changes))
    assert found == [
        f"error: image {min(VAL)!r} has no ground-truth mask; leave its split out of the recipe's `evaluation`, "
        "or use `labels: {source: tag_file}`"
    ]
    assert the_error(wsss(tmp_path, data, **changes)) == found[0]


def test_images_of_several_sizes_in_one_batch_of_the_network(tmp_path, data):
    for product in ("s1", "s2", "dfc"):
        rewrite(file_of(data, product, "test_p4"), lambda pixels: pixels[:, :24, :28])
    changes = {**NETWORK, "segmentation": {"encoder": "resnet18", "epochs": 1, "batch_size": 4}}
    [line] = errors(check(tmp_path, data, **changes))
    assert "image 'test_p0' of the split 'train' is 32 x 32 pixels, 'test_p4' 24 x 28" in line
    changes["segmentation"]["crop_size"] = 16
    assert check(tmp_path, data, **changes).exit_code == 0


def test_ready_is_the_last_word_where_nothing_was_found(tmp_path, data):
    checked = check(tmp_path, data)
    assert checked.exit_code == 0, checked.output
    assert checked.output.splitlines()[-1].startswith(f"{tmp_path / 'tiny.yaml'}: ready; start it with: wsss run ")
    # Images of train, val and, for the export, test; masks of val, which is scored.
    assert "s: weights, labels, 16 images and 4 masks (--quick reads none)" in checked.output


def test_a_network_and_its_exported_images_are_read_too(tmp_path, data):
    truncate(file_of(data, "s2", TEST[1]))
    changes = {**NETWORK, "segmentation": {"encoder": "resnet18"}, "export": {"splits": ["test"]}}
    [line] = errors(check(tmp_path, data, **changes))
    assert "_s2_validation_p1.tif" in line


def test_images_that_are_exported_without_a_network_are_read_too(tmp_path, data):
    truncate(file_of(data, "s2", TEST[1]))
    [line] = errors(check(tmp_path, data))
    assert "_s2_validation_p1.tif" in line


def test_a_split_to_export_that_the_data_lack_is_named_before_anything_is_trained(tmp_path, data):
    changes = {**CLASSIFIER_ONLY, **sites(tmp_path, data, fusion="per_sensor"), "export": {"splits": ["test"]}}
    recipe = tiny_recipe.write_recipe(tmp_path / "tiny.yaml", data, **changes)
    for command in (["check", str(recipe)], ["run", str(recipe), "--out", str(tmp_path / "run")]):
        result = CliRunner().invoke(cli, command)
        assert result.exit_code == 2, result.output
        assert "export.splits: the data have no split 'test', choose from train, val" in result.output


def test_quick_reads_nothing_and_says_so(tmp_path, data):
    for key in [*TRAIN, *VAL]:
        for product in ("s1", "s2", "dfc"):
            truncate(file_of(data, product, key))
    checked = check(tmp_path, data, "--quick", **damaged_weights(tmp_path, data))
    assert checked.exit_code == 0, checked.output
    assert "note: --quick: no image, mask, label or weight was read" in checked.output


@pytest.mark.parametrize(("depth", "warned"), [(12, True), (1, False)])
def test_too_few_images_to_train_from_scratch(tmp_path, data, depth, warned):
    changes = {"model__depth": depth, "model__class_tokens": {"enter_at": 0}}
    checked = check(tmp_path, data, **changes)
    assert checked.exit_code == 0, checked.output
    line = "8 training images for 5.4 million parameters from scratch (model.weights: none): fewer than 55"
    assert (line in checked.output) == warned, checked.output


def test_warnings_of_the_labels(tmp_path, data):
    output = " ".join(check(tmp_path, data, **tags(tmp_path)).output.split())
    assert (
        "classes never occur in the split 'train': they cannot be learned: " in output and "'Urban/Built-up'" in output
    )


def test_a_recipe_of_the_package_is_not_rewritten():
    result = CliRunner().invoke(cli, ["check", "--upgrade", "neopolyp"])
    assert result.exit_code == 2
    assert "'neopolyp' is a recipe of this package, which is in today's spelling; name a file" in result.output
