"""A run whose masks come from one head on frozen tokens, from pictures with coloured discs to masks and back."""

import json

import fake_folders
import numpy as np
import pytest
import timm
import tiny_recipe
import torch
import yaml
from PIL import Image

import wsss_toolkit as w
from wsss_toolkit.errors import DataError, UsageError
from wsss_toolkit.experiments.methods import method_recipe
from wsss_toolkit.explain.evaluate_split import evaluate_split
from wsss_toolkit.explain.explain import explain
from wsss_toolkit.recipe import load_recipe
from wsss_toolkit.runs import pipeline
from wsss_toolkit.scenes.predictor import load_predictor

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
    "consensus": {"blocks": [0, 1], "resolution": 128, "area": [0.08, 0.5]},
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
        patch.setattr("wsss_toolkit.pseudo_masks.consensus.training.IMAGES", 300)  # fewer steps than people need
        yield


@pytest.fixture(scope="module")
def report(folder, declared_adapters):
    return json.loads(pipeline.run(recipe_of(folder), out=folder / "run", device="cpu").read_text())


def test_masks_are_near_the_truth(report):
    for split in ("train", "test"):
        assert report["pseudo_masks"][split]["miou"] > 0.45


def test_nothing_was_trained_and_the_report_says_so(folder, report):
    assert report["run"]["stages"].keys() >= {"train", "consensus", "pseudo_masks"}
    assert json.loads((folder / "run" / "train" / "stage.json").read_text())["result"]["epochs"] == 0
    page = (folder / "run" / "report.html").read_text()
    assert "The backbone was not trained; heads on its tokens learned from image-level labels alone." in page
    seeds = json.loads((folder / "run" / "consensus" / "stage.json").read_text())["result"]["seeds"]
    assert 0 < seeds["foreground"] < 0.3
    assert seeds["background"] > 0.3


def test_what_an_image_shows_is_predicted(report):
    assert report["classifier"]["test"]["map"] > 0.7


def test_a_change_of_the_heads_leaves_the_backbone_as_it_is_and_of_the_seed_makes_other_masks(folder, report, capsys):
    changed = SECTIONS["consensus"] | {"head": "linear"}
    recipe = recipe_of(folder, consensus=changed)
    before = (folder / "run" / "train" / "stage.json").stat().st_mtime_ns
    pipeline.run(recipe, out=folder / "run", device="cpu", stages=["consensus"])
    assert (folder / "run" / "train" / "stage.json").stat().st_mtime_ns == before
    assert "consensus.head conv -> linear" in capsys.readouterr().err
    pipeline.run(recipe_of(folder), out=folder / "run", device="cpu", stages=["consensus"])  # comes back


def test_pictures_that_the_run_never_saw_are_labelled_by_the_same_heads(folder, report):
    picture, truth = fake_folders.pixels(1000, ("dog",))
    Image.fromarray(picture).save(folder / "unseen.png")
    w.open_run(folder / "run", device="cpu").label(folder / "unseen.png", out=folder / "labelled")
    with Image.open(folder / "labelled" / "unseen_mask.png") as file:
        mask = np.array(file)
    both, either = ((mask == 2) & (truth == 2)).sum(), ((mask == 2) | (truth == 2)).sum()
    assert both / either > 0.5
    predictor = load_predictor(w.open_run(folder / "run", device="cpu").trained, "vit", torch.device("cpu"))
    assert predictor.weights == folder / "run" / "consensus" / "consensus.safetensors"
    assert predictor.architecture == "vit_tiny_patch16_224 with a consensus head"


def test_there_is_no_attention_to_explain(folder, report):
    run = w.open_run(folder / "run", device="cpu").trained
    with pytest.raises(UsageError, match="the masks of this run come from its consensus"):
        explain(run, "0", folder / "explained", torch.device("cpu"))
    with pytest.raises(UsageError, match="the masks of this run come from its consensus"):
        evaluate_split(run, "test", folder / "explained", torch.device("cpu"), overwrite=False)


@pytest.mark.slow
def test_seeds_and_tokens_may_come_from_a_trained_classifier(folder, declared_adapters):
    section = SECTIONS["consensus"] | {"seeds": {"kind": "patch_scores"}, "tokens": "trained"}
    recipe = recipe_of(
        folder,
        train={"epochs": 2, "batch_size": 8, "lr": 1e-3},
        heads={"class": {"kind": "per_token"}, "patch": {"kind": "linear"}},
        objective={"presence": {}, "patch": {"kind": "presence", "head": "patch"}},
        consensus=section,
    )
    report = json.loads(pipeline.run(recipe, out=folder / "trained", device="cpu").read_text())
    assert report["pseudo_masks"]["train"]["pixel_accuracy"] > 0.05
    assert not (folder / "trained" / "consensus" / "model.safetensors").exists()  # it is that of `train`


def test_methods_that_train_are_not_compared_where_nothing_is(folder):
    recipe = recipe_of(folder)
    assert method_recipe(recipe, "ours") == recipe
    with pytest.raises(UsageError, match="method paper trains a Vision Transformer, and this recipe says train: null"):
        method_recipe(recipe, "paper")
    trained = recipe_of(folder, train={"epochs": 2})
    paper = method_recipe(trained, "paper")
    assert paper.consensus is None
    assert paper.pseudo_masks.background == "residual"
    assert paper.pseudo_masks.residual.peak == 0.99  # attention is no probability


def test_no_mask_is_read_after_the_labels(folder, declared_adapters, monkeypatch):
    recipe = recipe_of(folder)
    pipeline.run(recipe, out=folder / "blind", device="cpu", stages=["labels"])

    def refuse(self, key):
        raise AssertionError(f"the mask of {key} is read")

    monkeypatch.setattr("wsss_adapters.folder.folder.Folder.read_mask", refuse)
    pipeline.run(recipe, out=folder / "blind", device="cpu", stages=["train", "consensus", "pseudo_masks"])
    with pytest.raises(DataError, match=r"AssertionError: the mask of .* is read"):
        pipeline.run(recipe, out=folder / "blind", device="cpu", stages=["evaluation"])
    made, seeing = (tiny_recipe.contents(folder / name / "pseudo_masks") for name in ("blind", "run"))
    assert made == seeing  # the same recipe gives the same masks
