import json
from pathlib import Path

import pytest
import tiny_recipe
import yaml
from click.testing import CliRunner

from wsss_toolkit.cli import cli
from wsss_toolkit.errors import UsageError
from wsss_toolkit.experiments import methods
from wsss_toolkit.experiments.methods import METHODS, choose_methods, method_recipe, method_rows
from wsss_toolkit.experiments.supervised_inputs import network_section
from wsss_toolkit.objective.kinds import Presence
from wsss_toolkit.pseudo_masks.refiners.affinity import Affinity
from wsss_toolkit.pseudo_masks.sources.attention import Attention
from wsss_toolkit.pseudo_masks.sources.fused import Fused
from wsss_toolkit.recipe import RecipeErrors, bundled_recipes, load_recipe
from wsss_toolkit.recipe.schema import Segmentation
from wsss_toolkit.recipe.upgrade import upgrade

pytestmark = pytest.mark.usefixtures("adapters")

SUPERVISED = ("supervised_unet", "supervised_head", "supervised_vit")
"""They read less of the recipe, see supervised_inputs.py."""

REFINED = {
    "pseudo_masks__flips": True,
    "pseudo_masks__scales": [1.0, 1.5],
    "pseudo_masks__refine": {"affinity": {"iterations": 2}, "pixel_adaptive": {"iterations": 3}},
    "pseudo_masks__ignore_below": 0.1,
    "pseudo_masks__confidence": True,
    "pseudo_masks__splits": ["train", "val"],
    "pseudo_masks__threshold": {"method": "fixed", "value": 0.3},
    "train__freeze_below": 1,
    "objective__map_diversity": {"weight": 0.1},
    "model__gates": {"log_alpha": 0.5, "lr": 0.1},
}


@pytest.fixture
def recipe(tmp_path):
    return load_recipe(tiny_recipe.write_recipe(tmp_path / "tiny.yaml", tmp_path / "data", **REFINED))


@pytest.mark.parametrize("name", METHODS)
def test_every_method_keeps_data_weights_and_budget(recipe, name):
    made = method_recipe(recipe, name)
    for section in ("name", "seed", "data", "channels", "labels", "segmentation", "evaluation", "export"):
        assert getattr(made, section) == getattr(recipe, section)
    for key in ("backbone", "weights", "image_size", "patch_size", "depth", "fit"):
        assert getattr(made.model, key) == getattr(recipe.model, key)
    same = made.train.model_copy(update={"freeze_below": recipe.train.freeze_below})
    assert same == recipe.train
    assert made.pseudo_masks.splits == ("train", "val") and made.pseudo_masks.classes == "predicted"
    assert made.pseudo_masks.confidence


@pytest.mark.parametrize("name", ["ours", *SUPERVISED])
def test_some_methods_are_the_recipe_as_it_is(recipe, name):
    assert method_recipe(recipe, name) == recipe


@pytest.mark.parametrize("name", ["paper", "sparse_vit", "mctformer", "gradcam"])
def test_competitors_have_none_of_our_additions(recipe, name):
    made = method_recipe(recipe, name)
    masks, model = made.pseudo_masks, made.model
    assert (masks.flips, masks.scales, masks.ignore_below) == (False, (1.0,), 0.0)
    assert "pixel_adaptive" not in masks.refine
    assert masks.threshold.method == "mean", "without a background the threshold is the method's"
    assert (model.attention, model.class_tokens.enter_at) == ("joint", 0) and "map_diversity" not in made.objective
    assert made.train.freeze_below == 0
    assert masks.background == "none"


def test_paper(recipe):
    made = method_recipe(recipe, "paper")
    model, masks = made.model, made.pseudo_masks
    assert (model.token_masking, model.registers, model.class_tokens.shared) == (0.5, 1, False)
    assert {name: head.kind for name, head in made.heads.items()} == {"class": "concat"}
    assert model.gates.enabled and made.objective["open_gates"].weight == 0.01
    assert (model.gates.log_alpha, model.gates.lr) == (0.5, 0.1), "how gates learn is the recipe's"
    assert list(made.objective) == ["presence", "open_gates"]
    assert masks.source == Attention(kind="attention", layers="all")
    assert (masks.assign, masks.fill, masks.refine) == ("paint", "majority", {})


