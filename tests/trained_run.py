"""A finished run of the tiny recipe, as fixtures."""

import os
import shutil

import pytest
import tiny_recipe
from filelock import FileLock

from wsss_toolkit.recipe import load_recipe
from wsss_toolkit.runs import pipeline


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory):
    """A finished run of the tiny recipe, made once for all test processes; read it, do not change it."""
    # pytest-xdist gives each process a folder of its own below a common one. Without it, what lies above belongs to
    # other sessions too, of other versions of the code.
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    folder = base / "tiny-run"
    with FileLock(base / "tiny-run.lock"), pytest.MonkeyPatch.context() as patch:
        patch.setattr("wsss_toolkit.domain.adapter.entry_points", lambda group: tiny_recipe.declared_adapters())
        if not folder.is_dir():
            making = base / "tiny-run-unfinished"
            shutil.rmtree(making, ignore_errors=True)
            making.mkdir()
            recipe = load_recipe(tiny_recipe.write_recipe(making / "tiny.yaml", making / "data"))
            pipeline.run(recipe, out=making / "run", device="cpu")
            making.rename(folder)
    return folder / "run"


@pytest.fixture
def trained(trained_once, tmp_path, adapters):
    """A copy of the run that a test may change; its training data are elsewhere, as on another machine."""
    # Checkpoints are nine tenths of a run, and only unfinished trainings read them.
    shutil.copytree(trained_once, tmp_path / "runs" / "tiny", ignore=shutil.ignore_patterns("*.ckpt"))
    return tmp_path / "runs" / "tiny"
