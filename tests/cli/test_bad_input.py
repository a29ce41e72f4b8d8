"""Recipes and data that cannot be used end in one clear line; data with gaps are used."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
import tiny_recipe
from bad_run import the_error, wsss
from click.testing import CliRunner

from wsss_toolkit.cli import cli

pytestmark = pytest.mark.usefixtures("adapters")


@pytest.fixture
def data(tiles, tmp_path):
    """A copy of the tiles."""
    return Path(shutil.copytree(tiles, tmp_path / "data"))


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


@pytest.mark.parametrize(
    ("product", "number", "group"), [("dfc", 3, "test"), ("s2", 5, "test"), ("s1", 1, "validation")]
)
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


def test_an_all_nodata_tile_is_left_out_by_name_and_its_mask_is_255(tmp_path, data):
    for product in ("s1", "s2"):
        for number, group in ((2, "test"), (1, "validation")):
            rewrite(tile(data, product, number, group), lambda pixels: np.full(pixels.shape, np.nan, np.float32))
    rewrite(tile(data, "dfc", 4), np.zeros_like)
    result = wsss(tmp_path, data)
    assert result.exit_code == 0, result.output
    assert "1 of 8 images of the split 'train' show no class and are kept out of training" in " ".join(
        result.stderr.split()
    )
    assert "warning: 1 training images hold no data and were left out: test_p2" in " ".join(result.stderr.split())
    assert set(np.unique(exported(tmp_path, "val_p1"))) == {255}
    assert exported(tmp_path, "val_p0").max() < 8


def test_no_training_tile_holds_data(tmp_path, data):
    for product in ("s1", "s2"):
        for number in range(8):
            rewrite(tile(data, product, number), lambda pixels: np.full(pixels.shape, np.nan, np.float32))
    scale = {"sentinel1": {"scale": "decibel"}, "sentinel2": {"scale": "reflectance"}}
    assert "no training image holds data" in the_error(wsss(tmp_path, data, channels=scale))


def test_no_pixel_of_a_sensor_holds_data(tmp_path, data):
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
    assert "training images have missing pixels (nodata, NaN or infinite)" in " ".join(result.stderr.split())
    mask = exported(tmp_path, "val_p0")
    assert (mask[:10] == 255).all() and (mask[10:] < 8).all()


def test_masks_with_unknown_codes(tmp_path, data):
    path = tile(data, "dfc", 6)
    rewrite(path, lambda pixels: np.full(pixels.shape, 77, np.uint8))
    line = the_error(wsss(tmp_path, data))
    assert line.startswith(f"error: {path}: unknown label codes 77; known are 0, 1, 2")


def test_tiles_smaller_than_a_crop_are_extended(tmp_path):
    result = wsss(tmp_path, tmp_path / "data", model__fit="crop", data__size=16)
    assert result.exit_code == 0, result.output
    assert exported(tmp_path, "val_p0").shape == (16, 16)


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


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        ("train", ["error: recipe tiny: data: the split 'train' is empty; there is nothing to train on"]),
        (
            "val",
            [
                "recipe tiny: pseudo_masks.splits: the split 'val' is empty; leave it out here",
                "recipe tiny: evaluation.pseudo_masks: the split 'val' is empty; leave it out here",
            ],
        ),
    ],
)
def test_an_empty_split(tmp_path, data, split, expected):
    [path] = data.glob(f"*/dfc-{split}-new.csv")
    path.write_text("")
    [folder] = data.glob("tiles-*")
    section = {"adapter": "dfc2020", "root": str(folder), "layout": "contest", "split": "torchgeo"}
    result = wsss(tmp_path, data, data=section)
    assert result.exit_code == 2
    assert result.stderr.splitlines() == expected


def test_a_run_without_a_validation_split(tmp_path, data):
    [path] = data.glob("*/dfc-val-new.csv")
    path.write_text("")
    section = {"adapter": "dfc2020", "root": str(path.parent), "layout": "contest", "split": "torchgeo"}
    changes = {"pseudo_masks__splits": ["train"], "evaluation": {"pseudo_masks": ["train"]}}
    result = wsss(tmp_path, data, data=section, **changes)
    assert result.exit_code == 0, result.output
    assert "arning" not in result.output.replace("warning: class", "")
