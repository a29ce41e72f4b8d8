"""`w.sweep` and `w.compare` ask for the same cells as the commands, and return the same table."""

import csv

import pytest
import tiny_recipe

import wsss_toolkit as w
from wsss_toolkit.experiments import compare, experiment, sweep
from wsss_toolkit.recipe import load_recipe

pytestmark = pytest.mark.usefixtures("adapters")


@pytest.fixture
def recipe(tmp_path):
    evaluation = {"pseudo_masks": ["train", "val"], "segmentation": []}
    return tiny_recipe.write_recipe(tmp_path / "tiny.yaml", tmp_path / "data", segmentation=None, evaluation=evaluation)


@pytest.fixture
def asked(monkeypatch):
    """Experiments are returned, not carried out."""
    for module in (sweep, compare):
        monkeypatch.setattr(module, "table_rows", lambda experiment, progress: experiment)


def test_a_grid_of_plain_values_makes_the_commands_rows(recipe, asked, tmp_path):
    grid = {"model.token_masking": [0, 0.5], "pseudo_masks.assign": ("paint", "argmax")}
    grid["pseudo_masks.scales"] = [[1, 2]]
    cases = {"as it is": {}, "no gates": {"model.gates.enabled": False}}
    shared = {"set": {"train.epochs": 1}, "seeds": 2, "stages": ["labels"]}
    found = w.sweep(recipe, grid, cases=cases, out=tmp_path / "out", **shared)
    options = ["train.epochs=1", "model.token_masking=0,0.5", "pseudo_masks.assign=paint,argmax",
               "pseudo_masks.scales=[1, 2]"]  # fmt: skip
    wanted = sweep.sweep_rows(recipe, options, ["as it is", "no gates: model.gates.enabled=false"])
    assert list(found.rows) == wanted and len(wanted) == 8
    assert len({row.recipe.model_dump_json() for row in wanted}) == 8
    assert wanted[-1].recipe.model.gates.enabled is False and wanted[-1].recipe.train.epochs == 1
    assert (found.kind, found.path, found.stages, len(found.cells)) == ("sweep", tmp_path / "out", ("labels",), 16)


def test_methods_are_compared_in_the_order_given(recipe, asked, tmp_path):
    found = w.compare(load_recipe(recipe), methods=["paper", "ours"], out=tmp_path / "out")
    assert [row.name for row in found.rows] == ["paper", "ours"] and found.kind == "compare"
    with pytest.raises(w.UsageError, match=r"there is no method 'our'; did you mean ours\?"):
        w.compare(recipe, methods=["our"])
    with pytest.raises(w.UsageError, match="supervised_unet needs the recipe's segmentation section"):
        w.compare(recipe, methods=["supervised_unet"])


def test_cells_that_failed_are_an_error_and_the_table_has_the_others(recipe, tmp_path, monkeypatch, capfd):
    def some_fail(self):
        self.path.mkdir()
        self.failures = {self.cells[1].name: "the loss is nan"}

    monkeypatch.setattr(experiment.Experiment, "carry_out", some_fail)
    told = []
    with pytest.raises(w.WsssError, match=r"out: 1 of 2 cells failed: token_masking-0.5__seed-3: the loss is nan"):
        w.sweep(recipe, {"model.token_masking": [0, 0.5]}, out=tmp_path / "out", progress=told.append)
    with (tmp_path / "out" / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["model.token_masking"], row["failed"]) for row in rows] == [("0", "0"), ("0.5", "1")]
    assert capfd.readouterr() == ("", "") and told[0] == w.Progress("sweep", "started")


def test_rows_hold_numbers_where_the_grid_does(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(experiment.Experiment, "carry_out", lambda self: self.path.mkdir())
    rows = w.sweep(recipe, {"model.token_masking": [0, 0.5], "model.head": ["concat", "mean"]}, out=tmp_path / "out")
    assert [(row["model.token_masking"], row["model.head"]) for row in rows] == [
        (0.0, "concat"), (0.0, "mean"), (0.5, "concat"), (0.5, "mean"),
    ]  # fmt: skip
    assert {row["trained_on"] for row in rows} == {"image-level labels"} and rows[0]["seeds"] == 0
