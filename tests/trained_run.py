"""A finished run of the tiny recipe, as fixtures."""

import shutil

import pytest
import tiny_recipe
from once import made_once

from wsss_toolkit.recipe import load_recipe
from wsss_toolkit.runs import pipeline


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory):
    """A finished run of the tiny recipe, made once for all test processes; read it, do not change it."""

    def make(folder):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("wsss_toolkit.domain.adapter.entry_points", lambda group: tiny_recipe.declared_adapters())
            recipe = load_recipe(tiny_recipe.write_recipe(folder / "tiny.yaml", folder / "data"))
            pipeline.run(recipe, out=folder / "run", device="cpu")

    return made_once(tmp_path_factory, "tiny-run", make) / "run"


@pytest.fixture
def trained(trained_once, tmp_path, adapters):
    """A copy of the run that a test may change; its training data are elsewhere, as on another machine."""
    # Checkpoints are nine tenths of a run, and only unfinished trainings read them.
    shutil.copytree(trained_once, tmp_path / "runs" / "tiny", ignore=shutil.ignore_patterns("*.ckpt"))
    return tmp_path / "runs" / "tiny"
