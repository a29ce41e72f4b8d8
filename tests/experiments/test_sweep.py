import json
import shutil

import pytest
import tiny_recipe
from click.testing import CliRunner
from in_process import in_process

from wsss_toolkit.cli import cli
from wsss_toolkit.compute import Launch
from wsss_toolkit.errors import DataError
from wsss_toolkit.experiments import child, experiment
from wsss_toolkit.experiments.sweep import sweep_rows
from wsss_toolkit.runs import pipeline

pytestmark = pytest.mark.usefixtures("adapters")

MASKED, BARE = "token_masking-0.5", "token_masking-0"


@pytest.fixture(scope="module")
def declared_adapters():
    """What the fixture `adapters` does for a test, for fixtures that outlive one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("wsss_toolkit.domain.adapter.entry_points", lambda group: tiny_recipe.declared_adapters())
        patch.setattr(child, "in_child", in_process)
        yield


@pytest.fixture(autouse=True)
def no_children(monkeypatch):
    monkeypatch.setattr(child, "in_child", in_process)


def write_recipe(folder):
    """Write a recipe without a network, for speed."""
    return tiny_recipe.write_recipe(
        folder / "tiny.yaml",
        folder / "data",
        segmentation=None,
        train__epochs=1,
        evaluation={"pseudo_masks": ["train", "val"], "segmentation": []},
    )


def sweep(recipe, out, *arguments):
    return CliRunner().invoke(cli, ["sweep", str(recipe), "--out", str(out), "--device", "cpu", *arguments])


GRID = ("--set", "model.token_masking=0,0.5", "--set", "pseudo_masks.assign=paint,argmax")


@pytest.fixture(scope="module")
def finished(tmp_path_factory, declared_adapters):
    """A finished sweep of four cells, the recipe and what was printed."""
    folder = tmp_path_factory.mktemp("sweep")
    recipe = write_recipe(folder)
    result = sweep(recipe, folder / "out", *GRID)
    assert result.exit_code == 0, result.output
    return folder / "out", recipe, result.output


@pytest.fixture
def copied(finished, tmp_path):
    shutil.copytree(finished[0], tmp_path / "out")
    return tmp_path / "out", finished[1]


def record(out, cell, stage):
    return json.loads((out / "cells" / cell / stage / "stage.json").read_text())


def identity(out, cell, stage, file="stage.json"):
    status = (out / "cells" / cell / stage / file).stat()
    return status.st_ino, status.st_mtime_ns


def test_progress_names_every_cell(finished):
    for number, name in enumerate(
        [f"{BARE}__assign-paint", f"{BARE}__assign-argmax", f"{MASKED}__assign-paint", f"{MASKED}__assign-argmax"], 1
    ):
        assert f"cell {number} of 4: {name}__seed-3" in finished[2]
    assert finished[2].count("train: shared with") == 2
    assert finished[2].count("labels: shared with") == 3
    assert "table.md" in finished[2] and "curve-model.token_masking-pseudo_masks-val.png" in finished[2]


def test_a_training_that_cells_share_is_done_once(finished):
    cells = {path.name for path in (finished[0] / "cells").iterdir()}
    assert len(cells) == 4
    for masking in (BARE, MASKED):
        one, two = (f"{masking}__assign-{assign}__seed-3" for assign in ("paint", "argmax"))
        for stage in ("labels", "train"):
            assert identity(finished[0], one, stage) == identity(finished[0], two, stage)
        assert identity(finished[0], one, "train", "model.safetensors") == identity(
            finished[0], two, "train", "model.safetensors"
        )
        assert identity(finished[0], one, "pseudo_masks") != identity(finished[0], two, "pseudo_masks")
        assert record(finished[0], one, "train")["seconds"] == record(finished[0], two, "train")["seconds"]
    digests = {record(finished[0], cell, "train")["digest"] for cell in cells}
    assert len(digests) == 2


def test_the_table_holds_what_the_cells_reports_say(finished):
    table = json.loads((finished[0] / "table.json").read_text())
    assert [tuple(row["values"].values()) for row in table["rows"]] == [
        ("0", "paint"), ("0", "argmax"), ("0.5", "paint"), ("0.5", "argmax"),
    ]  # fmt: skip
    assert table["label_sources"] == ["mask_coverage >= 0.1"]
    for row in table["rows"]:
        report = json.loads((finished[0] / row["cells"]["3"] / "report.json").read_text())
        for split in ("train", "val"):
            assert row["figures"][f"pseudo_masks.{split}.miou"]["values"] == [report["pseudo_masks"][split]["miou"]]
            assert row["figures"][f"classifier.{split}.map"]["mean"] == report["classifier"][split]["map"]
        assert row["figures"]["gates.open"]["mean"] == report["gates"]["open"]
        assert row["figures"]["seconds.training"]["mean"] == report["seconds"]["train"]
        masks = record(finished[0], row["cells"]["3"].removeprefix("cells/"), "pseudo_masks")
        assert row["figures"]["seconds_per_image.pseudo_masks"]["mean"] == pytest.approx(masks["seconds"] / 12)


def test_a_cell_that_was_killed_before_its_page_gets_it(copied):
    out, recipe = copied
    page = out / "cells" / f"{MASKED}__assign-argmax__seed-3" / "report.html"
    page.unlink()
    result = sweep(recipe, out, *GRID)
    assert result.exit_code == 0 and result.output.count("finished, kept") == 3, result.output
    assert page.is_file()


def test_finished_cells_are_never_redone(copied):
    out, recipe = copied
    before = {path: path.stat().st_mtime_ns for path in (out / "cells").rglob("*") if path.is_file()}
    result = sweep(recipe, out, *GRID)
    assert result.exit_code == 0
    assert result.output.count("finished, kept") == 4
    after = {path: path.stat().st_mtime_ns for path in (out / "cells").rglob("*") if path.is_file()}
    assert {path for path in after if before.get(path) != after[path]} <= {
        path for path in after if path.name in ("run.json", ".lock")
    }


def test_stages_left_out_are_taken_from_siblings_or_refused_before_any_cell(copied):
    out, recipe = copied
    masks = ("--set", "pseudo_masks.flips=true", "--stages", "pseudo_masks,evaluation")
    result = sweep(recipe, out, "--set", "model.token_masking=0,0.7", *masks)
    assert result.exit_code == 2, result.output
    assert "stage pseudo_masks needs labels" not in result.output, "labels do not depend on token masking"
    assert "stage pseudo_masks needs train, which has not finished for this recipe" in result.output
    assert not list(out.glob("cells/*-0*__seed-3/pseudo_masks.partial"))
    result = sweep(recipe, out, "--set", "model.token_masking=0,0.5", *masks)
    assert result.exit_code == 0, result.output
    for masking in (BARE, MASKED):
        assert identity(out, f"{masking}__seed-3", "train") == identity(
            out, f"{masking}__assign-paint__seed-3", "train"
        )


@pytest.mark.slow
def test_a_failed_cell_is_named_the_others_go_on_and_it_is_tried_again(copied, monkeypatch):
    out, recipe = copied
    for assign in ("paint", "argmax"):
        shutil.rmtree(out / "cells" / f"{MASKED}__assign-{assign}__seed-3")
    run, broken = pipeline.run, f"{MASKED}__assign-paint__seed-3"

    def fail_once(recipe, *, out, stages, device):
        if out.name == broken:
            raise DataError("this image is torn")
        return run(recipe, out=out, stages=stages, device=device)

    monkeypatch.setattr(pipeline, "run", fail_once)
    result = sweep(recipe, out, *GRID)
    assert result.exit_code == 1
    assert f"{broken}: this image is torn" in result.output
    assert "1 of 4 cells failed" in result.output
    assert "this image is torn" in (out / "failures" / f"{broken}.txt").read_text()
    rows = json.loads((out / "table.json").read_text())["rows"]
    assert [row["seeds"] for row in rows] == [[3], [3], [], [3]]
    assert rows[2]["failed"] == {"3": "this image is torn"}

    monkeypatch.setattr(pipeline, "run", run)
    trained = identity(out, f"{MASKED}__assign-argmax__seed-3", "train")
    result = sweep(recipe, out, *GRID)
    assert result.exit_code == 0
    assert result.output.count("finished, kept") == 3
    assert identity(out, broken, "train") == trained, "the other cell's training serves this one too"
    assert [row["seeds"] for row in json.loads((out / "table.json").read_text())["rows"]] == [[3]] * 4
    assert not (out / "failures" / f"{broken}.txt").exists()


def test_a_dry_run_lists_the_cells_and_writes_nothing(tmp_path, finished):
    result = sweep(finished[1], tmp_path / "new", *GRID, "--seeds", "2", "--dry-run")
    assert result.exit_code == 0
    assert result.output.splitlines()[0] == f"cell 1 of 8: {BARE}__assign-paint__seed-3"
    assert "8 cells, 4 trainings of a classifier" in result.output
    assert not (tmp_path / "new").exists()
    result = sweep(finished[1], finished[0], *GRID, "--seeds", "2", "--dry-run")
    assert result.output.count("(finished)") == 4


def test_an_older_spelling_varies_the_value_it_stands_for_and_is_named_once(tmp_path):
    recipe = write_recipe(tmp_path)
    result = sweep(recipe, tmp_path / "out", "--set", "model.gates.l0_weight=0,0.1", "--seeds", "2", "--dry-run")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0] == "cell 1 of 4: l0_weight-0__seed-3"
    assert result.stderr.count("note: ") == 1
    assert "note: model.gates.l0_weight is now objective.open_gates.weight" in result.stderr
    rows = sweep_rows(recipe, ["model.gates.l0_weight=0,0.1"], ["all", "other: model.patch_classifier.weight=0.5"])
    weights = [(row.recipe.objective["open_gates"].weight, row.recipe.objective["patch"].weight) for row in rows]
    assert weights == [(0, 1), (0.1, 1), (0, 0.5), (0.1, 0.5)]


def test_mistakes_are_found_before_anything_is_trained(tmp_path):
    recipe = write_recipe(tmp_path)
    for arguments, message in (
        (["--set", "model.token_maskin=0,1"], "did you mean token_masking"),
        (["--set", "model.token_masking=0,2"], "at most 1"),
        (["--set", "train.lr=1,,2"], "a value is empty"),
        (["--stages", "trian"], "there is no stage 'trian'"),
        (["--stages", "labels,train,evaluation"], "stage evaluation needs pseudo_masks, which has not finished"),
        (["--stages", "evaluation", "--dry-run"], "--stages labels,train,pseudo_masks,evaluation"),
        (["--set", "evaluation.pseudo_masks=[train],[test]", "--set", "pseudo_masks.splits=[train]"], "test"),
    ):
        result = sweep(recipe, tmp_path / "out", *arguments)
        assert result.exit_code == 2, result.output
        assert message in result.output
        assert not (tmp_path / "out").exists()


def test_a_folder_of_something_else_is_refused(tmp_path, copied):
    recipe = write_recipe(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    result = sweep(recipe, tmp_path / "full")
    assert result.exit_code == 2 and "the folder is no sweep and not empty" in result.output
    marker = copied[0] / experiment.MARKER
    marker.write_text(json.dumps({"kind": "compare", "name": "tiny"}))
    result = sweep(recipe, copied[0])
    assert result.exit_code == 2 and "the folder holds a compare of recipe 'tiny'" in result.output


def test_a_launch_of_several_processes_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(experiment, "find_launch", lambda: Launch("x", rank=1, processes=2))
    result = sweep(write_recipe(tmp_path), tmp_path / "out")
    assert result.exit_code == 2 and "start it without torchrun or srun" in result.output


@pytest.mark.slow
def test_cells_run_in_processes_of_their_own(tmp_path):
    recipe = write_recipe(tmp_path)
    process = tiny_recipe.start(
        ["sweep", recipe, "--set", "pseudo_masks.assign=paint,argmax", "--out", "out", "--device", "cpu"], tmp_path
    )
    assert process.wait(600) == 0, (tmp_path / "wsss.log").read_text()
    rows = json.loads((tmp_path / "out" / "table.json").read_text())["rows"]
    assert [row["seeds"] for row in rows] == [[3], [3]]
    assert "train: shared with assign-paint__seed-3" in (tmp_path / "wsss.log").read_text()
