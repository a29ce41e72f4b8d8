"""Finished tiny runs on frames and on pictures, which the spoiled inputs are given to."""

import fake_folders
import numpy as np
import pytest
import tiny_recipe
from fake_frames import picture
from fuzzing import wsss
from once import made_once

FRAMES = {
    "data": {
        "adapter": "hyperkvasir",
        "layout": "frames",
        "masks": "masks",
        "classes": [
            {"name": "Background", "color": "#000000"},
            {"name": "Polyp", "color": "#ff0000", "code": {"value": "68496003", "meaning": "Polyp of colon"}},
        ],
        "background": "Background",
        "splits": {"counts": {"train": 8, "val": 2, "test": 2}},
    },
    "channels": {"rgb": {"bands": "all", "scale": "imagenet"}},
    "pseudo_masks__background": "threshold",
}
PICTURES = {
    "data": {
        "adapter": "folder",
        "images": "images",
        "masks": "masks",
        "classes": ["background", "cat", "dog", "tree"],
        "background": "background",
        "splits": {"counts": {"train": 8, "val": 2, "test": 2}},
    },
    "channels": {"rgb": {"bands": "all", "scale": "imagenet"}},
    "pseudo_masks__background": "threshold",
}


def run_once(tmp_path_factory, name, changes, write):
    """Return the folder of a finished run, made once for all test processes; read it, do not change it."""

    def make(folder):
        write(folder / "data")
        data = {**changes["data"], "root": str(folder / "data")}
        recipe = tiny_recipe.write_recipe(folder / "tiny.yaml", folder / "data", **{**changes, "data": data})
        result, why = wsss("run", recipe, "--out", folder / "run", "--device", "cpu")
        assert why is None and result.exit_code == 0, result and result.output

    return made_once(tmp_path_factory, name, make) / "run"


def write_frames(data):
    """Write 12 frames, half of which show a pale disc, with masks."""
    for number in range(12):
        pixels, mask = picture(40, 64, seed=number), np.zeros((40, 64), np.uint8)
        if number % 2 == 0:
            pixels[10:30, 20:40], mask[10:30, 20:40] = (240, 220, 200), 1
        fake_folders.save(data / "images" / f"{number:02d}.png", pixels)
        fake_folders.save(data / "masks" / f"{number:02d}.png", mask)


@pytest.fixture
def frames_run(tmp_path_factory, adapters):
    """A finished run on frames of the gut."""
    return run_once(tmp_path_factory, "fuzz-frames", FRAMES, write_frames)


@pytest.fixture
def pictures_run(tmp_path_factory, adapters):
    """A finished run on a folder of pictures."""
    return run_once(tmp_path_factory, "fuzz-pictures", PICTURES, lambda data: fake_folders.masked(data, 12))
