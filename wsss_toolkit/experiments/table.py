"""One row per combination or method: mean and spread over seeds of what the cells' reports say."""

import csv
import io
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from wsss_toolkit.errors import blamed_on
from wsss_toolkit.experiments.cells import Cell, Row
from wsss_toolkit.experiments.supervised_inputs import MOST_EPOCHS, PATIENCE
from wsss_toolkit.files import read_state, safe_cell, write_json, write_text
from wsss_toolkit.recipe.schema import Labels
from wsss_toolkit.report.supervision import CLASSES_USED
from wsss_toolkit.runs.folder import RECORD_FILE, is_supervised, read_report

Value = TypeVar("Value")

PARTS = {"pseudo_masks": "pseudo-masks", "segmentation": "segmentation"}
MEASURES = {"miou": "mIoU", "pixel_accuracy": "pixel accuracy"}
IMAGE_LABELS, GROUND_TRUTH = "image-level labels", "ground-truth masks"
"""What a row's models learn from."""

TRAININGS = ("train", "segmentation", "supervised_training")
"""Stages whose seconds are training time."""

COSTS = {
    "epochs.kept": "epoch kept",
    "gates.open": "open heads",
    "gates.total": "gated heads",
    "seconds.training": "training s",
    "seconds_per_image.pseudo_masks": "pseudo-masks s / image",
    "seconds_per_image.segmentation": "network s / image",
    "peak_memory_mb": "peak memory MiB",
}
"""Figures that are not accuracies, with their headings."""


class _Finished(BaseModel):
    """What the table wants to know of a finished stage."""

    result: dict[str, Any]


def figures_of(folder: Path) -> dict[str, float]:
    """Return the figures of a finished cell by dotted name.

    ``PART.SPLIT.MEASURE`` and ``PART.SPLIT.MEASURE_without_background`` are the report's scores,
    ``classifier.SPLIT.map`` the mean average precision against image-level labels; the others are `COSTS`. Training
    seconds are those of the classifier and of the network. Seconds per image are wall-clock time by images, reading
    included: of the stage that writes pseudo-masks, and of the network's predictions when it is scored. Peak memory is
    the largest of all stages, resident, in MiB. What is not defined is left out.
    """
    report = read_report(folder)
    with blamed_on(str(folder), "delete the cell's report.json and give the same command again"):
        return _figures(report, folder)


def _figures(report: Mapping[str, Any], folder: Path) -> dict[str, float]:
    figures: dict[str, float | None] = {}
    for part in PARTS:
        for split, scores in report[part].items():
            for measure in MEASURES:
                figures[f"{part}.{split}.{measure}"] = scores[measure]
                if "without_background" in scores:
                    figures[f"{part}.{split}.{measure}_without_background"] = scores["without_background"][measure]
    for split, scores in report["classifier"].items():
        figures[f"classifier.{split}.map"] = scores["map"]
    if report["gates"].get("total"):
        figures.update({f"gates.{name}": report["gates"][name] for name in ("open", "total")})
    if is_supervised(report):
        figures["epochs.kept"] = report["supervision"]["kept_epoch"]
    seconds = report["seconds"]
    trainings = [seconds[stage] for stage in TRAININGS if stage in seconds]
    figures["seconds.training"] = sum(trainings) if trainings else None
    figures.update(_seconds_per_image(folder, seconds))
    figures["peak_memory_mb"] = max(report["peak_memory_mb"].values(), default=None)
    return {name: float(value) for name, value in figures.items() if value is not None}


def _seconds_per_image(folder: Path, seconds: Mapping[str, float]) -> dict[str, float]:
    found = {}
    if "pseudo_masks" in seconds and (images := sum(_result(folder, "pseudo_masks")["images"].values())):
        found["seconds_per_image.pseudo_masks"] = seconds["pseudo_masks"] / images
    for stage in ("evaluation", "supervised_evaluation"):
        measured = _result(folder, stage).get("seconds_per_image") if stage in seconds else None
        if measured is not None:
            found["seconds_per_image.segmentation"] = measured
    return found


