"""Pictures of any size and aspect: trained on crops, labelled by sliding windows, masks of the pictures' own sizes."""

import json

import numpy as np
import pytest
import tiny_recipe
from fake_folders import pixels, read_png, save

from wsss_toolkit.model.vit import MultiTokenViT
from wsss_toolkit.recipe import load_recipe
from wsss_toolkit.runs import pipeline

SIZES = [(70, 150), (45, 33), (64, 64), (150, 41)]
"""Height and width of the pictures, round and round."""


def pictures(root):
    shown = [("cat",), ("dog",), ("cat", "dog"), ("tree",)]
    for i in range(16):
        height, width = SIZES[i % len(SIZES)]
        picture, mask = pixels(i, shown[i // 4], height, width)
        save(root / "images" / f"p{i:02}.png", picture)
        save(root / "masks" / f"p{i:02}.png", mask)
    return root


@pytest.mark.slow
@pytest.mark.parametrize("network", [True, False])
def test_pictures_of_any_size_are_labelled_at_their_size(tmp_path, adapters, monkeypatch, network):
    seen = set()
    forward = MultiTokenViT.forward

    def recorded(self, images, **options):
        seen.add(tuple(images.shape[-2:]))
        return forward(self, images, **options)

    monkeypatch.setattr(MultiTokenViT, "forward", recorded)
    root = pictures(tmp_path / "data")
    changes = {
        "data": {
            "adapter": "folder",
            "root": str(root),
            "images": "images",
            "masks": "masks",
            "classes": ["rest", "cat", "dog", "tree"],
            "background": "rest",
            "splits": {"counts": {"train": 8, "val": 4, "test": 4}},
        },
        "channels": {"rgb": {"bands": "all", "scale": "imagenet"}},
        "labels": {"source": "mask_coverage", "min_coverage": 0.01},
        "model__fit": "crop",
        "pseudo_masks__window": "auto",
        "pseudo_masks__flips": True,
        "pseudo_masks__scales": [1.0, 1.5],
        "pseudo_masks__background": "threshold",
        "segmentation": {"encoder": "resnet18", "epochs": 1, "batch_size": 4, "crop_size": 32} if network else None,
        "evaluation": {"pseudo_masks": ["train", "val"], "segmentation": ["val"] if network else []},
        "export": {"splits": ["test"]},
    }
    recipe = load_recipe(tiny_recipe.write_recipe(tmp_path / "windows.yaml", root, **changes))
    report = json.loads(pipeline.run(recipe, out=tmp_path / "run", device="cpu").read_text())
    assert seen == {(32, 32)}, "the classifier sees nothing but images of the size that it was trained on"
    written = {
        **{path.stem: path for path in (tmp_path / "run" / "pseudo_masks").rglob("p*.png")},
        **{path.stem: path for path in (tmp_path / "run" / "export").rglob("p*.png")},
    }
    assert sorted(written) == [f"p{i:02}" for i in range(16)]
    for name, path in written.items():
        mask = read_png(path)
        assert mask.shape == SIZES[int(name[1:]) % len(SIZES)]
        assert set(np.unique(mask)) <= {0, 1, 2, 3}
    assert report["pseudo_masks"]["val"]["images"] == 4