def test_sparse_vit_is_the_paper_with_one_class_token(recipe):
    paper, made = method_recipe(recipe, "paper"), method_recipe(recipe, "sparse_vit")
    assert made.pseudo_masks == paper.pseudo_masks
    assert made.model.class_tokens.shared and made.model.token_masking == 0 and made.model.gates.enabled
    changes = {"token_masking": 0.5, "class_tokens": paper.model.class_tokens}
    assert made.model.model_copy(update=changes) == paper.model


def test_mctformer(recipe):
    made = method_recipe(recipe, "mctformer")
    model, masks = made.model, made.pseudo_masks
    assert (model.token_masking, model.gates.enabled, model.registers) == (0, False, 0)
    assert {name: head.kind for name, head in made.heads.items()} == {"class": "mean", "patch": "linear"}
    assert made.objective["patch"] == Presence(kind="presence", head="patch", weight=1)
    assert (masks.assign, masks.normalize) == ("argmax", "max")
    assert masks.refine == {"affinity": Affinity(kind="affinity", iterations=1, power=1.0)}
    assert masks.source == Fused(kind="fused", layers=2), "the tiny model has no third block"
    deep = load_recipe(bundled_recipes()["camvid"][0])
    assert method_recipe(deep, "mctformer").pseudo_masks.source.layers == 3


def test_gradcam_is_a_plain_vision_transformer(recipe):
    made = method_recipe(recipe, "gradcam")
    model = made.model
    assert model.class_tokens.shared and not model.gates.enabled and model.token_masking == 0 and model.registers == 0
    assert {name: head.kind for name, head in made.heads.items()} == {"class": "concat"}
    assert made.pseudo_masks.source.kind == "gradcam"


BEFORE = Path(__file__).parent / "methods_before.json"
"""What competitors set when recipes were written with `model.head`, `model.patch_classifier` and so on."""


@pytest.mark.parametrize("name", ["paper", "sparse_vit", "mctformer", "gradcam"])
@pytest.mark.parametrize("bundled", ["quickstart", "camvid", "neopolyp"])
def test_competitors_mean_what_they_meant_in_the_older_spelling(name, bundled):
    recipe = load_recipe(bundled_recipes()[bundled][0], ["data.root=nowhere"])
    own, before = recipe.model_dump(), json.loads(BEFORE.read_text())
    kept = dict(methods.KEPT)
    if recipe.pseudo_masks.background != "none":
        kept["pseudo_masks"] += methods.KEPT_WITH_BACKGROUND
    values = {
        section: {**before["same"][section], **before[name][section], **{key: own[section][key] for key in keys}}
        for section, keys in kept.items()
    }
    values["model"]["gates"] |= {key: own["model"]["gates"][key] for key in ("log_alpha", "lr")}
    upgrade(values)
    if not values["model"]["gates"]["enabled"]:
        del values["objective"]["open_gates"]  # the number of open gates was 0
    own["train"]["freeze_below"] = 0
    own["segmentation"]["classifier"]["patch_scores"] &= "patch" in values["heads"]
    expected = type(recipe).model_validate({**own, **values, "data": recipe.data})
    made = method_recipe(recipe, name)
    assert made == expected
    for section in (made, expected):  # the order of terms and refiners counts, and equal mappings may differ in it
        assert list(section.objective) == [
            term for term in ("presence", "patch", "open_gates") if term in made.objective
        ]
    assert ("open_gates" in made.objective) == made.model.gates.enabled


@pytest.mark.parametrize("name", ["paper", "sparse_vit", "mctformer", "gradcam"])
def test_a_background_and_its_threshold_stay_the_recipes(name):
    recipe = load_recipe(bundled_recipes()["neopolyp"][0])
    made = method_recipe(recipe, name).pseudo_masks
    assert made.background == recipe.pseudo_masks.background != "none"
    assert made.threshold == recipe.pseudo_masks.threshold
    assert (made.threshold.method, made.threshold.value) == ("fixed", 0.35)


@pytest.mark.parametrize("bundled", ["quickstart", "camvid", "neopolyp", "dfc2020", "voc", "paper/voc"])
def test_methods_go_with_the_recipes_that_come_with_the_toolkit(bundled):
    recipe = load_recipe(bundled_recipes()[bundled][0])
    assert [row.name for row in method_rows(recipe, list(METHODS))] == list(METHODS)


