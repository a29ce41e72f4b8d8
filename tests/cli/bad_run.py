"""Runs that have to fail, and what their one line has to be."""

import tiny_recipe
from click.testing import CliRunner

from wsss_toolkit.cli import cli

CLASSIFIER_ONLY = {
    "segmentation": None,
    "pseudo_masks__splits": ["val"],
    "evaluation": {"pseudo_masks": ["val"]},
    "train__epochs": 1,
}


def wsss(tmp_path, data, /, *arguments, **changes):
    """Run the changed recipe, without a segmentation network unless the changes say so."""
    recipe = tiny_recipe.write_recipe(tmp_path / "tiny.yaml", data, **{**CLASSIFIER_ONLY, **changes})
    command = ["run", str(recipe), "--out", str(tmp_path / "run"), "--device", "cpu", *arguments]
    return CliRunner().invoke(cli, command)


def the_error(result, code=1):
    """Return the one line that a failed command ends with, and hold it to what every such line promises."""
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and result.stderr.rstrip("\n").endswith(errors[0]), result.stderr
    assert "unexpected" not in errors[0]
    return errors[0]
