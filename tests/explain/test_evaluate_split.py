"""`wsss explain RUN --split SPLIT`: an evaluation, with ground truth."""

import csv
import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from wsss_adapters.synthetic import Synthetic
from wsss_toolkit.cli.main import cli
from wsss_toolkit.explain import evaluate_split
from wsss_toolkit.recipe.schema import PseudoMasks
from wsss_toolkit.runs.trained_run import open_run


def score(run, *arguments, code=0):
    result = CliRunner().invoke(cli, ["explain", str(run), "--split", "val", "--device", "cpu", *map(str, arguments)])
    assert result.exit_code == code, result.output + str(result.exception)
    return result.output


def rows(folder):
    with (folder / "assignment.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_split_is_scored_with_its_own_ground_truth(trained, monkeypatch):
    read, asked = Synthetic.read_mask, []
    monkeypatch.setattr(Synthetic, "read_mask", lambda self, key: asked.append(key) or read(self, key))
    printed = score(trained)
    folder = trained / "assignment" / "val"
    run = open_run(trained)
    assert set(asked) == set(run.adapter.splits()["val"])
    assert "final maps, ground truth, split val:" in printed and "attention maps, ground truth, split val:" in printed
    result = json.loads((folder / "assignment.json").read_text())
    assert result["compared_with"] == "ground truth, split val" and result["images"] == 4
    assert result["without_truth"] == 0 and result["notices"] == list(run.adapter.notices)
    assert result["maps"]["attention"]["settings"]["source"]["kind"] == "attention"
    table = rows(folder)
    assert len(table) == 2 * 8 * 8
    for kind in ("final", "attention"):
        for token in run.classes.names:
            cells = [row for row in table if (row["maps"], row["token"]) == (kind, token)]
            if int(cells[0]["images"]):
                assert sum(float(row["mass"]) for row in cells) == pytest.approx(1, abs=1e-5)
                assert sum(float(row["area"]) for row in cells) == pytest.approx(1, abs=1e-5)
            else:
                assert {row["mass"] for row in cells} == {""}
            assert result["maps"][kind]["images"][token] == int(cells[0]["images"])
    with Image.open(folder / "assignment.png") as picture:
        assert min(picture.size) > 300
    assert "exists already" in score(trained, code=2)
    score(trained, "--overwrite")


@pytest.fixture
def oracle(monkeypatch):
    """Put maps made from the ground truth, rolled by some classes, in the place of the model's."""

    def put(run, roll=0):
        keys = iter([key for _ in range(2) for key in run.adapter.splits()["val"]])

        def maps(model, images, section, **_):
            truths = [torch.from_numpy(run.adapter.read_mask(next(keys))).long() for _ in images]
            hot = torch.stack([torch.nn.functional.one_hot(truth.clamp_max(8), 9)[..., :8] for truth in truths])
            return hot.permute(0, 3, 1, 2).float().roll(roll, 1), torch.zeros(len(images), 8)

        monkeypatch.setattr(evaluate_split, "class_maps", maps)

    return put


def test_images_are_worked_on_one_by_one_where_their_maps_are_many(trained, monkeypatch):
    score(trained)
    before = (trained / "assignment" / "val" / "assignment.csv").read_text()
    monkeypatch.setattr(evaluate_split, "MAP_VALUES", 1)
    seen, maps = [], evaluate_split.class_maps
    monkeypatch.setattr(evaluate_split, "class_maps", lambda *a, **k: seen.append(len(a[1])) or maps(*a, **k))
    score(trained, "--overwrite")
    assert seen == [1] * 8
    after = (trained / "assignment" / "val" / "assignment.csv").read_text()
    for one, other in zip(after.split(), before.split(), strict=True):
        assert one.split(",")[:4] == other.split(",")[:4]
        for a, b in zip(one.split(",")[4:], other.split(",")[4:], strict=True):
            assert a == b or float(a) == pytest.approx(float(b), rel=1e-4)


def test_perfect_maps_score_one_and_misplaced_ones_none(trained, oracle):
    run = open_run(trained)
    oracle(run)
    score(trained)
    found = json.loads((trained / "assignment" / "val" / "assignment.json").read_text())["maps"]["final"]
    for name in ("among_present", "among_all", "on_own"):
        assert found[name]["mean"] == 1 and found[name]["chance"] < 0.6
    table = [row for row in rows(trained / "assignment" / "val") if row["maps"] == "final" and row["mass"]]
    assert {float(row["mass"]) for row in table if row["token"] == row["class"]} == {1.0}
    oracle(run, roll=1)
    score(trained, "--overwrite")
    found = json.loads((trained / "assignment" / "val" / "assignment.json").read_text())["maps"]["final"]
    assert found["among_all"]["mean"] == 0


def test_images_without_ground_truth_are_counted_and_left_out(trained, monkeypatch):
    read = Synthetic.read_mask
    first = open_run(trained).adapter.splits()["val"][0]
    monkeypatch.setattr(Synthetic, "read_mask", lambda self, key: None if key == first else read(self, key))
    score(trained)
    result = json.loads((trained / "assignment" / "val" / "assignment.json").read_text())
    assert (result["images"], result["without_truth"]) == (3, 1)
    monkeypatch.setattr(Synthetic, "read_mask", lambda self, key: None)
    assert "has no ground-truth mask" in score(trained, "--overwrite", code=1)
    unknown = np.full((32, 32), 255, np.uint8)
    monkeypatch.setattr(Synthetic, "read_mask", lambda self, key: unknown)
    assert "no pixel of split 'val' shows a class" in score(trained, "--overwrite", code=1)


def test_mistakes_are_one_line(trained):
    result = CliRunner().invoke(cli, ["explain", str(trained), "--split", "vall"])
    assert result.exit_code == 2 and "no split 'vall'; did you mean val?" in result.output
    assert "--classes is for one image" in score(trained, "--classes", "Forest", code=2)


def test_bare_attention_is_scored_where_it_differs_from_the_final_maps():
    kinds = evaluate_split.kinds_of_maps
    assert list(kinds(PseudoMasks(), shared=False)) == ["final"]
    fused = PseudoMasks(source={"kind": "fused", "layers": 2}, flips=True, refine={"affinity": {"iterations": 3}})
    assert list(kinds(fused, shared=True)) == ["final"]
    both = kinds(fused, shared=False)
    assert both["final"] is fused
    assert both["attention"] == PseudoMasks(source={"kind": "attention", "layers": 2})
