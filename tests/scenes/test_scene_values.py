"""Scenes in another unit than training's are named, in the mask and the catalogue too, or refused."""

import json

import numpy as np
import pytest
import rasterio
import stacks
from click.testing import CliRunner
from test_pseudolabel import contents

from wsss_toolkit.cli.main import cli
from wsss_toolkit.scenes import job as job_module

FEW = ["--window", "32", "--device", "cpu"]

CHANGES = {
    "shares": ("sentinel2 looks divided by 10000", lambda pixels: [*pixels[:2], *(pixels[2:] / 10000)]),
    "offset": ("sentinel2 looks 1000 too high", lambda pixels: [*pixels[:2], *(pixels[2:] + 1000)]),
    "linear": ("sentinel1 looks linear instead of decibel", lambda pixels: [*10 ** (pixels[:2] / 10), *pixels[2:]]),
}


def label(*arguments, code=0):
    result = CliRunner().invoke(cli, ["pseudolabel", *FEW, *map(str, arguments)])
    assert result.exit_code == code, result.output + str(result.exception)
    return result.output


def write(path, change=None, *, size=(100, 90)):
    stacks.write_scene(path, *size)
    if change is not None:
        with rasterio.open(path, "r+") as raster:
            raster.write(np.stack(change(raster.read())).astype(np.float32))
    return path


def tag(mask):
    with rasterio.open(mask) as raster:
        return raster.tags()["wsss_values"]


@pytest.fixture
def here(trained, tmp_path, monkeypatch):
    """A folder with a run, a scene as in training, and one scene in each other unit."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "scenes" / "right.tif")
    for name, (_, change) in CHANGES.items():
        write(tmp_path / "scenes" / f"{name}.tif", change)
    return tmp_path


def test_scenes_in_another_unit_are_warned_of_with_numbers_in_tags_and_catalogue(here):
    printed = label("--tiles", "scenes", "--out", "masks")
    assert "right.tif: values" not in printed
    assert tag("masks/right_mask.tif") == "as in training"
    for name, (words, _) in CHANGES.items():
        assert f"warning: scenes/{name}.tif: values lie far off" in printed and words in printed
        found = tag(f"masks/{name}_mask.tif")
        assert words in found and "training: " in found
        assert json.loads((here / "masks" / "items" / f"{name}.json").read_text())["properties"]["wsss:values"] == found
    again = label("--tiles", "scenes", "--out", "masks")
    assert "shares: unchanged, kept" in again and CHANGES["shares"][0] in again
    refused = label("--tiles", "scenes", "--out", "masks", "--strict-values", code=1)
    assert "3 of 4 scenes failed" in refused


def test_strict_values_refuses_such_scenes_before_any_is_labelled_and_finishes_the_others(here, monkeypatch):
    labelled = []

    def label_blocks(job, *rows):
        labelled.append(job.source.name)
        return job_module.label_blocks(job, *rows)

    monkeypatch.setattr("wsss_toolkit.scenes.engine.label_blocks", label_blocks)
    printed = label("--tiles", "scenes", "--out", "masks", "--strict-values", code=1)
    assert "3 of 4 scenes failed" in printed
    assert "scenes/shares.tif: refused (--strict-values): sentinel2 looks divided by 10000" in printed
    assert sorted(path.name for path in (here / "masks").glob("*_mask.tif")) == ["right_mask.tif"]
    assert labelled == ["right"]


def test_strict_values_writes_nothing_where_every_scene_is_refused_and_keeps_older_masks(here):
    label("--tiles", "scenes/right.tif", "--out", "masks")
    before = contents(here / "masks")
    write(here / "scenes" / "right.tif", CHANGES["offset"][1])
    printed = label("--tiles", "scenes", "--out", "masks", "--strict-values", "--overwrite", code=1)
    assert "4 of 4 scenes failed" in printed
    assert contents(here / "masks") == before


def test_scale_tags_are_refused_or_followed_to_the_mask_of_the_plain_scene(here):
    def raised(pixels):
        return [*pixels[:2], *(pixels[2:] + 1000)]

    path = write(here / "tagged.tif", raised)
    with rasterio.open(path, "r+") as raster:
        raster.scales, raster.offsets = (1.0, 1.0, *[0.0001] * 4), (0.0, 0.0, *[-0.1] * 4)
    refused = label("--tiles", path, "--out", "masks", code=1)
    assert "band 3 has the tags SCALE 0.0001 and OFFSET -0.1" in refused
    assert "set `scale_tags: apply` in data.scenes.sensors.sentinel2" in refused
    key = "data.scenes.sensors.sentinel2"
    applied = ["--set", f"{key}.scale_tags=apply", "--set", f"{key}.multiply=10000"]
    assert "values lie far off" not in label("--tiles", path, "--out", "masks", *applied)
    label("--tiles", "scenes/right.tif", "--out", "masks")
    masks = (stacks.read_mask(f"masks/{name}_mask.tif") for name in ("tagged", "right"))
    np.testing.assert_array_equal(*masks)


def test_a_saturated_pixel_changes_no_more_than_a_bright_one(here):
    def with_pixel(value):
        def change(pixels):
            pixels[:, 50, 45] = value
            return pixels

        return change

    for name, value in (("bright", [10] * 2 + [20_000] * 4), ("saturated", [500] * 2 + [3e38] * 4)):
        write(here / "scenes" / f"{name}.tif", with_pixel(value))
        label("--tiles", f"scenes/{name}.tif", "--out", "masks")
    masks = (stacks.read_mask(f"masks/{name}_mask.tif") for name in ("bright", "saturated"))
    np.testing.assert_array_equal(*masks)


@pytest.mark.slow
def test_worker_processes_find_the_same(here):
    tall = write(here / "tall.tif", CHANGES["shares"][1], size=(600, 70))
    label("--tiles", tall, "--out", "one")
    label("--tiles", tall, "--out", "two", "--workers", "2")
    assert CHANGES["shares"][0] in tag(here / "one" / "tall_mask.tif")
    assert contents(here / "one") == contents(here / "two")


def test_a_run_of_an_older_version_says_once_that_nothing_is_compared(here):
    file = here / "runs" / "tiny" / "train" / "preprocessing.json"
    stored = json.loads(file.read_text())
    file.write_text(json.dumps({key: value for key, value in stored.items() if not key.startswith("quantile")}))
    printed = label("--tiles", "scenes", "--out", "masks")
    assert printed.count("does not know its training images' values") == 1 and "values lie far off" not in printed
    assert tag("masks/shares_mask.tif") == "not compared"
    assert "--strict-values: the run does not know" in label("--tiles", "scenes", "--strict-values", code=2)