def test_patch_scores_go_with_the_methods_that_train_a_head_for_them(tmp_path):
    network = {"encoder": "classifier", "classifier": {"blocks": 2, "patch_scores": True}}
    recipe = load_recipe(tiny_recipe.write_recipe(tmp_path / "tiny.yaml", tmp_path / "data", segmentation=network))
    read = {row.name: row.recipe.segmentation.classifier.patch_scores for row in method_rows(recipe, list(METHODS))}
    assert {name for name, value in read.items() if value} == {"ours", "mctformer", *SUPERVISED}
    sections = [network_section(recipe, kind) for kind in ("supervised_unet", "supervised_head")]
    assert not any(section.classifier.patch_scores for section in sections), "no classifier was trained there"


def test_the_supervised_head_reads_enlarged_images_whatever_the_recipes_network(recipe):
    assert recipe.segmentation.encoder != "classifier" and network_section(recipe, "supervised_unet").input_scale == 1
    section = network_section(recipe, "supervised_head")
    assert (section.encoder, section.weights, section.input_scale) == ("classifier", "none", 2)
    assert (section.batch_size, section.refine) == (recipe.segmentation.batch_size, recipe.segmentation.refine)
    Segmentation.model_validate(section.model_dump())
    whole = recipe.model_copy(update={"model": recipe.model.model_copy(update={"depth": 12}), "segmentation": None})
    assert network_section(whole, "supervised_head").classifier.blocks == (8, 11)


def test_supervised_rows_are_marked(recipe):
    marked = {row.name: row.supervised for row in method_rows(recipe, list(METHODS))}
    assert all(marked.pop(name) == name for name in SUPERVISED)
    assert set(marked.values()) == {None}


def test_wrong_values_are_named_with_their_method(recipe, monkeypatch):
    wrong = methods.Method("x", {**methods.PAPER, "model.registers": -1})
    monkeypatch.setattr(methods, "METHODS", {"paper": wrong})
    with pytest.raises(RecipeErrors, match=r"method paper of tiny: model.registers: must be at least 0"):
        method_recipe(recipe, "paper")
    clash = methods.Method("x", {**methods.PAPER, "pseudo_masks.source": {"kind": "fused"}})
    monkeypatch.setattr(methods, "METHODS", {"paper": clash})
    with pytest.raises(RecipeErrors, match=r"method paper of tiny: pseudo_masks.source.head: needs a head 'patch'"):
        method_recipe(recipe, "paper")


def test_choosing_methods():
    assert choose_methods("paper, supervised-unet") == ("paper", "supervised_unet")
    for text, message in (("papr", "did you mean paper"), ("ours,ours", "names 'ours' twice"), (",", "no method")):
        with pytest.raises(UsageError, match=message):
            choose_methods(text)


def show(folder, method, **changes):
    path = tiny_recipe.write_recipe(folder / "tiny.yaml", folder / "data", **changes)
    return CliRunner().invoke(cli, ["compare", str(path), "--show", method, "--set", "seed=5"])


@pytest.mark.parametrize("name", [name for name in METHODS if name not in SUPERVISED])
def test_a_method_is_shown_as_a_recipe_that_loads_as_it(tmp_path, name):
    result = show(tmp_path, name)
    assert result.exit_code == 0, result.output
    assert result.output.startswith(f"# tiny, method {name}: ")
    (tmp_path / "shown.yaml").write_text(result.output)
    loaded, recipe = load_recipe(tmp_path / "shown.yaml"), load_recipe(tmp_path / "tiny.yaml", ["seed=5"])
    assert loaded.name == ("tiny" if name == "ours" else f"tiny-{name}"), "its run lies beside the recipe's own"
    assert loaded.model_copy(update={"name": "tiny"}) == method_recipe(recipe, name)
    assert yaml.safe_load(result.output)["seed"] == 5


def test_the_name_of_a_shown_recipe_is_not_too_long(tmp_path):
    (tmp_path / "shown.yaml").write_text(show(tmp_path, "sparse_vit", name="n" * 100).output)
    name = load_recipe(tmp_path / "shown.yaml").name
    assert name.startswith("n" * 90) and name != "n" * 100 and len(name) <= 100


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("supervised_unet", "supervised_unet is no recipe: it learns from ground-truth masks"),
        ("supervised-vit", "carry it out with wsss compare --methods supervised_vit"),
        ("ours,paper", "--show prints one recipe, and ours, paper are 2; name one method"),
        (",", "--show names no method; choose from ours, paper"),
        ("papr", "there is no method 'papr'"),
    ],
)
def test_what_is_no_recipe_is_not_shown(tmp_path, text, message):
    result = show(tmp_path, text)
    assert result.exit_code == 2 and message in result.output
    assert len(result.output.splitlines()) == 1
