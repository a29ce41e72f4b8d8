"""A run that was killed goes on where it stopped, and ends as if nothing had happened."""

import json
import os
import signal
import time

import psutil
import pytest
import tiny_recipe
import torch
from safetensors.torch import load_file

pytestmark = pytest.mark.slow

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


def checkpoints_written(stage):
    """Return a function that counts how often the last checkpoint has been replaced, as far as it was called."""
    seen = set()

    def count():
        try:
            seen.add((stage / "last.ckpt").stat().st_ino)
        except FileNotFoundError:
            pass
        return len(seen)

    return count


CHANGES = {"train__epochs": 12, "segmentation__epochs": 6}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nobody interrupted: its folder, and the recipe."""
    folder = tmp_path_factory.mktemp("whole")
    recipe = tiny_recipe.write_recipe(folder / "tiny.yaml", folder / "data", **CHANGES)
    child = tiny_recipe.start(["run", recipe, "--out", folder / "run", "--device", "cpu"], folder)
    assert child.wait(PATIENCE) == 0, (folder / "wsss.log").read_text()
    return folder / "run", recipe


def assert_equal_runs(killed, whole):
    for file in ("train/model.safetensors", "segmentation/network.safetensors"):
        resumed, expected = (load_file(run / file) for run in (killed, whole))
        assert resumed.keys() == expected.keys()
        for name, value in expected.items():
            torch.testing.assert_close(resumed[name], value, rtol=0, atol=1e-6, msg=f"{file}: {name}")
    for stage in ("labels", "pseudo_masks", "export"):
        assert tiny_recipe.contents(killed / stage) == tiny_recipe.contents(whole / stage)
    reports = [json.loads((run / "report.json").read_text()) for run in (killed, whole)]
    for part in ("labels", "classifier", "pseudo_masks", "segmentation", "gates"):
        assert reports[0][part] == reports[1][part]
    assert not list(killed.glob("*.partial"))


@pytest.mark.parametrize(("stage", "checkpoints"), [("train", 1), ("segmentation", 3)])
def test_killed_in_training_and_resumed_equals_uninterrupted(tmp_path, whole, stage, checkpoints):
    out, log = tmp_path / "run", tmp_path / "wsss.log"
    arguments = ["run", whole[1], "--out", out, "--device", "cpu"]
    partial = out / f"{stage}.partial"
    count = checkpoints_written(partial)
    kill_when(tiny_recipe.start(arguments, tmp_path), lambda: count() >= checkpoints, log)
    assert partial.is_dir() and not (out / stage).exists()

    child = tiny_recipe.start(arguments, tmp_path)
    assert child.wait(PATIENCE) == 0, log.read_text()
    assert list((out / stage / "csv").glob("from_[1-9]*")), "training did not go on from its checkpoint"
    assert_equal_runs(out, whole[0])


def test_killed_outside_training_and_resumed_equals_uninterrupted(tmp_path, whole):
    out, log = tmp_path / "run", tmp_path / "wsss.log"
    arguments = ["run", whole[1], "--out", out, "--device", "cpu"]
    for stage in ("labels", "pseudo_masks", "export"):
        kill_when(tiny_recipe.start(arguments, tmp_path), (out / f"{stage}.partial").exists, log)
    child = tiny_recipe.start(arguments, tmp_path)
    assert child.wait(PATIENCE) == 0, log.read_text()
    assert_equal_runs(out, whole[0])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_training_that_is_asked_to_end_does_so_with_a_word_and_its_processes(tmp_path, number):
    recipe = tiny_recipe.write_recipe(tmp_path / "tiny.yaml", tmp_path / "data", machine__workers=1, train__epochs=2000)
    process = tiny_recipe.start(["run", recipe, "--out", tmp_path / "run", "--device", "cpu"], tmp_path)
    log, count = tmp_path / "wsss.log", checkpoints_written(tmp_path / "run" / "train.partial")
    deadline = time.monotonic() + PATIENCE
    while count() < 2:
        assert process.poll() is None and time.monotonic() < deadline, log.read_text()
        time.sleep(0.005)
    children = psutil.Process(process.pid).children(recursive=True)
    assert children, "nobody reads images"
    process.send_signal(number)
    code = process.wait(PATIENCE)
    assert not psutil.wait_procs(children, timeout=10)[1]
    printed = log.read_text()
    # Of a parent that is killed, a child's thread that waited for it may complain before the child ends.
    assert number == signal.SIGKILL or "Traceback" not in printed
    if number != signal.SIGKILL:
        assert code == 128 + number
        assert f"\nended by {number.name}; the same command goes on where it stopped\n" in printed
        assert json.loads((tmp_path / "run" / "train.partial" / "attempt.json").read_text())["seconds"] > 0
        assert not [path for path in (tmp_path / "run").rglob(".*.partial*")]
