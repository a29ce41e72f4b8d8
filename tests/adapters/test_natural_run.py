"""`wsss run` on photographs and their benchmarks' own results formats."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from fake_natural import VOC_TEST, exif_photo, save_photo, write_ade, write_coco, write_voc
from PIL import Image

from wsss_adapters.natural.ade20k import CLASSES
from wsss_adapters.natural.images import bit_palette
from wsss_toolkit.cli.main import cli

SECTIONS = {
    "channels": {"rgb": {"bands": "all", "scale": "imagenet"}},
    "labels": {"source": "dataset"},
    "model": {
        "backbone": "vit_tiny_patch16_224",
        "patch_size": 8,
        "image_size": 32,
        "depth": 2,
        "attention": "asymmetric",
        "class_tokens": {"enter_at": 1},
    },
    "heads": {"class": {"kind": "per_token"}, "patch": {"kind": "linear"}},
    "objective": {"presence": {}, "patch": {"kind": "presence", "head": "patch"}, "open_gates": {}},
    "train": {"epochs": 2, "batch_size": 4, "lr": 1.0e-3},
    "machine": {"precision": "32", "devices": 1},
    "pseudo_masks": {"source": {"kind": "fused", "layers": "last"}, "background": "threshold"},
    "segmentation": {"encoder": "resnet18", "epochs": 1, "batch_size": 4, "image_size": 32},
}


def wsss(*arguments, code=0):
    """Run the command; return what it printed."""
    result = CliRunner().invoke(cli, list(map(str, arguments)))
    assert result.exit_code == code, result.output + str(result.exception)
    return result.output


def carry_out(folder, name, data, **sections):
    """Write a recipe and run it; return the run's folder."""
    recipe = {"name": name, "data": data, **SECTIONS, **sections}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    wsss("run", folder / "recipe.yaml", "--out", folder / "run", "--device", "cpu")
    return folder / "run"


def label_new_pictures(run, folder, colors):
    """Label pictures of other sizes with a run whose data are gone; `colors` are the first of its palette."""
    shutil.rmtree(folder / "data")
    save_photo(folder / "new" / "a b.png", (50, 70))
    exif_photo(folder / "new" / "sub" / "turned.jpg", (40, 60), 6)
    save_photo(folder / "new" / "c.tif", (33, 35), 2)
    arguments = ["pseudolabel", "--tiles", folder / "new", "--run", run, "--device", "cpu", "--out", folder / "out"]
    assert wsss(*arguments, "--confidence").strip().endswith(f"masks: {folder / 'out'}")
    masks = {}
    for path in sorted((folder / "out").glob("*_mask.png")):
        with Image.open(path) as mask:
            assert mask.mode == "P" and mask.getpalette()[: 3 * len(colors)] == [level for c in colors for level in c]
            assert mask.text["wsss_stage"] == "unet" and "wsss_recipe_digest" in mask.text
            masks[path.name] = np.asarray(mask)
    assert sorted(mask.shape for mask in masks.values()) == [(33, 35), (50, 70), (60, 40)]
    assert all(np.isin(mask, range(len(colors))).all() for mask in masks.values()), "every pixel has a class"
    assert wsss(*arguments, "--confidence").count("unchanged, kept") == 3
    # By windows, and by the classifier: other masks of the same sizes.
    sliding = ["--set", "data.scenes=windows", "--window", "32", "--overwrite"]
    for stage in ("unet", "vit"):
        wsss(*arguments, *sliding, "--stage", stage)
        for name, mask in masks.items():
            with Image.open(folder / "out" / name) as again:
                assert again.text["wsss_window"] == "32" and again.text["wsss_stage"] == stage
                assert again.size == mask.shape[::-1]


@pytest.mark.slow
def test_ade20k_from_coverage_to_new_pictures(tmp_path, adapters):
    write_ade(tmp_path / "data")
    data = {"adapter": "ade20k", "root": str(tmp_path / "data")}
    sections = {
        "labels": {"source": "mask_coverage", "min_coverage": 0.01},
        "pseudo_masks": {"source": {"kind": "fused", "layers": "last"}},
        "evaluation": {"segmentation": ["val"]},
        "export": {"splits": ["val"]},
    }
    run = carry_out(tmp_path, "tiny-ade", data, **sections)
    report = json.loads((run / "report.json").read_text())
    assert (report["supervision"]["label_source"], report["supervision"]["min_coverage"]) == ("mask_coverage", 0.01)
    label_new_pictures(run, tmp_path, CLASSES.colors)


