"""Ground truth reaches label derivation and evaluation, and nothing else."""

import json
import os

import pytest
import rasterio
import tiny_recipe
import torch
from safetensors.torch import load_file

from wsss_toolkit.errors import DataError
from wsss_toolkit.recipe import load_recipe
from wsss_toolkit.runs import pipeline
from wsss_toolkit.runs.stages import StageWork

pytestmark = pytest.mark.usefixtures("adapters")


def load(tmp_path, **changes):
    return load_recipe(tiny_recipe.write_recipe(tmp_path / "tiny.yaml", tmp_path / "data", **changes))


def make_unreadable(masks):
    """Overwrite files with zeros, keeping their size and time, so that nothing but their pixels has changed."""
    for path in masks:
        stat = path.stat()
        path.write_bytes(bytes(stat.st_size))
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_after_the_labels_masks_can_be_unreadable_until_evaluation(tmp_path, monkeypatch):
    from wsss_adapters.synthetic import Synthetic

    recipe = load(tmp_path)
    pipeline.run(recipe, out=tmp_path / "with", device="cpu")
    known = Synthetic(recipe.data).fingerprint()
    monkeypatch.setattr(Synthetic, "fingerprint", lambda self: known)  # else the labels would be derived anew
    pipeline.run(recipe, out=tmp_path / "without", stages=["labels"], device="cpu")
    masks = sorted((tmp_path / "data").glob("*/*/dfc_*/*.tif"))
    assert len(masks) == 16
    make_unreadable(masks)

    pipeline.run(
        recipe, out=tmp_path / "without", stages=["train", "pseudo_masks", "segmentation", "export"], device="cpu"
    )
    for weights in ("train/model.safetensors", "segmentation/network.safetensors"):
        seeing, blind = (load_file(tmp_path / out / weights) for out in ("with", "without"))
        assert seeing.keys() == blind.keys()
        assert all(torch.equal(seeing[name], blind[name]) for name in seeing)
    for stage in ("pseudo_masks", "export"):
        expected = tiny_recipe.contents(tmp_path / "with" / stage)
        assert len(expected) >= 8
        assert tiny_recipe.contents(tmp_path / "without" / stage) == expected
    report = json.loads((tmp_path / "without" / "report.json").read_text())
    assert report["segmentation"] == {} and report["seconds"].keys() == set(pipeline.STAGES) - {
        "consensus",
        "evaluation",
    }

    with pytest.raises(DataError, match=r"dfc.*not a readable raster, truncated or damaged"):
        pipeline.run(recipe, out=tmp_path / "without", stages=["evaluation"], device="cpu")


def test_only_labels_and_evaluation_read_masks(tmp_path, monkeypatch):
    from wsss_adapters.synthetic import Synthetic

    running: list[str] = ["before"]
    asked: dict[str, set[str]] = {}
    opened: dict[str, set[str]] = {}

    def watch(stage):
        do = getattr(StageWork, stage)

        def watched(self, path, result):
            running[0] = stage
            do(self, path, result)
            running[0] = f"after {stage}"

        monkeypatch.setattr(StageWork, stage, watched)

    for stage in pipeline.STAGES:
        watch(stage)
    read_mask, open_raster, reader = Synthetic.read_mask, rasterio.open, rasterio.io.DatasetReader

    def spied_read_mask(self, key):
        asked.setdefault(running[0], set()).add(key)
        return read_mask(self, key)

    def spied_open(path, *arguments, **options):
        mode = arguments[0] if arguments else options.get("mode", "r")
        if "dfc_" in str(path) and mode == "r":
            opened.setdefault(running[0], set()).add(str(path))
        return open_raster(path, *arguments, **options)

    def spied_reader(path, *arguments, **options):  # which is what opens rasters by a list of formats
        if "dfc_" in str(path):
            opened.setdefault(running[0], set()).add(str(path))
        return reader(path, *arguments, **options)

    monkeypatch.setattr(Synthetic, "read_mask", spied_read_mask)
    monkeypatch.setattr(rasterio.io, "DatasetReader", spied_reader)
    monkeypatch.setattr(rasterio, "open", spied_open)
    pipeline.run(load(tmp_path), out=tmp_path / "run", device="cpu")
    assert asked.keys() == opened.keys() == {"labels", "evaluation"}
    assert len(asked["labels"]) == len(opened["labels"]) == 16
