"""Files from before heads had names: one model with `head` and `patch_classifier`, weights of losses in its section."""

import json

import pytest
import torch
from safetensors.torch import save_file
from small_model import BASE

from wsss_toolkit.heads.saved import KEY, load_model, renamed, save_model
from wsss_toolkit.model.heads_left import heads_by_block
from wsss_toolkit.model.pruning import prune
from wsss_toolkit.recipe.schema import Segmentation
from wsss_toolkit.segmentation.train import NETWORK_FILE, load_network
from wsss_toolkit.segmentation.unet import build_network

IMAGES = (2, 3, 48, 48)
SECTION = {
    **BASE,
    "attention": "asymmetric",
    "head": "per_token",
    "token_masking": 0.5,
    "class_tokens": {"enter_at": 1, "noise_std": 0.02, "shared": False},
    "gates": {"enabled": True, "l0_weight": 0.01, "log_alpha": 2.0, "lr": 0.02, "prune": True},
    "patch_classifier": {"weight": 1.0, "sharpness": 2.0},
    "diversity_weight": 0.1,
}
SAME_NOW = {
    "attention": "asymmetric",
    "class_tokens": {"enter_at": 1},
    "heads": {"class": "per_token", "patch": {"kind": "linear", "pool": "lse", "sharpness": 2.0}},
}


def described(**changes):
    return {
        "version": 1,
        "section": SECTION,
        "channels": [["camera", ["R", "G", "B"], ["R", "G", "B"]]],
        "fusion": "early",
        "classes": 4,
        "frozen_below": 0,
        "pruned": {},
        **changes,
    }


def old_names(state):
    """Return tensors under the names that they had, from those of `Classifier`."""
    old = {"heads.class_head.": "head.", "heads.patch_head.linear.": "patch_classifier.", "backbone.": ""}
    starts = {name: next(start for start in old if name.startswith(start)) for name in state}
    return {old[start] + name.removeprefix(start): state[name].contiguous() for name, start in starts.items()}


def reloaded(folder, model, **changes):
    """Return the classifier from a file of version 1 that holds the model's weights, and the file's tags."""
    path = folder / "old.safetensors"
    save_file(old_names(model.state_dict()), path, {KEY: json.dumps(described(**changes)), "classes": "a;b;c;d"})
    return load_model(path)


def same(first, second):
    pairs = [
        pair
        for name in second.scores
        for pair in zip(first.scores[name], second.scores[name], strict=True)
        if pair[1] is not None
    ]
    return list(first.scores) == list(second.scores) and all(ours.equal(theirs) for ours, theirs in pairs)


def test_a_model_of_version_1_gives_what_it_gave(classifier, spread, tmp_path):
    model = spread(classifier(**SAME_NOW)).eval()
    again, metadata = reloaded(tmp_path, model)
    images = torch.randn(IMAGES)
    assert list(again.head_options) == ["class", "patch"]
    assert same(again(images), model(images))
    assert metadata == {"classes": "a;b;c;d"}
    save_model(again, tmp_path / "new.safetensors", metadata)
    assert same(load_model(tmp_path / "new.safetensors")[0](images), model(images))


@pytest.mark.parametrize("kind", ["concat", "mean", None])
def test_every_old_head_is_found_and_no_patch_classifier_where_its_weight_was_0(classifier, spread, tmp_path, kind):
    section = {**SECTION, "attention": "joint", "patch_classifier": {"weight": 0.0, "sharpness": 0.0}, "head": kind}
    if kind is None:  # a file may leave defaults out
        del section["head"], section["patch_classifier"]
    model = spread(classifier(heads=kind or "per_token", class_tokens={"enter_at": 1})).eval()
    again, _ = reloaded(tmp_path, model, section=section)
    images = torch.randn(IMAGES)
    assert list(again.head_options) == ["class"]
    assert same(again(images), model(images))


@pytest.mark.parametrize("named", [True, False])
def test_pruned_heads_are_those_that_the_file_names_if_it_does(classifier, tmp_path, named):
    model = classifier(**SAME_NOW).eval()
    for index, values in enumerate(([1.0, -4.0, 0.2], [-4.0, -4.0, -4.0], [2.0, 0.0, -1.0])):
        model.backbone.block(index).attn.gate.log_alpha.data = torch.tensor(values)
    prune(model.backbone)
    left = {"heads": {0: [0, 2], 1: [], 2: [0, 1, 2]}} if named else {}
    again, _ = reloaded(tmp_path, model, pruned={0: [2, 3], 1: [0, 3], 2: [3, 3]}, **left)
    assert heads_by_block(tmp_path / "old.safetensors") == {0: (2, 3), 1: (0, 3), 2: (3, 3)}
    found = [again.backbone.block(i).attn.gate.heads for i in range(3)]
    assert found == ([(0, 2), (), (0, 1, 2)] if named else [None] * 3)
    images = torch.randn(IMAGES)
    assert same(again(images), model(images))


def test_tensors_of_today_keep_their_names_and_others_than_the_classifiers_are_left_alone():
    one = torch.zeros(1)
    today = {"backbone.norm.bias": one, "heads.class_head.bias": one}
    assert renamed(today) == today
    network = {"classifier.head.bias": one, "classifier.norm.bias": one, "merge.0.weight": one, "head.x": one}
    named = ["classifier.heads.class_head.bias", "classifier.backbone.norm.bias", "merge.0.weight", "head.x"]
    assert list(renamed(network, "classifier.")) == named


def test_a_segmentation_network_around_an_old_classifier_gives_what_it_gave(classifier, spread, tmp_path):
    section = {"encoder": "classifier", "weights": "none", "classifier": {"blocks": 2, "patch_scores": True}}
    network = spread(build_network(Segmentation.model_validate(section), 3, 4, classifier(**SAME_NOW)))
    state, prefix = network.state_dict(), "classifier."
    inner = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    outer = {name: value.contiguous() for name, value in state.items() if not name.startswith(prefix)}
    save_file({**outer, **{prefix + name: value for name, value in old_names(inner).items()}}, tmp_path / NETWORK_FILE)
    stored = {
        "section": {**section, "pixel_adaptive": {"iterations": 0}},
        "channels": 3,
        "classes": 4,
        "classifier": described(),
    }
    (tmp_path / "network.json").write_text(json.dumps(stored))
    images = torch.randn(IMAGES)
    assert load_network(tmp_path)(images).equal(network.eval()(images))
