"""Mistakes inside heads, terms of the loss, map sources and refiners: each is a line with its place in the file."""

import pytest

from wsss_toolkit.recipe import RecipeErrors, load_recipe
from wsss_toolkit.recipe.parts import find_part, installed_parts, part_at

pytestmark = pytest.mark.usefixtures("adapters")

RECIPE = """\
name: x
data: {adapter: fake, root: .}
channels: {radar: {scale: decibel}}
heads:
  class: per_token
  patch: {kind: linear}
objective:
  presence: {}
  patch:
    kind: presence
    head: patch
pseudo_masks:
  source: {kind: fused, layers: last}
  refine: {affinity: {power: 1}}
segmentation:
  refine:
    pixel_adaptive:
      iterations: 2
"""


@pytest.fixture
def load(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def load(text=RECIPE, *overrides):
        (tmp_path / "x.yaml").write_text(text)
        return load_recipe("x.yaml", overrides)

    return load


def mistakes(load, text, *overrides):
    with pytest.raises(RecipeErrors) as caught:
        load(text, *overrides)
    return list(caught.value.lines)


SOURCE, REFINED = "source: {kind: fused, layers: last}", "refine: {affinity: {power: 1}}"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        # A name that nobody registered: given alone, as `kind`, or by the part's own name.
        ("class: per_token", "class: per_tokn",
         "5:3 heads.class: there is no head 'per_tokn'; did you mean per_token?"),
        ("{kind: linear}", "{kind: liner}", "6:17 heads.patch.kind: there is no head 'liner'; did you mean linear?"),
        ("kind: presence", "kind: presense",
         "10:11 objective.patch.kind: there is no term 'presense'; did you mean presence?"),
        ("  presence: {}", "  presense:\n    {}",
         "8:3 objective.presense: there is no term 'presense'; did you mean presence?"),
        (SOURCE, "source: atention",
         "13:11 pseudo_masks.source: there is no map source 'atention'; did you mean attention?"),
        ("kind: fused", "kind: fuzed",
         "13:18 pseudo_masks.source.kind: there is no map source 'fuzed'; did you mean fused?"),
        (REFINED, "refine: {afinity: {}}",
         "14:12 pseudo_masks.refine.afinity: there is no refiner 'afinity'; did you mean affinity?"),
        ("    pixel_adaptive:", "    mine:\n      kind: pixeladaptive",
         "18:13 segmentation.refine.mine.kind: there is no refiner 'pixeladaptive'; did you mean pixel_adaptive?"),
        ("kind: fused", "kind: 5", "13:18 pseudo_masks.source.kind: there is no map source 5; "
         "choose from attention, contrast, fused, gradcam, patch_scores"),
        # A key that the part does not know.
        ("{kind: linear}", "{kind: linear, shrpness: 2}",
         "6:25 heads.patch.shrpness: unknown key, did you mean sharpness?"),
        ("    head: patch", "    haed: patch", "11:5 objective.patch.haed: unknown key, did you mean head?"),
        ("presence: {}", "presence: {power: 2}",
         "8:14 objective.presence.power: unknown key; known here: kind, weight, head"),
        ("layers: last}", "lyers: last}", "13:25 pseudo_masks.source.lyers: unknown key, did you mean layers?"),
        ("{power: 1}", "{pwer: 1}", "14:23 pseudo_masks.refine.affinity.pwer: unknown key, did you mean power?"),
        ("iterations: 2", "iteration: 2",
         "18:7 segmentation.refine.pixel_adaptive.iteration: unknown key, did you mean iterations?"),
        # A value that the part does not take.
        ("{kind: linear}", "{kind: linear, pool: max}",
         "6:31 heads.patch.pool: expected 'mean' or 'lse', got 'max'"),
        ("{kind: linear}", "{kind: linear, pool: lse}",
         "6:3 heads.patch: `pool: lse` and a `sharpness` above 0 belong together"),
        ("class: per_token", "class: 5", "5:10 heads.class: expected a section of keys, got 5"),
        ("presence: {}", "presence: {weight: -1}", "8:22 objective.presence.weight: must be at least 0, got -1"),
        ("presence: {}", "presence: {weight: true}", "8:22 objective.presence.weight: expected a number, got true"),
        ("layers: last", "layers: [1, -2]", "13:37 pseudo_masks.source.layers.1: must be at least 0, got -2"),
        ("layers: last", "layers: lats",
         "13:33 pseudo_masks.source.layers: expected 'all' or 'last' or a whole number or a list, got 'lats'; "
         "did you mean last?"),
        ("{power: 1}", "{power: 0}", "14:30 pseudo_masks.refine.affinity.power: must be above 0, got 0"),
        ("iterations: 2", "iterations: few",
         "18:19 segmentation.refine.pixel_adaptive.iterations: expected a whole number, got 'few'"),
        # What does not go together.
        ("head: patch", "head: pach", "6:3 heads.patch: no term of the objective trains this head; "),
        ("  refine:\n    pixel", "  refine:\n    affinity: {}\n    pixel",
         "17:5 segmentation.refine.affinity: affinity works on the classifier's patches"),
        ("  class: per_token", "  image: per_token", "5:3 heads: no head is called `class`"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_part_is_a_line_with_its_place(load, old, new, expected):
    assert RECIPE.count(old) == 1
    found = mistakes(load, RECIPE.replace(old, new))
    assert any(line.startswith(f"x.yaml:{expected}") for line in found), found


def test_mistakes_of_several_parts_are_reported_at_once(load):
    changes = {"class: per_token": "class: per_tokn", "head: patch": "haed: patch", "last}": "lats}", "power": "pwer"}
    text = RECIPE
    for old, new in changes.items():
        text = text.replace(old, new)
    assert [line.split(" ")[0] for line in mistakes(load, text)] == [
        f"x.yaml:{place}" for place in ("5:3", "11:5", "13:33", "14:23")
    ]


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("heads.class=concatt", "there is no head 'concatt'; did you mean concat?"),
        ("objective.presence.weight=-1", "must be at least 0, got -1"),
        ("pseudo_masks.source=fuzed", "there is no map source 'fuzed'; did you mean fused?"),
        ("segmentation.refine.pixel_adaptive.iterations=0", "must be at least 1, got 0"),
        ("objective.patch.head=pach", "needs a head 'pach', did you mean patch?; add heads.pach"),
    ],
)
def test_mistakes_on_the_command_line_are_placed_there(load, override, expected):
    assert any(line.startswith(f"--set {override}") and expected in line for line in mistakes(load, RECIPE, override))


def test_a_name_alone_stands_for_its_defaults(load):
    recipe = load(RECIPE, "heads={class: {kind: per_token}, patch: linear}", "pseudo_masks.source={layers: 1}")
    assert recipe.heads == load().heads
    assert recipe.pseudo_masks.source == find_part("map_sources", "attention")(kind="attention", layers=1)


def test_kinds_are_loaded_only_when_a_recipe_names_them():
    assert list(installed_parts("refiners")) == ["affinity", "pixel_adaptive"]
    assert part_at("heads", {"pool": "mean"}, "linear") is part_at("heads", "linear", None)
    assert part_at("heads", {"kind": "other"}, "linear") is None
