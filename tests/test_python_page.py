"""The Python of the documentation runs: docs/python.md, README.md, and the examples in docstrings."""

import doctest
import importlib
import pkgutil
import re
import sys
from pathlib import Path

import pytest

import wsss_toolkit
from wsss_toolkit.experiments import child

REPOSITORY = Path(__file__).parents[1]
MODULES = [module.name for module in pkgutil.walk_packages(wsss_toolkit.__path__, "wsss_toolkit.")
           if not module.name.endswith("__main__")]  # fmt: skip
MUST_HAVE = (
    "wsss_toolkit", "wsss_toolkit.errors", "wsss_toolkit.files", "wsss_toolkit.compute", "wsss_toolkit.domain.progress",
    "wsss_toolkit.images.windows", "wsss_toolkit.images.padding", "wsss_toolkit.images.augment",
    "wsss_toolkit.images.scaling", "wsss_toolkit.images.given", "wsss_toolkit.evaluation.scores",
    "wsss_toolkit.labels.image_labels", "wsss_toolkit.recipe.load", "wsss_toolkit.runs.run",
    "wsss_toolkit.experiments.grid",
)  # fmt: skip
"""Modules whose public functions show how they are used."""

pytestmark = pytest.mark.usefixtures("adapters")


def blocks(page):
    """Return the Python of a page of Markdown, in order."""
    return re.findall(r"^```python\n(.*?)^```", (REPOSITORY / page).read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_the_page_for_notebooks_runs_from_top_to_bottom(tmp_path, monkeypatch, capsys):
    sys.path.insert(0, str(REPOSITORY / "tests" / "experiments"))
    try:
        in_process = importlib.import_module("in_process").in_process
    finally:
        sys.path.pop(0)
    monkeypatch.setattr(child, "in_child", in_process)  # children would not know the adapters of this test
    monkeypatch.chdir(tmp_path)
    page = blocks("docs/python.md")
    assert len(page) == 9
    names = {}
    for number, block in enumerate(page, start=1):
        exec(compile(block, f"docs/python.md, block {number}", "exec"), names)
    printed = capsys.readouterr().out
    for line in ("--set model.depht=3: unknown key, did you mean depth?", "train: epochs, 1 of 1", "export: done"):
        assert line in printed
    assert names["mask"].shape == (32, 32) and names["folder"] == tmp_path / "masks"
    assert {path.name for path in names["folder"].glob("*.tif")} == {"scene_mask.tif", "scene_confidence.tif"}
    assert [row["model.token_masking"] for row in names["rows"]] == [0.0, 0.5]
    assert all(0 <= row["pseudo_masks.val.miou.mean"] <= 1 and row["seeds"] == 1 for row in names["rows"])


def test_the_readmes_python_runs(trained, tmp_path, monkeypatch):
    """The README names runs and files that a reader has; here they are the tiny run and an array of its size."""
    import numpy as np

    [block] = blocks("README.md")
    monkeypatch.chdir(tmp_path)
    trained.rename(tmp_path / "runs" / "quickstart")
    opened = 'w.run("quickstart", progress=print)'
    assert opened in block
    names = {"image": np.full((6, 32, 32), 1000.0)}
    exec(block.replace(opened, 'w.open_run("runs/quickstart", device="cpu")'), names)
    assert names["mask"].shape == (32, 32) and names["confidence"].dtype == np.float32


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_docstrings_hold(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    failed, tried = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert failed == 0, "what differs is printed above"
    assert tried or name not in MUST_HAVE, "its public functions had examples"


def test_the_front_doors_own_example_holds(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    failed, tried = doctest.testmod(wsss_toolkit)
    assert failed == 0 and tried
