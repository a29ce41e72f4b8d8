"""The scripts of benchmarks/ keep up with the toolkit: what they import is there, and one is run."""

import ast
import importlib
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SCRIPTS = sorted(BENCHMARKS.glob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_what_a_script_imports_of_the_toolkit_is_there(script):
    nodes = ast.walk(ast.parse(script.read_text()))
    names = [
        (node.module, alias.name)
        for node in nodes
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(("wsss_toolkit", "wsss_adapters"))
        for alias in node.names
    ]
    for module, name in names:
        found = importlib.import_module(module)
        assert hasattr(found, name) or importlib.util.find_spec(f"{module}.{name}"), f"{module} has no {name}"


@pytest.mark.slow
def test_scenes_are_measured_with_and_without_a_model(trained, tmp_path):
    command = [sys.executable, BENCHMARKS / "scenes.py", "--run", trained, "--sizes", "96", "--folder", tmp_path]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rows = [line.split(" | ") for line in printed.splitlines() if line.startswith("| 96 x 96")]
    assert [row[1] for row in rows] == ["UNet", "none (I/O floor)"]
    assert all(0 < float(cell.strip(" |")) for row in rows for cell in row[2:])
