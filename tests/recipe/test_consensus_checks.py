"""What a recipe with a consensus, or without training, may not say."""

import copy

import pytest
import tiny_recipe

from wsss_toolkit.recipe import RecipeErrors, load_recipe

GOOD = {
    "train": None,
    "consensus": {"blocks": [0, 1]},
    "heads": None,
    "objective": None,
    "pseudo_masks": {"background": "residual", "residual": {"peak": None}},
    "model__weights": "weights.pth",
}


def load(tmp_path, **changes):
    values = copy.deepcopy({**GOOD, **changes})
    recipe = tiny_recipe.sections(tmp_path / "data", **values)
    recipe = {
        key: value
        for key, value in recipe.items()
        if value is not None or key in ("train", "consensus", "segmentation")
    }
    (tmp_path / "tiny.yaml").write_text(tiny_recipe.yaml.safe_dump(recipe, sort_keys=False))
    return load_recipe(tmp_path / "tiny.yaml")


pytestmark = pytest.mark.usefixtures("adapters")


def test_the_example_is_good(tmp_path):
    recipe = load(tmp_path)
    assert recipe.train is None
    assert recipe.consensus.seeds.kind == "contrast"
    assert recipe.consensus.own_seeds


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"consensus": None}, "train: null trains no classifier, and without `consensus`"),
        (
            {"consensus": None, "train": {}, "pseudo_masks": {"source": "contrast"}},
            "pseudo_masks.source: contrast takes the scores of a trained head here",
        ),
        ({"pseudo_masks__flips": True}, "pseudo_masks.flips: is not read with `consensus`"),
        ({"pseudo_masks__background": "threshold"}, "use background: residual and residual: {peak: null}"),
        ({"pseudo_masks__residual": {"peak": 0.9}}, "use background: residual and residual: {peak: null}"),
        ({"consensus": {"blocks": [2]}}, "consensus.blocks: there is no block 2; the backbone has blocks 0 to 1"),
        ({"consensus": {"blocks": [-3]}}, "consensus.blocks: there is no block -3"),
        ({"consensus": {"area": [0.3, 0.2]}}, "area is the smallest and the largest share"),
        ({"model__weights": "none"}, "consensus.tokens: tokens of a backbone without weights say nothing"),
        ({"consensus": {"tokens": "trained"}}, "consensus.tokens: no classifier is trained"),
        (
            {"consensus": {"seeds": "attention"}},
            "consensus.seeds: no classifier is trained .* no maps of kind attention",
        ),
        (
            {"consensus": {"seeds": {"kind": "contrast", "head": "patch"}}},
            "consensus.seeds.*: no classifier is trained",
        ),
        ({"segmentation": {"encoder": "classifier"}}, "segmentation.encoder: no classifier is trained"),
        ({"heads": {"class": {"kind": "mean"}}}, "heads: is not read where nothing is trained"),
        ({"model__class_tokens": {"enter_at": 0}}, r"model.class_tokens.enter_at: .*\[CLS\] stays among the tokens"),
    ],
)
def test_what_it_may_not_say(tmp_path, changes, message):
    with pytest.raises(RecipeErrors, match=message):
        load(tmp_path, **changes)
