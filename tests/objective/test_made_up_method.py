"""A new method touches one new file: `made_up_method.py` goes the whole way without a change of anything else."""

import copy
import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import made_up_method
import pytest
import tiny_recipe
import torch
from rich.console import Console

from wsss_toolkit.domain import find_adapter
from wsss_toolkit.heads.saved import load_trained
from wsss_toolkit.recipe import RecipeErrors, load_recipe
from wsss_toolkit.runs import pipeline
from wsss_toolkit.runs.folder import RunFolder
from wsss_toolkit.runs.stages import StageWork

pytestmark = pytest.mark.usefixtures("adapters", "installed")

METHOD = {
    "model__depth": 3,
    "heads": {"class": "per_token", "top": {"share": 0.5}},
    "objective": {"presence": {}, "focus": {"weight": 0.5}, "open_gates": {}},
    "pseudo_masks": {"source": {"kind": "sharpened"}, "refine": {"blur": {"radius": 2}}, "splits": ["val"]},
    "segmentation": None,
    "evaluation": {"pseudo_masks": ["val"]},
    "export": {"splits": []},
}


def register(folder):
    """Write the metadata that installing a package leaves, and return the folder."""
    info = folder / "made_up_method-0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: made-up-method\nVersion: 0\n")
    (info / "entry_points.txt").write_text(made_up_method.ENTRY_POINTS)
    return folder


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(register(tmp_path_factory.mktemp("site")))
        patch.setattr("wsss_toolkit.domain.adapter.entry_points", lambda group: tiny_recipe.declared_adapters())
        yield


@pytest.fixture(scope="module")
def finished(installed, tmp_path_factory):
    """A finished run of two epochs: its folder and the data."""
    folder = tmp_path_factory.mktemp("made_up")
    recipe = load_recipe(tiny_recipe.write_recipe(folder / "x.yaml", folder / "data", **METHOD))
    pipeline.run(recipe, out=folder / "run", device="cpu")
    return folder / "run", folder / "data"


def mistakes(folder, **changes):
    path = tiny_recipe.write_recipe(folder / "x.yaml", folder / "data", **{**copy.deepcopy(METHOD), **changes})
    with pytest.raises(RecipeErrors) as caught:
        load_recipe(path)
    return [line.replace(f"{path}:", "x.yaml:") for line in caught.value.lines], path.read_text().splitlines()


def test_the_terms_own_weights_learn_and_come_back_with_training(finished):
    states = [torch.load(finished[0] / "train" / f"{name}.ckpt", weights_only=True) for name in ("last", "best")]
    for state in states:
        learned = state["state_dict"]["objective.own.focus.weight"]
        assert learned.shape == (8, 192)
        assert (learned.abs().amax(dim=1) > 1e-4).all(), "every class's weights began at 0"
    assert states[0]["state_dict"]["objective.own.focus.bias"].abs().min() > 0


def test_the_loss_is_logged_under_the_terms_name(finished):
    with (finished[0] / "train" / "csv" / "from_0" / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["train/loss"]]
    assert len(rows) == 2
    for row in rows:
        presence, focus, gates = (float(row[f"train/{name}"]) for name in ("presence", "focus", "open_gates"))
        assert focus > 0.5
        assert float(row["train/loss"]) == pytest.approx(presence + 0.5 * focus + 0.01 * gates, rel=1e-4)


def test_the_saved_classifier_pools_as_the_method_does(finished):
    model = load_trained(finished[0] / "train")
    assert sorted(model.head("top").state_dict()) == ["linear.bias", "linear.weight"]
    scores = model(torch.randn(2, model.backbone.patch_embed.projections[0].in_channels, 32, 32)).scores["top"]
    best = scores.maps.flatten(2).topk(8).values  # half of the 16 patches
    torch.testing.assert_close(scores.logits, best.mean(-1))


def test_pseudo_masks_are_written(finished):
    assert len(list((finished[0] / "pseudo_masks" / "val").glob("*.tif"))) >= 4
    report = json.loads((finished[0] / "report.json").read_text())
    assert report["pseudo_masks"]["val"]["images"] == 4