@pytest.mark.slow
def test_voc_from_its_annotations_to_a_submission(tmp_path, adapters):
    write_voc(tmp_path / "data")
    data = {"adapter": "voc", "root": str(tmp_path / "data")}
    run = carry_out(tmp_path, "tiny-voc", data, evaluation={"segmentation": ["val"]})
    report = json.loads((run / "report.json").read_text())
    assert report["supervision"]["label_source"] == "dataset"
    assert report["labels"]["splits"]["train"]["without_class"] == 1  # a photograph without objects is an example
    assert report["segmentation"]["val"]["images"] == 2
    printed = wsss("export", run, "--voc-submission")
    assert "voc_submission" in printed
    folder = run / "voc_submission" / "results" / "VOC2012" / "Segmentation" / "comp6_test_cls"
    assert sorted(path.stem for path in folder.iterdir()) == sorted(VOC_TEST)
    with Image.open(folder / f"{VOC_TEST[0]}.png") as mask:
        assert mask.mode == "P" and mask.size == (30, 20)
        assert mask.getpalette()[3 * 15 : 3 * 15 + 3] == [192, 128, 128]  # person
    assert "exists already" in wsss("export", run, "--voc-submission", code=2)
    wsss("export", run, "--voc-submission", "--overwrite")
    assert "for runs of the adapter 'coco'" in wsss("export", run, "--coco-results", code=2)
    assert "has no masks of the split 'val'" in wsss("export", run, "--voc-submission", "--split", "val", "--out",
                                                     tmp_path / "other", code=2)  # fmt: skip
    assert "say what to write" in wsss("export", run, code=2)
    label_new_pictures(run, tmp_path, bit_palette(21))


@pytest.mark.slow
def test_coco_from_its_annotations_to_its_results(tmp_path, adapters):
    pytest.importorskip("pycocotools")
    write_coco(tmp_path / "data")
    data = {"adapter": "coco", "root": str(tmp_path / "data"), "year": 2014}
    sections = {"evaluation": {"segmentation": ["val"]}, "export": {"splits": ["val"]}}
    run = carry_out(tmp_path, "tiny-coco", data, **sections)
    wsss("export", run, "--coco-results", "--split", "val")
    results = json.loads((run / "coco_val.json").read_text())
    assert {entry["image_id"] for entry in results} <= {200, 201, 202, 203}
    assert all(1 <= entry["category_id"] <= 90 for entry in results)
    label_new_pictures(run, tmp_path, bit_palette(81))


@pytest.mark.slow
@pytest.mark.real_data
def test_real_coco_annotations_through_two_epochs(tmp_path, adapters):
    pytest.importorskip("pycocotools")
    if "WSSS_TEST_DATA" not in os.environ:
        pytest.skip("WSSS_TEST_DATA is not set")
    root = Path(os.environ["WSSS_TEST_DATA"]) / "natural" / "coco128"
    data = {
        "adapter": "coco",
        "root": str(root),
        "divide": {"set": "train2017", "fractions": {"train": 0.7, "val": 0.3}},
    }
    sections = {
        "model": {**SECTIONS["model"], "image_size": 64},
        "evaluation": {"segmentation": ["val"]},
        "export": {"splits": []},
    }
    run = carry_out(tmp_path, "coco128", data, **sections)
    report = json.loads((run / "report.json").read_text())
    scored = report["pseudo_masks"]["val"]
    assert scored["images"] + scored["without_truth"] == report["labels"]["splits"]["val"]["images"]
    assert 0 < scored["pixel_accuracy"] <= 1
    masks = [np.asarray(Image.open(path)) for path in sorted((run / "pseudo_masks" / "val").glob("*.png"))]
    assert len(masks) == scored["images"]
    assert all(mask.max() <= 80 or mask.max() == 255 for mask in masks)
