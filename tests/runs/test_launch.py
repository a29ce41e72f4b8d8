"""Training shared by processes that a launcher started."""

import json
import subprocess
import sys

import pytest
import tiny_recipe
import torch
from safetensors.torch import load_file

from wsss_toolkit.compute import Launch, find_launch
from wsss_toolkit.errors import UsageError, WsssError
from wsss_toolkit.runs.rendezvous import Rendezvous

TORCHRUN = {
    "TORCHELASTIC_RUN_ID": "one",
    "TORCHELASTIC_RESTART_COUNT": "0",
    "WORLD_SIZE": "8",
    "LOCAL_WORLD_SIZE": "4",
    "RANK": "5",
}
SLURM = {
    "SLURM_JOB_ID": "77",
    "SLURM_STEP_ID": "0",
    "SLURM_NTASKS": "4",
    "SLURM_PROCID": "1",
    "SLURM_NNODES": "2",
}


def test_torchrun_and_slurm_are_recognised():
    assert find_launch({}) == Launch("alone", 0, 1, 1)
    assert find_launch(TORCHRUN) == Launch("one-0", 5, 8, 2)
    assert find_launch(TORCHRUN).processes_per_node == 4
    assert find_launch(SLURM) == Launch("77-0", 1, 4, 2)
    assert find_launch({**SLURM, "SLURM_NTASKS": "1"}).processes == 1


def test_launches_on_several_machines_need_a_name():
    with pytest.raises(UsageError, match="--rdzv-id"):
        find_launch({**TORCHRUN, "TORCHELASTIC_RUN_ID": "none"})
    assert find_launch({**TORCHRUN, "TORCHELASTIC_RUN_ID": "none", "LOCAL_WORLD_SIZE": "8"}).name.startswith("parent")


def test_others_wait_for_the_first_process(tmp_path):
    first, other = Rendezvous(tmp_path, Launch("x", 0, 2)), Rendezvous(tmp_path, Launch("x", 1, 2))
    first.announce("train", "work")
    first.announce("segmentation", "kept")
    assert (other.wait("train"), other.wait("segmentation")) == ("work", "kept")
    first.close()
    with pytest.raises(WsssError, match="ended before the stage evaluation"):
        other.wait("evaluation")


def torchrun(folder, arguments, program=("-m", "wsss_toolkit")):
    """Run `wsss`, or another program, in two processes on loopback."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = tiny_recipe.child_environment(folder / "entry_points")
    return subprocess.run(
        [sys.executable, *launcher, *map(str, (*program, *arguments))],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.slow
def test_two_processes_of_torchrun_train_one_model(tmp_path):
    recipe = tiny_recipe.write_recipe(tmp_path / "tiny.yaml", tmp_path / "data", train__batch_size=2)
    done = torchrun(tmp_path, ["run", recipe, "--out", "run", "--device", "cpu"])
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["pseudo_masks"]["val"]["images"] == 4 and report["segmentation"]["test"]["images"] == 4

    # The launcher changes who computes, not what: two processes that Lightning starts itself come to the same model.
    arguments = ["run", recipe, "--out", "spawned", "--device", "cpu", "--set", "machine.devices=2"]
    spawned = tiny_recipe.start(arguments, tmp_path)
    assert spawned.wait(timeout=300) == 0, (tmp_path / "wsss.log").read_text()[-3000:]
    for file in ("train/model.safetensors", "segmentation/network.safetensors"):
        ours, theirs = (load_file(tmp_path / run / file) for run in ("run", "spawned"))
        assert all(torch.equal(ours[name], theirs[name]) for name in ours | theirs)

    again = torchrun(tmp_path, ["run", recipe, "--out", "run", "--device", "cpu"])
    assert again.returncode == 0 and "train: unchanged, kept" in again.stderr


LATE = """
import os, time
from wsss_toolkit.cli.main import main
from wsss_toolkit.training import fit

read = fit.epoch_of

def late(checkpoint):
    time.sleep(4 if os.environ["RANK"] == "1" else 0)
    return read(checkpoint)

fit.epoch_of = late
main()
"""


@pytest.mark.slow
def test_the_first_process_waits_for_one_that_is_late(tmp_path):
    recipe = tiny_recipe.write_recipe(tmp_path / "tiny.yaml", tmp_path / "data", train__batch_size=2)
    (tmp_path / "late.py").write_text(LATE)
    arguments = ["run", recipe, "--out", "run", "--device", "cpu", "--stages", "labels,train,pseudo_masks,segmentation"]
    done = torchrun(tmp_path, arguments, program=[tmp_path / "late.py"])
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "run" / "segmentation" / "stage.json").exists()


@pytest.mark.slow
def test_an_error_of_the_first_process_ends_all(tmp_path):
    recipe = tiny_recipe.write_recipe(tmp_path / "tiny.yaml", tmp_path / "data")
    done = torchrun(tmp_path, ["run", recipe, "--out", "run", "--device", "cuda"])
    assert done.returncode != 0 and "PyTorch sees no CUDA device" in done.stderr
