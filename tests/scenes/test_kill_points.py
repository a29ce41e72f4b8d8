"""A command that is killed at any point leaves no process, and given again it ends as if nothing had happened."""

import json
import re
import subprocess
import sys
from pathlib import Path

import kill_points
import pytest
import stacks
import tiny_recipe

pytestmark = pytest.mark.slow

POINTS = 30
TEMPORARY = re.compile(r"\.partial|\.blocks|\.generating|\.taken|attempt\.json")
LOGS = re.compile(r"/(?:csv|tensorboard)/|events|report\.html")
TIMES = {"seconds", "peak_memory_mb", "temporal", "end_datetime"}


def without_times(value):
    """Return a JSON value without what tells when and how fast it was made."""
    if isinstance(value, dict):
        return {key: without_times(part) for key, part in value.items() if key not in TIMES}
    return [without_times(part) for part in value] if isinstance(value, list) else value


def outputs(folder):
    """Return what a command has written by path: bytes, and JSON without times; logs are left out."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    assert not [path for path in folder.rglob("*") if TEMPORARY.search(path.name)]
    found = {path.relative_to(folder).as_posix(): path for path in files}
    return {
        name: without_times(json.loads(path.read_bytes())) if path.suffix == ".json" else path.read_bytes()
        for name, path in found.items()
        if not LOGS.search(name)
    }


def kill(kind, root, *arguments):
    """Kill a command at many points, each time in the same folder ``{}``; compare what it leaves in the end."""
    environment = tiny_recipe.child_environment(root / "entry_points")
    environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, kill_points.__file__, kind, str(root), str(POINTS), kind, *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    whole, *points = [json.loads(line) for line in done.stdout.splitlines()]
    assert whole["code"] == 0 and len(points) == POINTS, (root / "wsss.log").read_text()
    # The last points in time may lie behind the end.
    assert sum(point["killed"] for point in points) >= POINTS - 4, points
    assert not [point for point in points if point["alive"] or point["code"]], (root / "wsss.log").read_text()
    assert "Traceback" not in (root / "wsss.log").read_text()
    expected = outputs(root / "whole")
    for point in points:
        found = outputs(root / point["point"])
        assert found.keys() == expected.keys(), point
        assert not [name for name, content in expected.items() if found[name] != content], point
    return whole


def test_run(tmp_path):
    few = {"data__tiles": {"train": 4, "val": 2, "test": 2}, "train__batch_size": 2}
    recipe = tiny_recipe.write_recipe(tmp_path / "tiny.yaml", tmp_path / "data", **few)
    whole = kill("run", tmp_path, recipe, "--device", "cpu", "--set", "data.root={}/data", "--out", "{}/run")
    assert whole["most"]["event"] > 200, "files are no longer seen as they are written"


def test_pseudolabel_in_processes(tmp_path, trained):
    stacks.write_scene(tmp_path / "scenes" / "a.tif", 100, 90, missing=10)
    stacks.write_scene(tmp_path / "scenes" / "b.tif", 20, 45, seed=1)
    stacks.write_scene(tmp_path / "scenes" / "long.tif", 600, 70, seed=2)  # three blocks
    arguments = ["--tiles", tmp_path / "scenes", "--run", trained, "--window", 32, "--device", "cpu", "--confidence"]
    whole = kill("pseudolabel", tmp_path, *arguments, "--workers", 2, "--out", "{}/out")
    assert whole["most"]["files"] > 12 and Path(tmp_path / "whole" / "out" / "long_mask.tif").is_file()
