"""The method of docs/add-a-method.md works as the page says."""

import re
import sys
import tomllib
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import pytest
import tiny_recipe
import torch
import yaml

from wsss_toolkit.experiments import methods
from wsss_toolkit.heads.classifier import build_classifier
from wsss_toolkit.heads.head import Shape
from wsss_toolkit.heads.patch_head import PatchHead
from wsss_toolkit.objective.objective import Objective
from wsss_toolkit.recipe import RecipeErrors, load_recipe
from wsss_toolkit.recipe.reference import recipe_markdown

PAGE = (Path(__file__).parents[1] / "docs" / "add-a-method.md").read_text(encoding="utf-8")

pytestmark = pytest.mark.usefixtures("adapters")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Install the page's package: its file, and its entry points beside those that are there."""
    (tmp_path / "my_package").mkdir()
    (tmp_path / "my_package" / "agreement.py").write_text(blocks("python")[0])
    monkeypatch.syspath_prepend(tmp_path)
    [toml] = blocks("toml")
    declared = tomllib.loads(toml)["project"]["entry-points"]
    own = {group: [EntryPoint(*point, group) for point in points.items()] for group, points in declared.items()}
    monkeypatch.setattr(
        "wsss_toolkit.recipe.parts.entry_points", lambda group: [*entry_points(group=group), *own.get(group, ())]
    )
    yield
    for name in [name for name in sys.modules if name.split(".")[0] == "my_package"]:
        del sys.modules[name]


def recipe(folder, **changes):
    [shown] = blocks("yaml")
    values = {**yaml.safe_load(shown), **changes}
    return load_recipe(tiny_recipe.write_recipe(folder / "x.yaml", folder / "data", **values))


def test_a_recipe_finds_its_parts_by_name(installed, tmp_path):
    found = recipe(tmp_path)
    assert found.heads["patch"].share == 0.2 and found.objective["agreement"].weight == 0.5
    shape = Shape(classes=3, tokens=3, dim=8, depth=2)
    assert list(Objective(found.objective, shape, 1).terms) == ["presence", "patch", "agreement", "open_gates"]
    assert isinstance(found.heads["patch"].build(shape), PatchHead)
    page = recipe_markdown()
    assert "`kind: top_patches`\n\nA linear classifier of patches" in page and "| `teacher` | text | `patch` |" in page


def test_its_mistakes_have_their_place(installed, tmp_path):
    with pytest.raises(RecipeErrors, match=r"objective\.agreement: needs a head 'pach', did you mean patch\?"):
        recipe(tmp_path, objective__agreement={"teacher": "pach"})
    with pytest.raises(RecipeErrors, match=r"heads\.patch\.share: must be above 0, got 0"):
        recipe(tmp_path, heads__patch={"kind": "top_patches", "share": 0})


def test_a_classifier_with_its_head_scores_images(installed, tmp_path):
    from small_model import RGB

    found = recipe(tmp_path)
    model = build_classifier(found.model, found.heads, RGB, "early", 3)
    scores = model(torch.randn(2, 3, 32, 32)).scores["patch"]
    top = scores.maps.flatten(2).sort(descending=True).values[..., :3]  # a fifth of 16 patches
    torch.testing.assert_close(scores.logits, top.mean(-1))


def test_the_tests_that_the_page_shows_pass(installed):
    names = {}
    exec(compile(blocks("python")[1], "docs/add-a-method.md", "exec"), names)
    tests = [test for name, test in names.items() if name.startswith("test_")]
    assert len(tests) == 2
    for test in tests:
        test()


def test_its_row_goes_with_the_recipe(installed, tmp_path, monkeypatch):
    names = dict(vars(methods))
    exec(compile(blocks("python")[2], "docs/add-a-method.md", "exec"), names)
    monkeypatch.setattr(methods, "METHODS", {**methods.METHODS, **names["row"]})
    path = tiny_recipe.write_recipe(tmp_path / "tiny.yaml", tmp_path / "data")
    made = methods.method_recipe(load_recipe(path), "agreement")
    assert made.objective["agreement"].weight == 0.1 and made.heads["patch"].kind == "top_patches"
    assert made.pseudo_masks.source.kind == "fused" and made.model.attention == "joint"
