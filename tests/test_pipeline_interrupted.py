"""A run that was killed goes on where it stopped, and ends as if nothing had happened."""

import json
import os
import signal
import time

import pytest
import tiny_recipe
import torch
from safetensors.torch import load_file

from wsss_toolkit import pipeline
from wsss_toolkit.recipe import load_recipe

pytestmark = [pytest.mark.usefixtures("adapters"), pytest.mark.slow]

PATIENCE = 300
"""Seconds that a child process may take on a busy machine."""


def kill_when(child, due, log):
    """Kill a child and what it started as soon as `due()` is true; the child must not have ended before."""
    deadline = time.monotonic() + PATIENCE
    while not due():
        assert child.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.005)
    os.killpg(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL


def epochs_logged(stage):
    """Return how many checkpoints of the last epoch can have been written: the number of times it was replaced."""
    seen = set()

    def count():
        try:
            seen.add((stage / "last.ckpt").stat().st_ino)
        except FileNotFoundError:
            pass
        return len(seen)

    return count


@pytest.mark.parametrize(
    ("stage", "file", "checkpoints"),
    [("train", "model.safetensors", 1), ("train", "model.safetensors", 4), ("segmentation", "network.safetensors", 2)],
)
def test_killed_and_resumed_equals_uninterrupted(tmp_path, stage, file, checkpoints):
    changes = {"train__epochs": 12, "segmentation__epochs": 6}
    recipe = tiny_recipe.write_recipe(tmp_path / "tiny.yaml", tmp_path / "data", **changes)
    arguments = ["run", recipe, "--out", tmp_path / "killed", "--device", "cpu"]
    log = tmp_path / "wsss.log"

    partial = tmp_path / "killed" / f"{stage}.partial"
    count = epochs_logged(partial)
    kill_when(tiny_recipe.start(arguments, tmp_path), lambda: count() >= checkpoints, log)
    assert partial.is_dir() and not (tmp_path / "killed" / stage).exists()

    child = tiny_recipe.start(arguments, tmp_path)
    assert child.wait(PATIENCE) == 0, log.read_text()
    assert list((tmp_path / "killed" / stage / "csv").glob("from_[1-9]*")), "training did not go on from its checkpoint"

    torch.set_num_threads(1)  # as in the children: sums in another order differ in the last digit
    pipeline.run(load_recipe(recipe), out=tmp_path / "whole", device="cpu")
    resumed, whole = (load_file(tmp_path / run / stage / file) for run in ("killed", "whole"))
    assert resumed.keys() == whole.keys()
    for name, value in whole.items():
        torch.testing.assert_close(resumed[name], value, rtol=0, atol=1e-6, msg=name)
    for part in ("pseudo_masks", "export"):
        assert tiny_recipe.contents(tmp_path / "killed" / part) == tiny_recipe.contents(tmp_path / "whole" / part)
    reports = [json.loads((tmp_path / run / "report.json").read_text()) for run in ("killed", "whole")]
    for part in ("labels", "classifier", "pseudo_masks", "segmentation", "gates"):
        assert reports[0][part] == reports[1][part]


def test_killed_outside_training_the_run_still_completes(tmp_path):
    recipe = tiny_recipe.write_recipe(tmp_path / "tiny.yaml", tmp_path / "data")
    arguments = ["run", recipe, "--out", tmp_path / "killed", "--device", "cpu"]
    log = tmp_path / "wsss.log"
    started = [tmp_path / "killed" / f"{stage}.partial" for stage in ("labels", "pseudo_masks", "export")]
    for partial in started:
        kill_when(tiny_recipe.start(arguments, tmp_path), partial.exists, log)
    child = tiny_recipe.start(arguments, tmp_path)
    assert child.wait(PATIENCE) == 0, log.read_text()
    torch.set_num_threads(1)
    pipeline.run(load_recipe(recipe), out=tmp_path / "whole", device="cpu")
    for part in ("labels", "pseudo_masks", "export"):
        assert tiny_recipe.contents(tmp_path / "killed" / part) == tiny_recipe.contents(tmp_path / "whole" / part)
    assert not list((tmp_path / "killed").glob("*.partial"))
