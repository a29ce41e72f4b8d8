import csv
import io
import json
import statistics

import pytest
import tiny_recipe
from PIL import Image
from rich.console import Console

from wsss_toolkit.cli.experiment import terminal_table
from wsss_toolkit.experiments.cells import cells_of, grid_row
from wsss_toolkit.experiments.curves import draw_curves
from wsss_toolkit.experiments.grid import combinations, read_grid
from wsss_toolkit.experiments.table import build_table, figures_of, heading, markdown, write_table
from wsss_toolkit.recipe import load_recipe

pytestmark = pytest.mark.usefixtures("adapters")


def scores(miou, background=None):
    accuracy = None if miou is None else miou / 2
    found = {"images": 4, "classes": 2, "miou": miou, "pixel_accuracy": accuracy, "iou": {}, "without_truth": 0}
    return found if background is None else {**found, "without_background": {"miou": background, "pixel_accuracy": 0.1}}


def write_cell(folder, miou, *, background=None, opened=3, seconds=10.0):
    """Write what the table reads of a finished cell."""
    report = {
        "run": {"notices": ["Made up."], "versions": {"torch": "2"}},
        "pseudo_masks": {"train": scores(miou, background)},
        "segmentation": {"val": scores(None)},
        "classifier": {"val": {"map": miou, "f1": 0.5}},
        "gates": {"open": opened, "total": 6},
        "seconds": {"labels": 1.0, "train": seconds, "pseudo_masks": 2.0, "segmentation": 5.0},
        "peak_memory_mb": {"labels": 100.0, "train": 900.0, "pseudo_masks": 700.0},
    }
    (folder / "pseudo_masks").mkdir(parents=True)
    (folder / "report.json").write_text(json.dumps(report))
    (folder / "pseudo_masks" / "stage.json").write_text(json.dumps({"result": {"images": {"train": 6, "val": 2}}}))


@pytest.fixture
def table(tmp_path):
    """A table of 2 x 2 rows and 2 seeds: one cell failed, one is missing."""
    path = tiny_recipe.write_recipe(tmp_path / "tiny.yaml", tmp_path / "data")
    _, axes = read_grid(["model.token_masking=0,0.5", "pseudo_masks.assign=paint,argmax"])
    rows = [
        grid_row(axes, one, load_recipe(path, [text for choice in one for text in choice.overrides]))
        for one in combinations(axes)
    ]
    cells = cells_of(rows, 2)
    folders = {}
    for number, cell in enumerate(cells[:-2]):
        folders[cell.name] = tmp_path / "cells" / cell.name
        write_cell(folders[cell.name], 0.1 * (number + 1), opened=number)
    return build_table("sweep", rows, cells, folders, {cells[-1].name: "no space | left"})


def test_a_cells_figures_are_those_of_its_report(tmp_path):
    write_cell(tmp_path / "cell", 0.4, background=0.3)
    assert figures_of(tmp_path / "cell") == {
        "pseudo_masks.train.miou": 0.4,
        "pseudo_masks.train.pixel_accuracy": 0.2,
        "pseudo_masks.train.miou_without_background": 0.3,
        "pseudo_masks.train.pixel_accuracy_without_background": 0.1,
        "classifier.val.map": 0.4,
        "gates.open": 3.0,
        "gates.total": 6.0,
        "seconds.training": 15.0,
        "seconds_per_image.pseudo_masks": 0.25,
        "peak_memory_mb": 900.0,
    }


def test_rows_hold_mean_and_sample_deviation_over_seeds(table):
    # Carried out in the order: seed 3 of the four rows (0.1 to 0.4), then seed 4 (0.5 and 0.6, two are not there).
    first = table["rows"][0]["figures"]["pseudo_masks.train.miou"]
    assert first["values"] == pytest.approx([0.1, 0.5])
    assert first["mean"] == pytest.approx(0.3)
    assert first["std"] == pytest.approx(statistics.stdev([0.1, 0.5]))
    assert [row["seeds"] for row in table["rows"]] == [[3, 4], [3, 4], [3], [3]]
    assert table["rows"][2]["figures"]["pseudo_masks.train.miou"]["std"] is None
    assert table["rows"][2]["missing"] == [4]
    assert table["rows"][3]["failed"] == {"4": "no space | left"}
    assert "pseudo_masks.train.miou_without_background" not in table["rows"][0]["figures"]
    assert table["rows"][0]["cells"]["4"] == "cells/token_masking-0__assign-paint__seed-4"


