"""Weights that are damaged or hostile, and output that cannot be written, end in one clear line."""

import contextlib
import os
import pickle
import shutil
import subprocess

import pytest
import tiny_recipe
import torch
from bad_run import CLASSIFIER_ONLY, the_error, wsss

pytestmark = pytest.mark.usefixtures("adapters")


class Hostile:
    """Unpickling this makes a folder."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize(
    "content", [b"", b"\x80\x04 nothing that anyone wrote", bytes(4096)], ids=["empty", "pickle-like", "zeros"]
)
def test_a_corrupt_checkpoint(tmp_path, tiles, suffix, content):
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    assert str(path) in the_error(wsss(tmp_path, tiles, model__weights=str(path)))


def test_a_truncated_checkpoint(tmp_path, tiles):
    path = tmp_path / "weights.pth"
    torch.save({"blocks.0.norm1.weight": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:2000])
    assert str(path) in the_error(wsss(tmp_path, tiles, model__weights=str(path)))


@pytest.mark.parametrize("inside", ["alone", "legacy", "beside tensors"])
def test_a_hostile_checkpoint_is_never_run(tmp_path, tiles, inside):
    path, sign = tmp_path / "weights.pth", tmp_path / "executed"
    if inside == "legacy":
        path.write_bytes(pickle.dumps(Hostile(sign)))
    else:
        weights = {"blocks.0.norm1.weight": torch.zeros(2)} if inside == "beside tensors" else {}
        torch.save({**weights, "state_dict": Hostile(sign)}, path)
    line = the_error(wsss(tmp_path, tiles, model__weights=str(path)))
    assert str(path) in line
    assert not sign.exists()


@pytest.mark.slow
def test_a_hostile_checkpoint_of_the_encoder_is_never_run(tmp_path, tiles):
    path, sign = tmp_path / "weights.pth", tmp_path / "executed"
    torch.save({"conv1.weight": Hostile(sign)}, path)
    changes = {"segmentation": {"encoder": "resnet18", "weights": str(path)}, "pseudo_masks__splits": ["train", "val"]}
    assert str(path) in the_error(wsss(tmp_path, tiles, **changes))
    assert not sign.exists()


@contextlib.contextmanager
def small_disk(folder, kilobytes, files=0):
    """Mount a file system of a few kilobytes or files on a folder; skip where this is not allowed."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k,nr_inodes={files}", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def in_a_process(tmp_path, tiles, changes):
    """Run the recipe in a process of its own, as people do; return its exit code and what it printed."""
    recipe = tiny_recipe.write_recipe(tmp_path / "tiny.yaml", tiles, **{**CLASSIFIER_ONLY, **changes})
    log = tmp_path / "wsss.log"
    log.unlink(missing_ok=True)
    code = tiny_recipe.start(["run", recipe, "--out", tmp_path / "run", "--device", "cpu"], tmp_path).wait(timeout=300)
    return code, log.read_text()


# What fits: nothing, the labels, the first checkpoint but not the second, the model but not the network's checkpoints.
@pytest.mark.slow
@pytest.mark.parametrize("kilobytes", [4, 64, 14_000, 60_000])
def test_no_disk_space_in_the_output_folder(tmp_path, tiles, kilobytes):
    changes = {}
    if kilobytes == 60_000:
        changes = {"segmentation": {"encoder": "resnet18", "epochs": 1}, "pseudo_masks__splits": ["train", "val"]}
    with small_disk(tmp_path / "run", kilobytes):
        code, printed = in_a_process(tmp_path, tiles, changes)
        assert code == 1 and "Traceback" not in printed, printed
        [line] = [line for line in printed.splitlines() if line.startswith("error: ")]
        assert "no space left on device" in line and "space or choose another --out" in line
        subprocess.run(["mount", "-o", "remount,size=1g", str(tmp_path / "run")], check=True)
        code, printed = in_a_process(tmp_path, tiles, changes)
        assert code == 0, printed
        assert len(list((tmp_path / "run" / "export" / "test").glob("*.tif"))) == 4


@pytest.mark.slow
def test_no_room_for_another_file_in_the_output_folder(tmp_path, tiles):
    with small_disk(tmp_path / "run", 500_000, files=12):
        code, printed = in_a_process(tmp_path, tiles, {})
    assert code == 1 and "Traceback" not in printed and "unexpected" not in printed, printed
    [line] = [line for line in printed.splitlines() if line.startswith("error: ")]
    assert "no space left on device" in line.lower() and "space or choose another --out" in line


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
        RuntimeError("DataLoader worker (pid 12) is killed by signal: Killed. "),
    ],
)
def test_no_memory_is_one_line_and_finished_stages_stay(tmp_path, tiles, monkeypatch, error):
    def full(*arguments, **options):
        raise error

    monkeypatch.setattr("wsss_toolkit.runs.stages.StageWork.train", full)
    line = the_error(wsss(tmp_path, tiles))
    assert "in stage train; finished stages are kept; " in line and "memory" in line
    assert (tmp_path / "run" / "labels" / "stage.json").is_file()


def test_an_output_folder_that_is_a_file(tmp_path, tiles):
    (tmp_path / "run").write_text("")
    assert the_error(wsss(tmp_path, tiles), code=2) == (
        f"error: {tmp_path / 'run'}: the folder is not a run and not empty; choose another --out"
    )
