"""Everything that users can hand over by mistake, or that others can by malice, ends in one clear line."""

import contextlib
import os
import pickle
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import rasterio
import tiny_recipe
import torch
from click.testing import CliRunner

from wsss_toolkit.cli import cli

pytestmark = pytest.mark.usefixtures("adapters")

CLASSIFIER_ONLY = {
    "segmentation": None,
    "pseudo_masks__splits": ["val"],
    "evaluation": {"pseudo_masks": ["val"]},
    "train__epochs": 1,
}


@pytest.fixture(scope="module")
def tiles(tmp_path_factory):
    """A folder of generated tiles, which tests copy before they spoil it."""
    from wsss_adapters.synthetic import Synthetic, SyntheticOptions

    root = tmp_path_factory.mktemp("tiles")
    Synthetic(SyntheticOptions.model_validate(tiny_recipe.sections(root)["data"])).prepare()
    return root


@pytest.fixture
def data(tiles, tmp_path):
    """A copy of the tiles."""
    return Path(shutil.copytree(tiles, tmp_path / "data"))


def wsss(tmp_path, data, /, *arguments, **changes):
    """Run the changed recipe, without a segmentation network unless the changes say so."""
    recipe = tiny_recipe.write_recipe(tmp_path / "tiny.yaml", data, **{**CLASSIFIER_ONLY, **changes})
    command = ["run", str(recipe), "--out", str(tmp_path / "run"), "--device", "cpu", *arguments]
    return CliRunner().invoke(cli, command)


def the_error(result, code=1):
    """Return the one line that a failed command ends with, and hold it to what every such line promises."""
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and result.stderr.rstrip("\n").endswith(errors[0]), result.stderr
    assert "unexpected" not in errors[0]
    return errors[0]


def tile(data, product, number, group="test"):
    """Return the path of one file of one tile; `test` tiles 0-7 are for training, 8-11 for validation."""
    [path] = data.glob(f"*/*_{group}/{product}_*/*_p{number}.tif")
    return path


def rewrite(path, change):
    """Replace the pixels `c h w` of a file, keeping where it lies; its type follows the pixels."""
    with rasterio.open(path) as raster:
        pixels, profile = change(raster.read()), raster.profile
    profile.update(count=pixels.shape[0], height=pixels.shape[1], width=pixels.shape[2], dtype=pixels.dtype)
    with rasterio.open(path, "w", **profile) as raster:
        raster.write(pixels)


def exported(tmp_path, key):
    with rasterio.open(tmp_path / "run" / "export" / "test" / f"{key}.tif") as mask:
        return mask.read(1)