@pytest.mark.parametrize(
    ("override", "again"),
    [
        ("objective.focus.weight=0.25", {"train", "pseudo_masks", "evaluation"}),
        ("objective.focus.block=2", {"train", "pseudo_masks", "evaluation"}),
        ("heads.top.share=0.75", {"train", "pseudo_masks", "evaluation"}),
        ("pseudo_masks.source.power=3", {"pseudo_masks", "evaluation"}),
        ("pseudo_masks.refine.blur.radius=1", {"pseudo_masks", "evaluation"}),
        ("objective.focus.head=top", set()),
    ],
)
def test_a_changed_option_makes_its_stages_stale_and_no_others(finished, tmp_path, override, again):
    path = tiny_recipe.write_recipe(tmp_path / "x.yaml", finished[1], **METHOD)

    def digests(*overrides):
        recipe = load_recipe(path, overrides)
        work = StageWork(
            recipe, find_adapter("synthetic")(recipe.data), RunFolder(finished[0], "tiny"), "cpu", Console()
        )
        stages = pipeline.Pipeline(work)
        return {stage: stages.digest(stage) for stage in ("labels", "train", "pseudo_masks", "evaluation")}

    before, after = digests(), digests(override)
    made = json.loads((finished[0] / "train" / "stage.json").read_text())["digest"]
    assert before["train"] == made
    assert {stage for stage in before if before[stage] != after[stage]} == again


@pytest.mark.parametrize(
    ("changes", "key", "expected"),
    [
        ({"heads__top": {"shares": 1}}, "shares:", "heads.top.shares: unknown key, did you mean share?"),
        ({"heads__top": {"share": 2}}, "share:", "heads.top.share: must be at most 1, got 2"),
        ({"objective__focus": {"blok": 1}}, "blok:", "objective.focus.blok: unknown key, did you mean block?"),
        (
            {"pseudo_masks__source": {"kind": "sharpened", "power": 0}},
            "power:",
            "pseudo_masks.source.power: must be above 0, got 0",
        ),
        (
            {"pseudo_masks__refine": {"blur": {"radius": "few"}}},
            "radius:",
            "pseudo_masks.refine.blur.radius: expected a whole number, got 'few'",
        ),
        ({"pseudo_masks__source": "sharpend"}, "source:", "there is no map source 'sharpend'; did you mean sharpened?"),
    ],
)
def test_options_are_validated_at_their_place(tmp_path, changes, key, expected):
    found, text = mistakes(tmp_path, **changes)
    row = next(number for number, line in enumerate(text, 1) if line.strip().startswith(key))
    assert any(line.startswith(f"x.yaml:{row}:") and expected in line for line in found), found


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"objective__focus": {"head": "topp"}}, "objective.focus.head: needs a head 'topp', did you mean top?"),
        ({"pseudo_masks__source": {"kind": "sharpened", "head": "class"}}, "head 'class' does not give"),
        ({"objective__focus": {"block": 3}}, "objective.focus: needs block 3, and the model has blocks 0 to 2"),
        (
            {"objective__focus": {"block": 0}, "train__freeze_below": 1},
            "needs block 0, and the outputs of blocks below",
        ),
        ({"model__class_tokens__shared": True}, "objective.focus: needs a token for each class"),
    ],
)
def test_what_the_method_needs_is_asked_for(tmp_path, changes, expected):
    assert any(expected in line for line in mistakes(tmp_path, **changes)[0])


def test_a_recipe_that_lacks_what_the_method_needs_is_refused_before_torch_loads(tmp_path):
    path = tiny_recipe.write_recipe(tmp_path / "x.yaml", tmp_path / "data", **METHOD)
    environment = tiny_recipe.child_environment(tmp_path / "site")
    register(tmp_path / "site")
    here = str(Path(__file__).parent)
    environment["PYTHONPATH"] = os.pathsep.join([here, environment["PYTHONPATH"]])
    script = """
import sys
from wsss_toolkit.recipe import RecipeErrors, load_recipe
load_recipe(sys.argv[1])
try:
    load_recipe(sys.argv[1], ["objective.focus={head: topp, block: 7}"])
except RecipeErrors as error:
    print(*error.lines, "made_up_method" in sys.modules, "torch" in sys.modules, sep="\\n")
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    *lines, loaded, torch_loaded = done.stdout.splitlines()
    assert any("needs a head 'topp', did you mean top?" in line for line in lines)
    assert any("needs block 7, and the model has blocks 0 to 2" in line for line in lines)
    assert (loaded, torch_loaded) == ("True", "False")
