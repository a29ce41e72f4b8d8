"""Recipes in the spelling of the version before: they mean what they meant, and can be rewritten."""

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from wsss_toolkit.cli import cli
from wsss_toolkit.errors import UsageError
from wsss_toolkit.recipe import bundled_recipes, load_recipe, open_recipe
from wsss_toolkit.recipe.upgrade_text import upgrade_file, upgraded_text

pytestmark = pytest.mark.usefixtures("adapters")

OLD = Path(__file__).parent / "old_recipes"
NAMES = sorted(path.stem for path in OLD.glob("*.yaml"))

RECIPE = """\
name: x
data: {adapter: fake, root: .}
channels: {radar: {scale: decibel}}
"""
NEW = (
    RECIPE
    + """\
heads: {class: per_token, patch: linear}
objective: {presence: {}, patch: {kind: presence, head: patch}, open_gates: {}}
pseudo_masks: {source: {kind: fused, layers: last}, refine: {pixel_adaptive: {iterations: 10}}}
segmentation: {refine: {pixel_adaptive: {iterations: 3}}}
"""
)


@pytest.fixture
def load(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def load(text, *overrides):
        Path("x.yaml").write_text(text)
        return open_recipe("x.yaml", overrides)

    return load


def bundled(name):
    return load_recipe(bundled_recipes()[name.replace("__", "/")][0])


@pytest.mark.parametrize("name", NAMES)
def test_an_old_recipe_means_what_its_new_text_means(name):
    file = open_recipe(OLD / f"{name}.yaml")
    assert file.upgraded and file.recipe == bundled(name)


@pytest.mark.parametrize(
    ("old", "new", "count"),
    [
        ("model: {head: concat}", "heads: {class: concat}", 1),
        ("model: {gates: {l0_weight: 0.5}}", "objective: {presence: {}, open_gates: {weight: 0.5}}", 1),
        ("model: {diversity_weight: 0.1}",
         "objective: {presence: {}, open_gates: {}, map_diversity: {weight: 0.1}}", 1),
        ("model: {diversity_weight: 0}", "", 1),
        ("model: {patch_classifier: {weight: 0.5}}",
         "heads: {class: per_token, patch: linear}\n"
         "objective: {presence: {}, patch: {kind: presence, head: patch, weight: 0.5}, open_gates: {}}", 1),
        ("model: {patch_classifier: {weight: 1.0, sharpness: 2.0}}",
         "heads: {class: per_token, patch: {kind: linear, pool: lse, sharpness: 2}}\n"
         "objective: {presence: {}, patch: {kind: presence, head: patch}, open_gates: {}}", 1),
        ("model: {patch_classifier: {weight: 0}}", "", 1),
        ("pseudo_masks: {layers: last}", "pseudo_masks: {source: {kind: attention, layers: last}}", 1),
        ("pseudo_masks: {source: gradcam, layers: 3}", "pseudo_masks: {source: gradcam}", 1),
        ("model: {patch_classifier: {weight: 1}}\npseudo_masks: {source: patch_classifier}",
         "heads: {class: per_token, patch: linear}\n"
         "objective: {presence: {}, patch: {kind: presence, head: patch, weight: 1}, open_gates: {}}\n"
         "pseudo_masks: {source: patch_scores}", 2),
        ("pseudo_masks: {affinity: {iterations: 2, power: 3}}",
         "pseudo_masks: {refine: {affinity: {iterations: 2, power: 3}}}", 1),
        ("pseudo_masks: {affinity: {iterations: 0}}", "", 1),
        ("pseudo_masks: {pixel_adaptive: {iterations: 4}}",
         "pseudo_masks: {refine: {pixel_adaptive: {iterations: 4}}}", 1),
        ("segmentation: {pixel_adaptive: {iterations: 5}}",
         "segmentation: {refine: {pixel_adaptive: {iterations: 5}}}", 1),
        ("model: {head: mean, gates: {l0_weight: 0.2}, diversity_weight: 0.3, patch_classifier: {weight: 2}}\n"
         "pseudo_masks: {source: fused, layers: [3], affinity: {iterations: 1}, pixel_adaptive: {iterations: 6}}\n"
         "segmentation: {pixel_adaptive: {iterations: 7}}",
         "heads: {class: mean, patch: linear}\n"
         "objective: {presence: {}, patch: {kind: presence, head: patch, weight: 2}, open_gates: {weight: 0.2}, "
         "map_diversity: {weight: 0.3}}\n"
         "pseudo_masks: {source: {kind: fused, layers: [3]}, "
         "refine: {affinity: {iterations: 1}, pixel_adaptive: {iterations: 6}}}\n"
         "segmentation: {refine: {pixel_adaptive: {iterations: 7}}}", 8),
    ],
)  # fmt: skip
def test_every_old_key_alone_and_all_together(load, old, new, count):
    found = load(RECIPE + old)
    expected = load(RECIPE + new)
    assert found.recipe == expected.recipe and list(found.recipe.objective) == list(expected.recipe.objective)
    assert len(found.upgraded) == count and expected.upgraded == ()
    text = upgraded_text(RECIPE + old, "x.yaml")
    assert load(text).recipe == expected.recipe and load(text).upgraded == (), text


@pytest.mark.parametrize(
    ("overrides", "same"),
    [
        (["model.patch_classifier.weight=0", "pseudo_masks.source=attention"],
         ["heads={class: per_token}", "objective={presence: {}, open_gates: {}}", "pseudo_masks.source=attention"]),
        (["model.patch_classifier.weight=0.5"], ["objective.patch.weight=0.5"]),
        (["pseudo_masks.layers=all"], ["pseudo_masks.source.layers=all"]),
        (["pseudo_masks.source=attention", "pseudo_masks.layers=2"],
         ["pseudo_masks.source={kind: attention, layers: 2}"]),
        (["pseudo_masks.pixel_adaptive.iterations=0"], ["pseudo_masks.refine={}"]),
        (["pseudo_masks.pixel_adaptive.iterations=7"], ["pseudo_masks.refine.pixel_adaptive.iterations=7"]),
        (["segmentation.pixel_adaptive.iterations=5"], ["segmentation.refine.pixel_adaptive.iterations=5"]),
        (["pseudo_masks.affinity={iterations: 2, power: 1}"],
         ["pseudo_masks.refine.affinity={iterations: 2, power: 1}"]),
        (["model.head=concat"], ["heads.class=concat"]),
        (["model.gates.l0_weight=0.1"], ["objective.open_gates.weight=0.1"]),
        (["model.diversity_weight=0.2"], ["objective.map_diversity.weight=0.2"]),
    ],
)  # fmt: skip
def test_old_keys_change_a_new_recipe_as_new_ones_do(load, overrides, same):
    found = load(NEW, *overrides)
    assert found.upgraded and found.recipe == load(NEW, *same).recipe


@pytest.mark.parametrize("name", NAMES)
def test_a_rewritten_recipe_means_the_same_and_keeps_its_comments(name, tmp_path):
    old = (OLD / f"{name}.yaml").read_text()
    path = tmp_path / f"{name}.yaml"
    path.write_text(old)
    lines = upgrade_file(path)
    new = path.read_text()
    assert lines == list(open_recipe(OLD / f"{name}.yaml").upgraded)
    assert open_recipe(path).recipe == bundled(name) and open_recipe(path).upgraded == ()
    assert (tmp_path / f"{name}.yaml.old").read_text() == old and len(list(tmp_path.iterdir())) == 2
    today = yaml.safe_load(new)
    for line in old.splitlines():
        gone = ("head:", "gates:", "patch_classifier:", "layers:", "source:", "pixel_adaptive:", "pseudo_masks: {")
        if not line.strip().startswith(gone):
            assert line in new.splitlines(), line
    order = [key for key in yaml.safe_load(old)]
    assert [key for key in today if key in order] == order
    assert list(today).index("heads") < list(today).index("train")
    assert upgrade_file(path) == []


def test_nothing_is_overwritten_and_mistakes_leave_the_file(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text(RECIPE + "model: {head: concat}\n")
    (tmp_path / "x.yaml.old").write_text("mine")
    with pytest.raises(UsageError, match=r"x.yaml.old: exists already"):
        upgrade_file(path)
    assert path.read_text().endswith("concat}\n") and (tmp_path / "x.yaml.old").read_text() == "mine"
    path.write_text(RECIPE + "model: {head: concatt}\n")
    with pytest.raises(UsageError, match="did you mean concat"):
        upgrade_file(path)
    assert path.read_text().endswith("concatt}\n")


def test_commands_say_each_old_spelling_once(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text((OLD / "quickstart.yaml").read_text())
    checked = CliRunner().invoke(cli, ["check", str(path), "--set", f"data.root={tmp_path}"])
    assert checked.exit_code == 0, checked.output
    note = f"note: model.head is now heads.class; wsss check --upgrade {path} rewrites the file\n"
    assert checked.stderr.count(note) == 1 and checked.stderr.count("note: ") == 6
    rewritten = CliRunner().invoke(cli, ["check", str(path), "--upgrade"])
    assert rewritten.exit_code == 0 and "changed: model.head is now heads.class\n" in rewritten.output
    checked = CliRunner().invoke(cli, ["check", str(path), "--set", f"data.root={tmp_path}"])
    assert checked.exit_code == 0 and checked.stderr.strip() == ""
    again = CliRunner().invoke(cli, ["check", str(path), "--upgrade"])
    assert again.exit_code == 0 and again.output == f"{path}: nothing to change\n"
