from pathlib import Path

import pytest

from wsss_toolkit.recipe import RecipeErrors, load_recipe
from wsss_toolkit.recipe.load import recipe_yaml

pytestmark = pytest.mark.usefixtures("adapters")

BASE = "name: x\ndata: {adapter: fake, root: .}\nchannels: {radar: {scale: decibel}}\n"
CLASSIFIER = "segmentation.encoder=classifier"


@pytest.fixture
def load(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def load(*overrides):
        Path("x.yaml").write_text(BASE)
        return load_recipe("x.yaml", overrides)

    return load


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (
            ["segmentation.classifier.width=32"],
            "is read with `segmentation.encoder: classifier` only; set that, or leave this out",
        ),
        (
            ["segmentation.input_scale=2"],
            "--set segmentation.input_scale=2: enlarges images for `segmentation.encoder: classifier` only; set that, "
            "or leave this out",
        ),
        (
            [CLASSIFIER, "segmentation.architecture=fpn"],
            "--set segmentation.architecture=fpn: the classifier as the encoder has a decoder of its own, not fpn; "
            "use unet",
        ),
        (
            [CLASSIFIER, "segmentation.weights=imagenet"],
            "--set segmentation.weights=imagenet: the classifier as the encoder has its own trained weights; use none",
        ),
        (
            [CLASSIFIER, "model.depth=3", "segmentation.classifier.blocks=4"],
            "--set segmentation.classifier.blocks=4: the classifier has 3 blocks, got 4",
        ),
        (
            [CLASSIFIER, "segmentation.classifier.blocks=[11, 12]"],
            "the classifier has blocks 0 to 11, got 12",
        ),
        ([CLASSIFIER, "segmentation.classifier.blocks=[3, 3]"], "name each block once, got [3, 3]"),
        (
            [CLASSIFIER, "segmentation.classifier.patch_scores=true"],
            "--set segmentation.classifier.patch_scores=true: needs a head `patch` that scores "
            "patches; add heads.patch: {kind: linear}, or leave this out",
        ),
    ],
)
def test_contradictions_are_refused(load, overrides, expected):
    with pytest.raises(RecipeErrors) as caught:
        load(*overrides)
    assert expected in str(caught.value)


def test_a_recipe_that_is_fine_comes_back_from_its_own_text(load, tmp_path):
    recipe = load(CLASSIFIER, "segmentation.classifier.blocks=[3, 11]")
    assert recipe.segmentation.classifier.blocks == (3, 11)
    weighed = load("pseudo_masks.confidence=true", "segmentation.confidence_weight=1", "segmentation.ignore_share=0.2")
    terms = "objective={presence: {}, patch: {kind: presence, head: patch}}"
    heads = "heads={class: per_token, patch: linear}"
    patches = load(CLASSIFIER, "segmentation.classifier.patch_scores=true", heads, terms)
    for kept in (recipe, load(), weighed, patches):
        (tmp_path / "kept.yaml").write_text(recipe_yaml(kept))
        assert load_recipe(tmp_path / "kept.yaml") == kept
