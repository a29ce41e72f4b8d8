"""A run whose masks come from one head on frozen tokens, from pictures with coloured discs to masks and back."""

import json

import fake_folders
import pytest
import timm
import tiny_recipe
import torch
import yaml

from wsss_toolkit.recipe import load_recipe
from wsss_toolkit.runs import pipeline

SECTIONS = {
    "name": "discs",
    "data": {
        "adapter": "folder",
        "images": "images",
        "masks": "masks",
        "classes": [{"name": name} for name in ("ground", *fake_folders.COLORS)],
        "background": "ground",
        "splits": {"fractions": {"train": 0.8, "test": 0.2}},
    },
    "channels": {"rgb": {"bands": "all", "scale": "imagenet"}},
    "labels": {"source": "mask_coverage", "min_coverage": 0.02},
    "model": {
        "backbone": "vit_tiny_patch16_224",
        "patch_size": 8,
        "image_size": 64,
        "depth": 2,
        "attention": "asymmetric",
        "class_tokens": {"enter_at": 1},
    },
    "train": None,
    "consensus": {"blocks": [0, 1], "resolution": 160, "area": [0.08, 0.5]},
    "pseudo_masks": {"splits": ["train", "test"], "background": "residual", "residual": {"peak": None}},
    "segmentation": None,
    "evaluation": {"pseudo_masks": ["train", "test"], "segmentation": []},
    "export": {"splits": ["test"]},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pictures, and a checkpoint with random weights: colours can be told by it."""
    folder = tmp_path_factory.mktemp("discs")
    fake_folders.masked(folder / "data", number=40)
    torch.manual_seed(0)
    plain = timm.create_model("vit_tiny_patch16_224", patch_size=8, img_size=64, depth=2)
    torch.save(plain.state_dict(), folder / "plain.pth")
    return folder


def recipe_of(folder, **changes):
    values = json.loads(json.dumps(SECTIONS)) | changes
    values["data"]["root"] = str(folder / "data")
    values["model"]["weights"] = str(folder / "plain.pth")
    (folder / "discs.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    return load_recipe(folder / "discs.yaml")


@pytest.fixture(scope="module")
def declared_adapters():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("wsss_toolkit.domain.adapter.entry_points", lambda group: tiny_recipe.declared_adapters())
        yield


@pytest.fixture(scope="module")
def report(folder, declared_adapters):
    return json.loads(pipeline.run(recipe_of(folder), out=folder / "run", device="cpu").read_text())


def test_masks_are_near_the_truth(report):
    for split in ("train", "test"):
        print(report["pseudo_masks"][split])
        assert report["pseudo_masks"][split]["miou"] > 0.6
