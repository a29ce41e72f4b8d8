import csv
import json

import pytest
import tiny_recipe
import torch
from click.testing import CliRunner
from in_process import in_process
from safetensors.torch import load_file

from wsss_toolkit.cli import cli
from wsss_toolkit.experiments import child, experiment, supervised_inputs

pytestmark = pytest.mark.usefixtures("adapters")

FAST = {
    "train__epochs": 1,
    "segmentation__epochs": 1,
    "evaluation": {"pseudo_masks": ["val"], "segmentation": ["val"]},
    "pseudo_masks__splits": ["train", "val"],
}


@pytest.fixture(autouse=True)
def no_children(monkeypatch):
    monkeypatch.setattr(child, "in_child", in_process)
    monkeypatch.setattr(supervised_inputs, "MOST_EPOCHS", 2)


def compare(recipe, out, *arguments):
    return CliRunner().invoke(cli, ["compare", str(recipe), "--out", str(out), "--device", "cpu", *arguments])


@pytest.fixture
def recipe(tmp_path):
    return tiny_recipe.write_recipe(tmp_path / "tiny.yaml", tmp_path / "data", **FAST)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished comparison of the supervised rows: its folder, the recipe and what was printed."""
    folder = tmp_path_factory.mktemp("compare")
    recipe = tiny_recipe.write_recipe(folder / "tiny.yaml", folder / "data", **FAST)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("wsss_toolkit.domain.adapter.entry_points", lambda group: tiny_recipe.declared_adapters())
        patch.setattr(child, "in_child", in_process)
        patch.setattr(supervised_inputs, "MOST_EPOCHS", 2)
        result = compare(recipe, folder / "out", "--methods", "supervised_unet,supervised_head,supervised_vit")
    assert result.exit_code == 0, result.output
    return folder / "out", recipe, result.output


def times(out):
    return {path: path.stat().st_mtime_ns for path in (out / "cells").rglob("stage.json")}


def test_supervised_rows_say_so_everywhere(finished):
    out, _, printed = finished
    assert printed.count("ground-truth") == 4, "three rows and the sentence below them"
    table = json.loads((out / "table.json").read_text())
    assert [(row["values"]["method"], row["trained_on"]) for row in table["rows"]] == [
        ("supervised_unet", "ground-truth masks"),
        ("supervised_head", "ground-truth masks"),
        ("supervised_vit", "ground-truth masks"),
    ]
    assert table["label_sources"] == []
    text = (out / "table.md").read_text()
    assert text.count("| ground-truth masks |") == 6 and "the others learn from image-level labels alone" in text
    for row in table["rows"]:
        report = json.loads((out / row["cells"]["3"] / "report.json").read_text())
        assert report["supervision"]["label_source"] == "ground-truth masks"
        assert report["run"]["method"] == row["values"]["method"]


def test_supervised_rows_are_scored_measured_and_leave_no_copy_of_the_masks(finished):
    for row in json.loads((finished[0] / "table.json").read_text())["rows"]:
        cell = finished[0] / row["cells"]["3"]
        report = json.loads((cell / "report.json").read_text())
        figures = {name: figure["mean"] for name, figure in row["figures"].items()}
        assert figures["segmentation.val.miou"] == report["segmentation"]["val"]["miou"]
        assert report["segmentation"]["val"]["images"] == 4
        assert figures["seconds.training"] == report["seconds"]["supervised_training"] > 0
        assert figures["seconds_per_image.segmentation"] > 0 and figures["peak_memory_mb"] > 50
        assert not {name for name in figures if name.startswith(("pseudo_masks", "gates", "classifier"))}
        assert not list(cell.rglob("*.tif"))


def test_supervised_rows_keep_the_epoch_that_is_best_on_validation_masks(finished):
    for row in json.loads((finished[0] / "table.json").read_text())["rows"]:
        cell = finished[0] / row["cells"]["3"]
        report = json.loads((cell / "report.json").read_text())
        with next(cell.glob("supervised_training/csv/*/metrics.csv")).open(newline="") as file:
            logged = {
                int(line["epoch"]) + 1: float(line["val/miou"]) for line in csv.DictReader(file) if line["val/miou"]
            }
        assert len(logged) == report["supervision"]["epochs"] == 2, "more than the recipe's"
        kept = report["supervision"]["kept_epoch"]
        assert logged[kept] == max(logged.values())
        assert logged[kept] == pytest.approx(report["segmentation"]["val"]["miou"], abs=1e-6)
        assert row["figures"]["epochs.kept"]["mean"] == kept
        assert report["supervision"]["kept_by"] == "mIoU on validation masks"
    assert "| epoch kept |" in (finished[0] / "table.md").read_text()


def test_finished_supervised_cells_are_kept_and_changed_ones_done_again(finished):
    out, recipe, _ = finished
    before = times(out)
    result = compare(recipe, out, "--methods", "supervised_unet,supervised_vit")
    assert result.exit_code == 0 and result.output.count("finished, kept") == 2
    assert times(out) == before
    # What only pseudo-masks have changes nothing here but the recipe's digest, and the training is kept.
    result = compare(recipe, out, "--methods", "supervised_vit", "--set", "pseudo_masks.assign=paint")
    assert result.exit_code == 0 and "finished, kept" not in result.output
    assert times(out) == before


def test_refined_predictions_of_a_supervised_network_are_scored_anew_without_training(finished):
    out, recipe, _ = finished
    trained = next((out / "cells").glob("supervised_unet*/supervised_training/stage.json"))
    before, report = trained.stat(), trained.parents[1] / "report.json"
    scores = [json.loads(report.read_text())["segmentation"]["val"]["pixel_accuracy"]]
    for refine in ("{pixel_adaptive: {iterations: 3}}", "{}"):
        change = f"segmentation.refine={refine}"
        assert compare(recipe, out, "--methods", "supervised_unet", "--set", change).exit_code == 0
        scores.append(json.loads(report.read_text())["segmentation"]["val"]["pixel_accuracy"])
    assert scores[0] == scores[2] != scores[1]
    assert trained.stat() == before


def test_seeds_differ_and_the_same_seed_does_not(finished, tmp_path):
    out, recipe, _ = finished
    again = compare(recipe, tmp_path / "again", "--methods", "supervised_vit")
    assert again.exit_code == 0, again.output
    other = compare(recipe, tmp_path / "other", "--methods", "supervised_vit", "--set", "seed=4")
    assert other.exit_code == 0, other.output

    def weights(folder, seed):
        model = folder / f"cells/supervised_vit__seed-{seed}" / "supervised_training" / "model.safetensors"
        return load_file(model)["heads.class_head.linear.weight"]

    assert torch.equal(weights(tmp_path / "again", 3), weights(out, 3))
    assert not torch.equal(weights(tmp_path / "other", 4), weights(out, 3))


@pytest.mark.slow
def test_every_method_has_a_row(recipe, tmp_path):
    pytest.importorskip("monai")
    result = compare(recipe, tmp_path / "out")
    assert result.exit_code == 0, result.output
    table = json.loads((tmp_path / "out" / "table.json").read_text())
    names = [row["values"]["method"] for row in table["rows"]]
    assert names == ["ours", "paper", "sparse_vit", "mctformer", "gradcam", "supervised_unet",
                     "supervised_head", "supervised_vit"]  # fmt: skip
    for row in table["rows"]:
        report = json.loads((tmp_path / "out" / row["cells"]["3"] / "report.json").read_text())
        assert row["figures"]["segmentation.val.miou"]["mean"] == report["segmentation"]["val"]["miou"]
        weak = row["trained_on"] == "image-level labels"
        assert ("pseudo_masks.val.miou" in row["figures"]) == weak
        logs = (tmp_path / "out" / row["cells"]["3"]).rglob("metrics.csv")
        assert any("val/miou" in log.read_text() for log in logs) != weak, "no mask chooses a weak network's epoch"
    # Labels are derived once for all, and every method trains its own classifier.
    cells = tmp_path / "out" / "cells"
    labels = {path.stat().st_ino for path in cells.glob("*/labels/stage.json")}
    trainings = {path.stat().st_ino for path in cells.glob("*/train/stage.json")}
    assert (len(labels), len(trainings)) == (1, 5)


def test_what_cannot_be_carried_out_is_refused_first(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    result = compare(recipe, tmp_path / "out")
    assert result.exit_code == 2 and "gradcam needs MONAI" in result.output
    result = compare(recipe, tmp_path / "out", "--methods", "supervised_unet", "--set", "segmentation=null",
                     "--set", "evaluation.segmentation=[]")  # fmt: skip
    assert result.exit_code == 2 and "supervised_unet needs the recipe's segmentation section" in result.output
    result = compare(recipe, tmp_path / "out", "--methods", "ours,mctformr")
    assert result.exit_code == 2 and "did you mean mctformer" in result.output
    assert not (tmp_path / "out").exists()


def test_a_dry_run_lists_the_cells(recipe, tmp_path):
    result = compare(recipe, tmp_path / "out", "--methods", "ours,supervised_vit", "--seeds", "2", "--dry-run")
    assert result.output.splitlines() == [
        "cell 1 of 4: ours__seed-3",
        "cell 2 of 4: supervised_vit__seed-3",
        "cell 3 of 4: ours__seed-4",
        "cell 4 of 4: supervised_vit__seed-4",
        f"4 cells, 2 trainings of a classifier; folder: {tmp_path / 'out'}",
    ]
    assert not (tmp_path / "out").exists()


def test_a_sweeps_folder_is_refused(recipe, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / experiment.MARKER).write_text('{"kind": "sweep", "name": "tiny"}')
    result = compare(recipe, tmp_path / "out", "--methods", "ours")
    assert result.exit_code == 2 and "the folder holds a sweep of recipe 'tiny'" in result.output
