import io
import json
import re

import pytest
import tiny_recipe
from rich.console import Console

from wsss_toolkit.recipe import load_recipe, recipe_digest
from wsss_toolkit.report.report import build_report, print_report
from wsss_toolkit.runs.folder import StageRecord

NOTICE = "Synthetic data: figures say nothing about real scenes."
IOU = {"Forest": 0.5, "Water": None}


def scores(miou):
    return {"images": 4, "classes": 1, "miou": miou, "pixel_accuracy": 0.75, "iou": IOU, "without_truth": 0}


RECORDS = {
    "labels": StageRecord("a", 1.5, 100.0, {"splits": {"train": {"images": 8}}, "warnings": []}),
    "train": StageRecord("b", 2.0, 200.0, {"gates": {"open": 2, "total": 6}, "epochs": 2}),
    "evaluation": StageRecord(
        "c",
        3.0,
        300.0,
        {
            "classifier": {"val": {"map": 0.8, "f1": None}},
            "pseudo_masks": {"val": scores(0.5)},
            "segmentation": {"test": scores(None)},
        },
    ),
}


@pytest.fixture
def recipe(tmp_path, adapters):
    return load_recipe(tiny_recipe.write_recipe(tmp_path / "tiny.yaml", tmp_path / "data"))


def build(recipe, records=RECORDS):
    return build_report(recipe, records, notices=(NOTICE,), versions={"torch": "2"})


def printed(report):
    console = Console(width=100, record=True, file=io.StringIO())
    print_report(report, console)
    return console.export_text()


def test_figures_are_copied_as_they_were_found(recipe):
    report = build(recipe)
    assert report == json.loads(json.dumps(report, allow_nan=False))
    assert report["run"] == {
        "name": "tiny",
        "recipe_digest": recipe_digest(recipe),
        "seed": 3,
        "versions": {"torch": "2"},
        "notices": [NOTICE],
        "stages": {stage: record.digest for stage, record in RECORDS.items()},
    }
    for part in ("classifier", "pseudo_masks", "segmentation"):
        assert report[part] == RECORDS["evaluation"].result[part]
    assert report["labels"] == RECORDS["labels"].result
    assert report["gates"] == {"open": 2, "total": 6}
    assert report["seconds"] == {"labels": 1.5, "train": 2.0, "evaluation": 3.0}
    assert report["peak_memory_mb"] == {"labels": 100.0, "train": 200.0, "evaluation": 300.0}


def test_stages_that_have_not_run_leave_their_parts_empty(recipe):
    report = build(recipe, {"labels": RECORDS["labels"]})
    for part in ("classifier", "pseudo_masks", "segmentation", "gates"):
        assert report[part] == {}
    assert "mIoU" not in printed(report)


def test_the_label_source_stands_in_the_report(recipe, tmp_path):
    expected = {"label_source": "mask_coverage", "min_coverage": 0.1, "pseudo_mask_classes": "predicted"}
    assert build(recipe)["supervision"] == expected
    labels = {"source": "tag_file", "tag_file": str(tmp_path / "tags.csv")}
    tagged = load_recipe(tiny_recipe.write_recipe(tmp_path / "tags.yaml", tmp_path / "data", labels=labels))
    assert build(tagged)["supervision"] == {**expected, "label_source": "tag_file", "min_coverage": None}


def test_every_figure_stands_with_its_split_its_labels_and_the_notice(recipe):
    text = printed(build(recipe))
    flowing = " ".join(text.split())
    assert "tiny: labels from mask_coverage >= 0.1; pseudo-masks use predicted classes" in flowing
    assert NOTICE in flowing
    header = " ".join(text.split("images")[0].split())
    for part in ("pseudo-masks", "segmentation", "val", "test"):
        assert part in header
    rows = {line.split("│")[1].strip(): line for line in text.splitlines() if line.count("│") == 4}
    cells = {name: [cell.strip() for cell in line.split("│")[2:4]] for name, line in rows.items()}
    assert cells["mIoU"] == ["0.500", "-"]
    assert cells["pixel accuracy"] == ["0.750", "0.750"]
    assert cells["IoU Forest"] == ["0.500", "0.500"]
    assert cells["IoU Water"] == ["-", "-"], "a class that never occurs has no IoU, not 0"
    assert "classifier on val: mAP 0.800, F1 -" in text
    assert "attention heads open: 2 of 6" in text


def test_images_without_a_mask_and_the_background_are_shown_apart(recipe):
    assert "not scored" not in printed(build(recipe))
    partly = {**scores(0.5), "without_truth": 7, "without_background": {"miou": 0.25, "pixel_accuracy": None}}
    result = {**RECORDS["evaluation"].result, "pseudo_masks": {"val": partly}, "segmentation": {}}
    text = printed(build(recipe, {**RECORDS, "evaluation": StageRecord("c", 1.0, 1.0, result)}))
    assert re.search(r"not scored: no mask\W+7\b", text)
    assert re.search(r"mIoU without background\W+0\.250", text)
