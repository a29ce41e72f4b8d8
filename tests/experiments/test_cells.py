import hashlib

import pytest
import tiny_recipe

from wsss_toolkit.experiments.cells import cells_of, grid_row, safe_name, short_names, shorten
from wsss_toolkit.experiments.grid import combinations, read_grid
from wsss_toolkit.recipe import load_recipe

pytestmark = pytest.mark.usefixtures("adapters")


def rows(tmp_path, *options, cases=()):
    path = tiny_recipe.write_recipe(tmp_path / "tiny.yaml", tmp_path / "data")
    fixed, axes = read_grid(options, cases)
    return [
        grid_row(axes, one, load_recipe(path, [*fixed, *(text for choice in one for text in choice.overrides)]))
        for one in combinations(axes)
    ]


def test_rows_are_named_after_their_values(tmp_path):
    found = rows(tmp_path, "model.token_masking=0,0.5", "pseudo_masks.source.layers=last,[1]")
    digest = hashlib.sha256(b"[1]").hexdigest()[:6]
    assert [row.name for row in found][:2] == ["token_masking-0__layers-last", f"token_masking-0__layers-1-{digest}"]
    assert found[2].values == {"model.token_masking": "0.5", "pseudo_masks.source.layers": "last"}
    assert found[2].numbers == {"model.token_masking": 0.5}
    assert found[2].recipe.model.token_masking == 0.5


def test_cases_name_rows_alone(tmp_path):
    found = rows(tmp_path, cases=["all", "no masking: model.token_masking=0"])
    assert [row.name for row in found] == ["all", "no-masking"]
    assert [row.recipe.model.token_masking for row in found] == [0.5, 0]


def test_without_an_axis_the_row_is_the_recipe(tmp_path):
    [row] = rows(tmp_path)
    assert (row.name, row.values) == ("recipe", {})


def test_seeds_begin_with_the_recipes_and_come_one_after_the_other(tmp_path):
    cells = cells_of(rows(tmp_path, "seed=7", "model.registers=0,1"), 2)
    assert [cell.name for cell in cells] == [
        "registers-0__seed-7", "registers-1__seed-7", "registers-0__seed-8", "registers-1__seed-8",
    ]  # fmt: skip
    assert [cell.recipe.seed for cell in cells] == [7, 7, 8, 8]


def test_cells_that_share_a_training_stand_together(tmp_path):
    found = rows(tmp_path, "pseudo_masks.assign=paint,argmax", "model.registers=0,1")
    assert [cell.row.name for cell in cells_of(found, 1)] == [
        "assign-paint__registers-0", "assign-argmax__registers-0",
        "assign-paint__registers-1", "assign-argmax__registers-1",
    ]  # fmt: skip


def test_keys_are_shortened_as_far_as_they_stay_distinct():
    assert short_names(["model.registers", "train.lr"]) == ["registers", "lr"]
    assert short_names(["train.epochs", "segmentation.epochs"]) == ["train.epochs", "segmentation.epochs"]
    assert short_names(["seed", "data.seed"]) == ["seed", "data.seed"]


def test_names_are_safe_and_distinct():
    assert safe_name("0.5") == "0.5" and safe_name("no  pruning") == "no-pruning"
    names = {safe_name(text) for text in ("[1, 1.5]", "[1,1.5]", "../1,1.5", "..", "a/b", "a:b")}
    assert len(names) == 6
    assert all("/" not in name and not name.startswith(".") for name in names)
    longest = shorten("x" * 300)
    assert len(longest) <= 100 and longest != shorten("x" * 301)