def _result(folder: Path, stage: str) -> dict[str, Any]:
    found: _Finished = read_state(folder / stage / RECORD_FILE, _Finished, "delete the cell's folder and run again")
    return found.result


def build_table(
    kind: str, rows: Sequence[Row], cells: Sequence[Cell], folders: Mapping[str, Path], failures: Mapping[str, str]
) -> dict[str, Any]:
    """Return the table as the JSON value that docs/experiments.md describes, with a line for each row in their order.

    It tells of finished cells by their run folders and of failed ones by why they failed, both by the cell's name.
    Spreads are sample standard deviations (n - 1), null where one seed has finished.
    """
    lines = []
    for row in rows:
        mine = [cell for cell in cells if cell.row.name == row.name]
        found = {cell.seed: figures_of(folders[cell.name]) for cell in mine if cell.name in folders}
        lines.append(
            {
                "values": dict(row.values),
                "numbers": dict(row.numbers),
                "trained_on": trained_on(row),
                "seeds": sorted(found),
                "failed": {str(cell.seed): failures[cell.name] for cell in mine if cell.name in failures},
                "missing": [cell.seed for cell in mine if cell.name not in folders and cell.name not in failures],
                "cells": {str(cell.seed): f"cells/{cell.name}" for cell in mine},
                "figures": {name: _summary(values) for name, values in _by_name(found.values()).items()},
            }
        )
    reports = [read_report(folder) for folder in folders.values()]
    versions = _by_name(report["run"]["versions"] for report in reports)
    return {
        "kind": kind,
        "recipe": rows[0].recipe.name,
        "axes": list(rows[0].values),
        "label_sources": _distinct(label_source(row.recipe.labels) for row in rows if row.supervised is None),
        "pseudo_mask_classes": _distinct(row.recipe.pseudo_masks.classes for row in rows if row.supervised is None),
        "epochs": _distinct(_budget(row) for row in rows if row.supervised is None),
        "notices": _distinct(notice for report in reports for notice in report["run"]["notices"]),
        "versions": {name: _distinct(found) for name, found in versions.items()},
        "rows": lines,
    }


def label_source(labels: Labels) -> str:
    """Return where image-level labels come from, in a few words."""
    return f"mask_coverage >= {labels.min_coverage:g}" if labels.source == "mask_coverage" else labels.source


def trained_on(row: Row) -> str:
    """Return what a row's models learn from."""
    return GROUND_TRUTH if row.supervised is not None else IMAGE_LABELS


def _budget(row: Row) -> str:
    train, network = row.recipe.training, row.recipe.segmentation
    text = f"classifier {train.epochs} x batches of {train.batch_size}"
    return text if network is None else f"{text}; network {network.epochs} x batches of {network.batch_size}"


def _distinct(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))


def _by_name(found: Iterable[Mapping[str, Value]]) -> dict[str, list[Value]]:
    values: dict[str, list[Value]] = {}
    for one in found:
        for name, value in one.items():
            values.setdefault(name, []).append(value)
    return values


def _summary(values: Sequence[float]) -> dict[str, Any]:
    spread = statistics.stdev(values) if len(values) > 1 else None
    return {"mean": statistics.fmean(values), "std": spread, "values": list(values)}


def write_table(table: Mapping[str, Any], folder: Path) -> None:
    """Write ``table.json``, ``table.csv`` and ``table.md``; each is moved into place when it is complete."""
    write_json(folder / "table.json", table)
    write_text(folder / "table.csv", _csv(table))
    write_text(folder / "table.md", markdown(table))


