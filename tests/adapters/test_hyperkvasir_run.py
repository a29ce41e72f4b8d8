"""The recipe for HyperKvasir on a generated copy, cut short: negatives, random changes, masks for some images only."""

import csv
import json

import numpy as np
import pytest
from click.testing import CliRunner
from fake_endoscopy import load, write_hyperkvasir

from wsss_toolkit.cli.main import cli

SHORT = {
    "model.weights": "none",
    "model.backbone": "vit_tiny_patch16_224",
    "model.image_size": 64,
    "train.epochs": 1,
    "train.batch_size": 8,
    "machine.workers": 0,
    "segmentation.encoder": "resnet18",
    "segmentation.image_size": 64,
    "segmentation.epochs": 1,
    "segmentation.batch_size": 8,
}


@pytest.mark.slow
def test_from_class_folders_to_masks(adapters, tmp_path):
    root = write_hyperkvasir(tmp_path / "data", further=tuple(f"cju{n}" for n in range(9)))
    arguments = ["run", "hyperkvasir", "--out", str(tmp_path / "run"), "--device", "cpu"]
    for name, value in {**SHORT, "data.root": root}.items():
        arguments += ["--set", f"{name}={value}"]
    result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output

    with (tmp_path / "run" / "labels" / "labels.csv").open(newline="") as file:
        labels = {row["image"]: row["classes"] for row in csv.DictReader(file)}
    assert {labels[key] for key in labels if key.startswith("cju")} == {"polyps"}
    assert {labels[key] for key in labels if key.startswith("0002")} == {""}, "negatives show none of the classes"
    assert not any(key.startswith(("0001", "0004")) for key in labels), "other classes are left out"

    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert 0 < report["segmentation"]["test"]["images"] < len(list((tmp_path / "run/export/test").glob("*.png")))
    for path in (tmp_path / "run" / "export" / "test").glob("*.png"):
        mask = load(path)
        assert mask.shape == (48, 64) and set(np.unique(mask)) <= {0, 1, 255}
