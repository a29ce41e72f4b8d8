"""`wsss pseudolabel --workers 2` that is killed or asked to end: its processes end too, its blocks are nobody's."""

import os
import re
import shutil
import signal
import time

import numpy as np
import psutil
import pytest
import stacks
import tiny_recipe
from click.testing import CliRunner

from wsss_toolkit.cli.main import cli
from wsss_toolkit.domain import Layers
from wsss_toolkit.errors import WsssError
from wsss_toolkit.scenes.blocks import block_file, load_block, remove_blocks, save_block

FEW = ["--tiles", "scenes", "--window", "32", "--device", "cpu", "--out", "out"]
PATIENCE = 300


@pytest.fixture
def here(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stacks.write_scene(tmp_path / "scenes" / "long.tif", 3000, 90)
    return tmp_path


def label(*arguments):
    result = CliRunner().invoke(cli, ["pseudolabel", *FEW, *arguments])
    assert result.exit_code == 0, result.output + str(result.exception)


def blocks(here):
    return list((here / "out").glob(".*.blocks/rows_*.npz"))


def gone(processes, within=5):
    deadline = time.monotonic() + within
    while any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_its_processes_end_with_it(here, number):
    process = tiny_recipe.start(["pseudolabel", *FEW, "--workers", "2"], here)
    deadline = time.monotonic() + PATIENCE
    while not blocks(here):
        assert process.poll() is None and time.monotonic() < deadline, (here / "wsss.log").read_text()
        time.sleep(0.01)
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 2
    os.kill(process.pid, number)
    code = process.wait(20)
    assert gone(children)
    if number == signal.SIGKILL:
        assert blocks(here), "it was killed too late to show anything"
    else:
        printed = (here / "wsss.log").read_text()
        assert code == 128 + number and "Traceback" not in printed
        assert f"ended by {number.name}; the same command goes on where it stopped\n" in printed
        assert not list((here / "out").glob(".*.blocks"))
    # What another model has made of the scene is not taken for this one's, and everything is cleared away.
    for left in (here / "out").glob(".*.blocks"):
        shutil.copytree(left, left.with_name(".long.blocks"))
    label()
    left = {path.name for path in (here / "out").iterdir() if path.name.startswith(".")}
    assert left <= {".lock"}
    again = (here / "out" / "long_mask.tif").read_bytes()
    shutil.rmtree(here / "out")
    label()
    assert (here / "out" / "long_mask.tif").read_bytes() == again


def layers(value):
    return Layers(0, np.full((4, 5), value, np.uint8), np.full((4, 5), value, np.uint8), None)


def save(path, value, job):
    save_block(path, [layers(value)], np.zeros((6, 0), np.float32), job)


def test_a_block_of_another_job_is_never_taken(tmp_path):
    path = block_file(tmp_path, 0)
    save(path, 1, "one")
    np.testing.assert_array_equal(load_block(path, "one").mask, layers(1).mask)
    for other in ("two", ""):
        with pytest.raises(WsssError, match=r"made by another model or with other settings.*; run again"):
            load_block(path, other)
    np.savez_compressed(path, row=0, mask=layers(1).mask, confidence=layers(1).mask)  # as older versions did
    with pytest.raises(WsssError, match="a finished block cannot be read"):
        load_block(path, "one")
    for damaged in (b"", b"PK\x03\x04", path.read_bytes()[:200]):
        path.write_bytes(damaged)
        with pytest.raises(WsssError, match="a finished block cannot be read"):
            load_block(path, "one")


def test_the_next_call_takes_no_block_that_lies_there(here):
    stacks.write_scene(here / "scenes" / "long.tif", 300, 90)
    label()
    expected = (here / "out" / "long_mask.tif").read_bytes()
    shutil.rmtree(here / "out")
    # Blocks of the scene's name, wherever an older or another call would have kept them; and files of the user.
    for name in (".long.blocks", ".long.0123456789ab.blocks", ".gone.0123456789ab.blocks"):
        (here / "out" / name).mkdir(parents=True)
        for row in (0, 256):
            save(block_file(here / "out" / name, row), 3, "other")
    for name in (".a_mask.4999999.partial.tif", ".a_mask.4999999.partial.tif.aux.xml", "items/.a.4999999.partial.json"):
        (here / "out" / name).parent.mkdir(exist_ok=True)
        (here / "out" / name).write_bytes(b"half")
    own = [".notes", "a.partial.tif", ".mine.blocks/rows.txt", ".x.partial.tif", "deep/er/.x.4999999.partial.tif"]
    for name in own:
        (here / "out" / name).parent.mkdir(parents=True, exist_ok=True)
        (here / "out" / name).write_text("mine")
    label()
    assert (here / "out" / "long_mask.tif").read_bytes() == expected
    found = {path.relative_to(here / "out").as_posix() for path in (here / "out").rglob("*") if path.is_file()}
    assert set(own) <= found
    assert {name for name in found if re.search(r"rows_|4999999", name)} == {own[-1]}


def test_blocks_in_a_folder_that_is_a_link_stay(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    save(block_file(tmp_path / "elsewhere", 0), 1, "one")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".a.blocks").symlink_to(tmp_path / "elsewhere")
    remove_blocks(tmp_path / "out")
    assert block_file(tmp_path / "elsewhere", 0).exists()
