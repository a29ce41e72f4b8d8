"""A submission holds one split, complete, and replaces nothing but a submission."""

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from wsss_toolkit.errors import DataError, UsageError
from wsss_toolkit.export.results import voc_submission
from wsss_toolkit.recipe import find_recipe, load_recipe

DOCS = Path(__file__).parents[2] / "docs"

SPLITS = {"val": ("a", "b"), "test": ("c", "d")}


class Server:
    """An adapter whose submissions are plain files; it refuses the image `broken`."""

    broken = ""

    def whole(self, split):
        return SPLITS[split]

    def write_submission(self, folder, key, mask):
        if key == self.broken:
            raise DataError("the mask has pixels without a class")
        path = folder / "results" / f"{key}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(mask.tobytes())
        return path


@pytest.fixture
def run(tmp_path):
    for split, keys in SPLITS.items():
        folder = tmp_path / "run" / "export" / split
        folder.mkdir(parents=True)
        for key in keys:
            Image.fromarray(np.zeros((4, 5), np.uint8)).save(folder / f"{key}.png")
    return SimpleNamespace(
        adapter=Server(),
        path=tmp_path / "run",
        stage=lambda stage: tmp_path / "run" / stage,
        recipe=SimpleNamespace(data=SimpleNamespace(adapter="voc")),
    )


def keys(out):
    return sorted(path.stem for path in (out / "results").iterdir())


def test_another_split_takes_the_place_of_the_first(run, tmp_path):
    out = tmp_path / "out"
    voc_submission(run, "val", out, overwrite=False)
    assert keys(out) == ["a", "b"]
    with pytest.raises(UsageError, match="exists already"):
        voc_submission(run, "test", out, overwrite=False)
    assert voc_submission(run, "test", out, overwrite=True) == out
    assert keys(out) == ["c", "d"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "run"]


def test_a_failure_leaves_what_was_there(run, tmp_path):
    run.adapter.broken = "b"
    with pytest.raises(DataError, match="without a class"):
        voc_submission(run, "val", tmp_path / "out", overwrite=False)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    voc_submission(run, "test", tmp_path / "out", overwrite=False)
    with pytest.raises(DataError, match="without a class"):
        voc_submission(run, "val", tmp_path / "out", overwrite=True)
    assert keys(tmp_path / "out") == ["c", "d"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "run"]


def test_what_a_killed_call_left_is_cleared_and_what_it_had_put_aside_comes_back(run, tmp_path):
    voc_submission(run, "test", tmp_path / "out", overwrite=False)
    (tmp_path / "out").rename(tmp_path / ".out.4999999.old")
    (tmp_path / ".out.4999999.partial" / "results").mkdir(parents=True)
    (tmp_path / ".out.1999.mine").mkdir()
    (tmp_path / ".out.4999998.partial" / "results").mkdir(parents=True)
    with pytest.raises(UsageError, match="exists already"):
        voc_submission(run, "val", tmp_path / "out", overwrite=False)
    assert keys(tmp_path / "out") == ["c", "d"]
    (tmp_path / ".out.4999997.old").mkdir()
    voc_submission(run, "test", tmp_path / "out", overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".out.1999.mine", "out", "run"]


def test_nothing_but_a_submission_is_replaced(run, tmp_path):
    (tmp_path / "home" / "results").mkdir(parents=True)
    (tmp_path / "home" / "thesis.tex").write_text("years of work")
    (tmp_path / "file").write_text("a file")
    for name, told in (("home", "'thesis.tex'"), ("file", "'file'")):
        with pytest.raises(UsageError, match=f"{told} is no part of a submission; move it away"):
            voc_submission(run, "val", tmp_path / name, overwrite=True)
    assert (tmp_path / "home" / "thesis.tex").exists() and (tmp_path / "file").exists()


def test_documented_exports_are_of_splits_that_the_recipes_export():
    page = (DOCS / "natural-images.md").read_text()
    commands = re.findall(r"wsss export runs/(\w+) --(?:voc-submission|coco-results) --split (\w+)", page)
    assert {name for name, _ in commands} == {"voc", "coco"}
    for name, split in commands:
        exported = load_recipe(find_recipe(name)).export.splits
        told = re.search(rf'wsss run {name} .*"export\.splits=\[(.+)\]"', page)
        assert split in exported or split in told[1].split(", ")
