import re
from xml.etree import ElementTree

import numpy as np

from wsss_toolkit.report import charts
from wsss_toolkit.report.score_files import Confusion

SVG = "{http://www.w3.org/2000/svg}"


def words(svg):
    return [element.text for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def described(svg):
    return ElementTree.fromstring(svg).get("aria-label")


def test_bars_say_each_value_and_leave_out_classes_without_any():
    values = {"Forest": 0.5, "Water": None, "<Bare> & dry": 0.25, "Ice": None}
    drawn, note = charts.iou_bars("iou", [("pseudo-masks, val", values), ("UNet, val", {**values, "Water": 0.75})])
    assert note == ""
    assert {"0.50", "0.25", "0.75", "none", "<Bare> & dry", "pseudo-masks, val"} <= set(words(drawn))
    assert "Ice" not in words(drawn)
    assert described(drawn) == (
        "Bars of IoU by class. pseudo-masks, val: from 0.25 (<Bare> & dry) to 0.50 (Forest). "
        "UNet, val: from 0.25 (<Bare> & dry) to 0.75 (Water)."
    )


def test_of_many_classes_the_lowest_and_highest_are_drawn():
    values = {f"class {index}": index / 150 for index in range(150)}
    drawn, note = charts.iou_bars("iou", [("UNet, val", values)])
    named = [word for word in words(drawn) if word.startswith("class ")]
    assert named == [f"class {index}" for index in [*range(20), *range(130, 150)]]
    assert note == "The 20 lowest and 20 highest of 150 classes; the table has all."


def test_a_matrix_shows_shares_of_the_true_class():
    counts = np.array([[8, 2, 0, 0], [5, 5, 0, 0], [0, 0, 0, 0]])
    drawn, note = charts.confusion_chart("m", "UNet, val", Confusion(("Forest", "Water", "Ice"), counts))
    assert note == "" and "Ice" not in words(drawn) and "(withheld)" not in words(drawn)
    assert [word for word in words(drawn) if word.isdigit()] == ["80", "20", "50", "50"]
    assert described(drawn).endswith("Most confused: Water, of which 50 % is Forest.")
    counts[0, 3] = 10
    drawn, _ = charts.confusion_chart("m", "UNet, val", Confusion(("Forest", "Water", "Ice"), counts))
    assert "(withheld)" in words(drawn) and "40" in words(drawn)


def test_of_many_classes_the_rarest_are_summed():
    counts = np.zeros((30, 31), np.int64)
    np.fill_diagonal(counts, np.arange(30, 0, -1) * 10)
    counts[29, 28] = 10
    reduced, names, note = charts._reduced(Confusion(tuple(f"c{index}" for index in range(30)), counts))
    assert reduced.shape == (24, 25) and reduced.sum() == counts.sum()
    assert names[-1] == "7 others" and names[:2] == ["c0", "c1"]
    assert reduced[-1, -2] == sum(range(1, 8)) * 10 + 10
    assert note == "The 23 most frequent of 30 classes; the others are summed."


def test_curves_say_where_they_begin_and_end():
    drawn = charts.curves("c", "Loss", {"train/loss": [(1, 2.0), (2, 1.0), (3, 0.5)]}, used=2)
    assert described(drawn) == "Loss over 3 epochs: train/loss from 2 to 0.5."
    assert "epoch 2, used" in words(drawn)
    assert described(charts.curves("c", "Loss", {"a": [(1, 2.0)]})) == "Loss over 1 epochs: a from 2 to 2."


def test_heads_histograms_and_times():
    assert "3: 2 of 3, 4: 0 of 3" in described(charts.open_heads("h", {3: (2, 3), 4: (0, 3)}))
    drawn = charts.score_histogram("s", "mIoU", [0.0, 0.5, 1.0])
    assert described(drawn) == "mIoU: 3 images, median 0.50, lowest 0.00."
    drawn = charts.stage_times("t", {"labels": 0.31, "train": 3661.0})
    assert described(drawn) == "Time by stage: labels 0.3 s, train 1 h 1 min."
    times = {9.94: "9.9 s", 72.4: "72 s", 119.4: "119 s", 125.0: "2 min 5 s", 7384.0: "2 h 3 min"}
    assert {seconds: charts.spelled_time(seconds) for seconds in times} == times


def test_charts_of_one_page_share_no_ids():
    drawn = [charts.curves(name, "Loss", {"a": [(1, 2.0), (2, 1.0)]}) for name in ("a", "b")]
    ids = [set(re.findall(r' id="([^"]+)"', chart)) for chart in drawn]
    assert ids[0] and not ids[0] & ids[1]