def test_malformed_yaml(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("name: x\ntrain: {epochs: 3\nseed: 0\n")
    result = CliRunner().invoke(cli, ["run", str(path)])
    assert result.exit_code == 2 and "Traceback" not in result.output
    assert len(result.stderr.splitlines()) == 1
    assert f"{path}:3:5" in result.stderr


def test_wrong_types(tmp_path):
    path = tiny_recipe.write_recipe(tmp_path / "x.yaml", "d", train__epochs="many", model__gates=3, seed=[1])
    result = CliRunner().invoke(cli, ["run", str(path)])
    assert result.exit_code == 2 and "Traceback" not in result.output
    lines = result.stderr.splitlines()
    assert len(lines) == 3 and all(line.startswith(f"{path}:") for line in lines)
    assert {line.split()[1].rstrip(":") for line in lines} == {"seed", "model.gates", "train.epochs"}


def test_missing_data_folder(tmp_path):
    result = wsss(tmp_path, tmp_path, data={"adapter": "dfc2020", "root": str(tmp_path / "nowhere")})
    line = the_error(result)
    assert str(tmp_path / "nowhere") in line and "DFC2020 not found" in line and "download: true" in line


@pytest.mark.parametrize(("product", "number", "group"), [("dfc", 3, "test"), ("s2", 5, "test"), ("s1", 1, "validation")])
def test_truncated_geotiff(tmp_path, data, product, number, group):
    path = tile(data, product, number, group)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    line = the_error(wsss(tmp_path, data))
    assert line.startswith(f"error: {path}: not a readable raster, truncated or damaged")
    assert line.endswith("copy or download the file again")


def test_missing_file_of_a_tile(tmp_path, data):
    path = tile(data, "s1", 2)
    path.unlink()
    assert the_error(wsss(tmp_path, data)) == (
        f"error: {path}: tile test_p2 lacks this file; the copy is incomplete; unpack or download it again"
    )


def test_an_all_nodata_tile_is_trained_on_as_missing_pixels_and_its_mask_is_255(tmp_path, data):
    for product in ("s1", "s2"):
        for number, group in ((2, "test"), (1, "validation")):
            rewrite(tile(data, product, number, group), lambda pixels: np.full(pixels.shape, np.nan, np.float32))
    rewrite(tile(data, "dfc", 4), np.zeros_like)
    result = wsss(tmp_path, data)
    assert result.exit_code == 0, result.output
    assert "1 of 8 images of the split 'train' show no class and are kept out of training" in " ".join(
        result.stderr.split()
    )
    assert set(np.unique(exported(tmp_path, "val_p1"))) == {255}
    assert exported(tmp_path, "val_p0").max() < 8


def test_no_pixel_of_any_training_tile_holds_data(tmp_path, data):
    for number in range(8):
        rewrite(tile(data, "s1", number), lambda pixels: np.full(pixels.shape, np.nan, np.float32))
    line = the_error(wsss(tmp_path, data))
    assert "sentinel1" in line


def test_nan_and_infinite_pixels_are_missing_pixels(tmp_path, data):
    def spoil(pixels):
        spoiled = pixels.astype(np.float32)
        spoiled[:, :4] = np.nan
        spoiled[:, 4:8] = np.inf
        spoiled[:, 8:10] = -np.inf
        return spoiled

    for product in ("s1", "s2"):
        for number, group in ((0, "test"), (9, "test"), (0, "validation")):
            rewrite(tile(data, product, number, group), spoil)
    result = wsss(tmp_path, data)
    assert result.exit_code == 0, result.output
    mask = exported(tmp_path, "val_p0")
    assert (mask[:10] == 255).all() and (mask[10:] < 8).all()


def test_masks_with_unknown_codes(tmp_path, data):
    path = tile(data, "dfc", 6)
    rewrite(path, lambda pixels: np.full(pixels.shape, 77, np.uint8))
    line = the_error(wsss(tmp_path, data))
    assert line.startswith(f"error: {path}: unknown label codes 77; known are 0, 1, 2")


def test_tiles_smaller_than_a_crop(tmp_path):
    line = the_error(wsss(tmp_path, tmp_path / "data", model__fit="crop", data__size=16))
    assert "image of 16 x 16 pixels is smaller than a crop of 32" in line and "model.fit: resize" in line


def test_a_tile_smaller_than_a_patch(tmp_path, data):
    for product in ("s1", "s2", "dfc"):
        rewrite(tile(data, product, 2, "validation"), lambda pixels: pixels[:, :5, :7])
    result = wsss(tmp_path, data, model__fit="crop")
    assert result.exit_code == 0, result.output
    assert exported(tmp_path, "val_p2").shape == (5, 7)
    assert exported(tmp_path, "val_p2").max() < 8


def test_an_image_size_smaller_than_a_patch(tmp_path):
    recipe = tiny_recipe.write_recipe(tmp_path / "x.yaml", "d", model__image_size=4)
    result = CliRunner().invoke(cli, ["run", str(recipe)])
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert "model.image_size: 4 is not divisible by the patch size 8; the nearest are 8" in result.stderr


def test_one_class_only(tmp_path, data):
    for number in range(8):
        rewrite(tile(data, "dfc", number), np.ones_like)
    line = the_error(wsss(tmp_path, data))
    assert "every training image that shows a class shows the same: Forest" in line


def test_no_image_shows_a_class(tmp_path, data):
    line = the_error(wsss(tmp_path, data, labels={"min_coverage": 1.0}))
    assert "none of 8 training images shows a class; lower labels.min_coverage, which is 1" in line


@pytest.mark.parametrize(("split", "expected"), [("train", "the split 'train' is empty"), ("val", "'val'")])
def test_an_empty_split(tmp_path, data, split, expected):
    [path] = data.glob(f"*/dfc-{split}-new.csv")
    path.write_text("")
    [folder] = data.glob("tiles-*")
    section = {"adapter": "dfc2020", "root": str(folder), "layout": "contest", "split": "torchgeo"}
    line = the_error(wsss(tmp_path, data, data=section), code=2 if split == "val" else 1)
    assert expected in line


class Hostile:
    """Unpickling this makes a folder."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"\x80\x04 nothing that anyone wrote", bytes(4096)])
def test_a_corrupt_checkpoint(tmp_path, tiles, suffix, content):
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    assert str(path) in the_error(wsss(tmp_path, tiles, model__weights=str(path)))


def test_a_truncated_checkpoint(tmp_path, tiles):
    path = tmp_path / "weights.pth"
    torch.save({"blocks.0.norm1.weight": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:2000])
    assert str(path) in the_error(wsss(tmp_path, tiles, model__weights=str(path)))


@pytest.mark.parametrize("inside", ["alone", "legacy", "beside tensors"])
def test_a_hostile_checkpoint_is_never_run(tmp_path, tiles, inside):
    path, sign = tmp_path / "weights.pth", tmp_path / "executed"
    if inside == "legacy":
        path.write_bytes(pickle.dumps(Hostile(sign)))
    else:
        weights = {"blocks.0.norm1.weight": torch.zeros(2)} if inside == "beside tensors" else {}
        torch.save({**weights, "state_dict": Hostile(sign)}, path)
    line = the_error(wsss(tmp_path, tiles, model__weights=str(path)))
    assert str(path) in line
    assert not sign.exists()


@pytest.mark.slow
def test_a_hostile_checkpoint_of_the_encoder_is_never_run(tmp_path, tiles):
    path, sign = tmp_path / "weights.pth", tmp_path / "executed"
    torch.save({"conv1.weight": Hostile(sign)}, path)
    changes = {"segmentation": {"encoder": "resnet18", "weights": str(path)}, "pseudo_masks__splits": ["train", "val"]}
    assert str(path) in the_error(wsss(tmp_path, tiles, **changes))
    assert not sign.exists()


@contextlib.contextmanager
def small_disk(folder, kilobytes):
    """Mount a file system of a few kilobytes on a folder; skip where this is not allowed."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


# What fits: nothing, the labels, the first checkpoint but not the second, the model but not the network's checkpoints.
@pytest.mark.parametrize("kilobytes", [4, 64, 14_000, pytest.param(60_000, marks=pytest.mark.slow)])
def test_no_disk_space_in_the_output_folder(tmp_path, tiles, kilobytes):
    changes = {}
    if kilobytes == 60_000:
        changes = {"segmentation": {"encoder": "resnet18", "epochs": 1}, "pseudo_masks__splits": ["train", "val"]}
    with small_disk(tmp_path / "run", kilobytes):
        line = the_error(wsss(tmp_path, tiles, **changes))
    assert "space" in line


def test_an_output_folder_that_is_a_file(tmp_path, tiles):
    (tmp_path / "run").write_text("")
    assert the_error(wsss(tmp_path, tiles), code=2) == (
        f"error: {tmp_path / 'run'}: the folder is not a run and not empty; choose another --out"
    )
