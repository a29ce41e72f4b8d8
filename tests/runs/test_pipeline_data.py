"""What copied, moved, touched and repaired data redo, and what is said of it."""

import os
import shutil

import pytest
import yaml
from fake_folders import COLORS, pixels, save

from wsss_toolkit.recipe import load_recipe
from wsss_toolkit.runs import pipeline

pytestmark = pytest.mark.usefixtures("adapters")

RECIPE = {
    "name": "pets",
    "data": {
        "adapter": "folder",
        "images": "images",
        "masks": "masks",
        "tags": "tags.csv",
        "classes": ["background", *COLORS],
        "background": "background",
        "splits": {"fractions": {"train": 0.5, "val": 0.25, "test": 0.25}},
        "scenes": "whole",
    },
    "channels": {"rgb": {"bands": "all", "scale": "imagenet"}},
    "labels": {"source": "dataset"},
    "model": {
        "backbone": "vit_tiny_patch16_224",
        "image_size": 32,
        "depth": 1,
        "attention": "asymmetric",
        "patch_classifier": {"weight": 1.0},
    },
    "train": {"epochs": 1, "batch_size": 4},
    "pseudo_masks": {"background": "threshold"},
    "segmentation": None,
    "evaluation": {"pseudo_masks": ["val"], "segmentation": []},
    "export": {"splits": []},
    "machine": {"precision": "32", "devices": 1},
}
STAGES = [stage for stage in pipeline.STAGES if stage not in ("consensus", "segmentation")]


@pytest.fixture
def data(tmp_path):
    """Twelve tagged pictures with masks, all written long ago."""
    root, rows = tmp_path / "data", ["image,classes"]
    for number in range(12):
        shown = (list(COLORS)[number % 3],)
        picture, mask = pixels(number, shown)
        old(save(root / "images" / f"p{number:02}.png", picture))
        old(save(root / "masks" / f"p{number:02}.png", mask))
        rows.append(f"p{number:02}.png,{shown[0]}")
    (root / "tags.csv").write_text("\n".join(rows) + "\n")
    return root


def old(path):
    os.utime(path, (1e9, 1e9))
    return path


def run(tmp_path, capsys, root, **changes):
    """Run; return what is said of each stage."""
    values = {**RECIPE, "data": {**RECIPE["data"], "root": str(root)}, **changes}
    (tmp_path / "pets.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    pipeline.run(load_recipe(tmp_path / "pets.yaml"), out=tmp_path / "run", device="cpu")
    lines = [line.partition(":") for line in capsys.readouterr().err.splitlines()]
    said = {stage: rest.strip() for stage, _, rest in reversed(lines) if stage in STAGES}
    assert list(said)[::-1] == STAGES
    return said


def mirror(path):
    from PIL import Image, ImageOps

    with Image.open(path) as picture:
        ImageOps.mirror(picture).save(path)


def test_what_is_done_again_and_why(tmp_path, data, capsys):
    kept = dict.fromkeys(STAGES, "unchanged, kept")
    assert set(run(tmp_path, capsys, data).values()) == {""}

    moved = tmp_path / "scratch" / "copy"
    shutil.copytree(data, moved, copy_function=shutil.copyfile)  # new times
    shutil.rmtree(data)
    assert run(tmp_path, capsys, moved) == kept

    mirror(moved / "masks" / "p03.png")
    why = "again, because 1 file of the data changed (masks/p03.png)"
    assert run(tmp_path, capsys, moved) == {**kept, "evaluation": why}

    assert run(tmp_path, capsys, moved, train={"epochs": 1, "batch_size": 3}) == {
        "labels": "unchanged, kept",
        "train": "again, because train.batch_size 4 -> 3",
        "pseudo_masks": "again, because train changed",
        "evaluation": "again, because pseudo_masks changed",
        "export": "again, because pseudo_masks changed",
    }

    mirror(moved / "images" / "p05.png")
    assert run(tmp_path, capsys, moved)["labels"] == "again, because 1 file of the data changed (images/p05.png)"


def test_masks_that_labels_come_from_redo_everything(tmp_path, data, capsys):
    labels = {"source": "mask_coverage", "min_coverage": 0.05}
    run(tmp_path, capsys, data, labels=labels)
    mirror(data / "masks" / "p03.png")
    said = run(tmp_path, capsys, data, labels=labels)
    assert said["labels"] == "again, because 1 file of the data changed (masks/p03.png)"
    assert said["train"] == "again, because labels changed"


def test_a_result_of_an_older_version_is_made_again(tmp_path, data, capsys):
    run(tmp_path, capsys, data)
    for stage in STAGES:
        record = tmp_path / "run" / stage / "stage.json"
        record.write_text(record.read_text().replace('"digest": "', '"digest": "0'))
        (tmp_path / "run" / stage / "inputs.json").unlink()
    assert set(run(tmp_path, capsys, data).values()) == {"again, because it was made by an older version"}