def flat_rows(table: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return each row as one dictionary: its values, what it learned from, its seeds, and all means and spreads."""
    parts = [(name, part) for name in figure_names(table) for part in ("mean", "std")]
    return [
        {
            **row["values"],
            "trained_on": row["trained_on"],
            "seeds": len(row["seeds"]),
            "failed": len(row["failed"]),
            **{f"{name}.{part}": row["figures"].get(name, {}).get(part) for name, part in parts},
        }
        for row in table["rows"]
    ]


def _csv(table: Mapping[str, Any]) -> str:
    rows, text = flat_rows(table), io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(safe_cell, rows[0]))
    for row in rows:
        writer.writerow([safe_cell(cell) if isinstance(cell, str) else cell for cell in row.values()])
    return text.getvalue()


def figure_names(table: Mapping[str, Any]) -> list[str]:
    """Return the names of all figures, accuracies first."""
    names = list(dict.fromkeys(name for row in table["rows"] for name in row["figures"]))
    costs = [name for name in COSTS if name in names]
    return [*(name for name in names if name not in COSTS), *costs]


def markdown(table: Mapping[str, Any]) -> str:
    """Return the table as Markdown: a heading that says what it is measured on, scores, and what they cost."""
    names = figure_names(table)
    scores = [name for name in names if name.split(".")[0] in PARTS]
    others = [name for name in names if name not in scores and name != "gates.total"]
    lines = [f"# {table['recipe']}: {table['kind']}", "", *sentences(table), ""]
    for group in (scores, others):
        if not group:
            continue
        lines += [_line([*table["axes"], "trained on", "seeds", *map(heading, group)])]
        lines += ["|---" * (len(table["axes"]) + 2) + "|---:" * len(group) + "|"]
        for row in table["rows"]:
            cells = [shown(row["figures"], name) for name in group]
            lines.append(_line([*row["values"].values(), row["trained_on"], seeds_shown(row), *cells]))
        lines.append("")
    for row in table["rows"]:
        for seed, why in row["failed"].items():
            lines.append(f"- {', '.join(row['values'].values()) or table['recipe']}, seed {seed} failed: {why}")
    return "\n".join(lines).rstrip() + "\n"


def sentences(table: Mapping[str, Any]) -> list[str]:
    """Return what must be known to read the figures."""
    found = []
    if table["label_sources"]:
        found.append(
            f"Image-level labels: {', '.join(table['label_sources'])}. "
            f"Pseudo-masks hold the {' or '.join(CLASSES_USED[used] for used in table['pseudo_mask_classes'])}."
        )
    if any(row["trained_on"] == GROUND_TRUTH for row in table["rows"]):
        found.append(
            "Rows trained on ground-truth masks say what full supervision reaches; "
            "the others learn from image-level labels alone. Those rows train until the mIoU on the validation split's "
            f"masks has not risen for {PATIENCE} epochs, {MOST_EPOCHS} at most (or as many as the recipe has), and "
            "keep the best epoch, where there are such masks."
        )
    if table["epochs"]:
        found.append(f"Epochs: {'; or '.join(table['epochs'])}.")
    found += [
        "Shares in 0..1: mean ± sample standard deviation over seeds; the split stands in each heading.",
        *table["notices"],
    ]
    return found


def heading(name: str) -> str:
    """Return a column's heading: ``pseudo-masks val mIoU`` of ``pseudo_masks.val.miou``."""
    if name in COSTS:
        return COSTS[name]
    part, split, measure = name.split(".")
    if part == "classifier":
        return f"classifier {split} mAP"
    plain = measure.removesuffix("_without_background")
    return f"{PARTS[part]} {split} {MEASURES[plain]}" + (" without background" if plain != measure else "")


def shown(figures: Mapping[str, Any], name: str) -> str:
    """Return one figure with its spread, ``0.483 ± 0.012``; heads with their total."""
    if name not in figures:
        return "-"
    mean, spread = figures[name]["mean"], figures[name]["std"]
    digits = 3 if name.split(".")[0] in (*PARTS, "classifier", "seconds_per_image") else 0
    if name == "gates.open":
        digits = 0 if spread is None else 1
    text = f"{mean:.{digits}f}" + ("" if spread is None else f" ± {spread:.{digits}f}")
    return f"{text} of {figures['gates.total']['mean']:.0f}" if name == "gates.open" else text


def seeds_shown(row: Mapping[str, Any]) -> str:
    """Return how many seeds have finished, and how many have not."""
    parts = [str(len(row["seeds"]))]
    parts += [f"{len(row['failed'])} failed"] if row["failed"] else []
    parts += [f"{len(row['missing'])} to do"] if row["missing"] else []
    return ", ".join(parts)


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
