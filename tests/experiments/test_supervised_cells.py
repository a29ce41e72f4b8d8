"""A cell that was trained on ground-truth masks is no run, and the commands that take runs say so."""

import pytest
import tiny_recipe
from click.testing import CliRunner
from in_process import in_process

from wsss_toolkit.cli import cli
from wsss_toolkit.experiments import child, supervised_inputs

pytestmark = pytest.mark.usefixtures("adapters")


@pytest.fixture(scope="module")
def cell(tmp_path_factory):
    """The folder of a finished supervised cell."""
    folder = tmp_path_factory.mktemp("compare")
    recipe = tiny_recipe.write_recipe(folder / "tiny.yaml", folder / "data", train__epochs=1)
    arguments = ["--methods", "supervised_vit", "--out", str(folder / "out"), "--device", "cpu"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("wsss_toolkit.domain.adapter.entry_points", lambda group: tiny_recipe.declared_adapters())
        patch.setattr(child, "in_child", in_process)
        patch.setattr(supervised_inputs, "MOST_EPOCHS", 1)
        result = CliRunner().invoke(cli, ["compare", str(recipe), *arguments])
    assert result.exit_code == 0, result.output
    return folder / "out" / "cells" / "supervised_vit__seed-3"


@pytest.mark.parametrize("arguments", [["explain", "CELL", "a"], ["export", "CELL", "--onnx"]])
def test_it_has_no_class_tokens(cell, arguments):
    result = CliRunner().invoke(cli, [str(cell) if argument == "CELL" else argument for argument in arguments])
    assert result.exit_code == 2
    assert result.output == (
        f"error: {cell}: a supervised row of a comparison: it was trained on ground-truth masks and has no class "
        "tokens; name the folder of another row, or of a run\n"
    )


def test_it_has_no_page(cell):
    result = CliRunner().invoke(cli, ["report", str(cell)])
    assert result.exit_code == 2
    assert result.output == (
        f"error: {cell}: a supervised row of a comparison has no page: it was trained on ground-truth masks; "
        "its figures are in report.json, and in table.md of the comparison\n"
    )
    assert not (cell / "report.html").exists()