def test_the_markdown_says_what_is_measured_on_what(table):
    text = markdown(table)
    assert "Image-level labels: mask_coverage >= 0.1. Pseudo-masks hold the predicted classes." in text
    assert "Made up." in text
    assert "| model.token_masking | pseudo_masks.assign | trained on | seeds | pseudo-masks train mIoU |" in text
    assert "| 0 | paint | image-level labels | 2 | 0.300 ± 0.283 | 0.150 ± 0.141 |" in text
    assert "| 0.5 | argmax | image-level labels | 1, 1 failed | 0.400 | 0.200 |" in text
    assert "| 0.5 | paint | image-level labels | 1, 1 to do | 0.300 | 2 of 6 | 15 | 0.250 | 900 |" in text
    assert "- 0.5, argmax, seed 4 failed: no space | left" in text


def test_the_files_hold_the_same(table, tmp_path):
    write_table(table, tmp_path)
    assert json.loads((tmp_path / "table.json").read_text()) == table
    assert (tmp_path / "table.md").read_text() == markdown(table)
    with (tmp_path / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["model.token_masking"] for row in rows] == ["0", "0", "0.5", "0.5"]
    assert float(rows[0]["pseudo_masks.train.miou.mean"]) == pytest.approx(0.3)
    assert rows[2]["pseudo_masks.train.miou.std"] == ""
    assert (rows[3]["seeds"], rows[3]["failed"]) == ("1", "1")


def test_headings():
    assert heading("segmentation.val.miou_without_background") == "segmentation val mIoU without background"
    assert heading("classifier.test.map") == "classifier test mAP"


def test_curves_are_drawn_over_every_varied_key(table, tmp_path):
    from matplotlib.figure import Figure

    files = draw_curves(table, tmp_path)
    assert sorted(path.name for path in files) == sorted(
        f"curve-{key}-pseudo_masks-train.{kind}"
        for key in ("model.token_masking", "pseudo_masks.assign")
        for kind in ("png", "svg")
    )
    for path in files:
        if path.suffix == ".png":
            with Image.open(path) as picture:
                assert picture.width > 900 and len(picture.convert("RGB").getcolors(2**24)) > 20

    from wsss_toolkit.experiments.curves import _fill

    figure = Figure()
    _fill(figure, table, "model.token_masking", ["pseudo_masks.train.miou", "gates.open"])
    accuracy, heads = figure.axes
    assert len(accuracy.containers) == 2, "one line per value of the other key"
    line, _, (bars,) = accuracy.containers[0]
    assert line.get_xydata().tolist() == [pytest.approx([0.0, 0.3]), pytest.approx([0.5, 0.3])]
    spread = statistics.stdev([0.1, 0.5])
    assert bars.get_segments()[0][:, 1].tolist() == pytest.approx([0.3 - spread, 0.3 + spread])
    assert accuracy.containers[0].get_label() == "pseudo_masks.assign paint"
    assert heads.get_title() == "open heads"
    assert "mask_coverage >= 0.1" in figure.get_suptitle() and "Made up." in figure.get_suptitle()


def test_nothing_is_drawn_of_nothing(table, tmp_path):
    empty = {**table, "rows": [{**row, "figures": {}} for row in table["rows"]]}
    assert draw_curves(empty, tmp_path) == []


@pytest.mark.parametrize("width", [60, 80, 160])
def test_a_narrow_terminal_breaks_words_and_cuts_none(table, width):
    console = Console(width=width, file=io.StringIO())
    console.print(terminal_table(table))
    text = console.file.getvalue()
    assert "…" not in text and max(map(len, text.splitlines())) <= width
    lines = [line for line in text.splitlines() if line.startswith("┃")]
    assert "".join(line.split("┃")[1].strip() for line in lines) == "model.token_masking"
