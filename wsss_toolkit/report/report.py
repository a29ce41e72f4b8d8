"""``report.json`` and the same figures as a table in the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from wsss_toolkit.recipe import Recipe, recipe_digest
from wsss_toolkit.report.supervision import CLASSES_USED
from wsss_toolkit.runs.folder import StageRecord


def build_report(
    recipe: Recipe, records: Mapping[str, StageRecord], *, notices: Sequence[str], versions: Mapping[str, str]
) -> dict[str, Any]:
    """Put together what the finished stages found, as a JSON value that docs/report.md describes.

    `notices` are the adapter's sentences that must stand beside every figure; `versions` are those of the software.
    """
    found = {stage: record.result for stage, record in records.items()}
    evaluation = found.get("evaluation", {})
    return {
        "run": {
            "name": recipe.name,
            "recipe_digest": recipe_digest(recipe),
            "seed": recipe.seed,
            "versions": dict(versions),
            "notices": [*notices, *(f"Warning: {warning}." for warning in evaluation.get("warnings", ()))],
            "stages": {stage: record.digest for stage, record in records.items()},
        },
        "supervision": {
            "label_source": recipe.labels.source,
            "min_coverage": recipe.labels.min_coverage if recipe.labels.source == "mask_coverage" else None,
            "pseudo_mask_classes": recipe.pseudo_masks.classes,
        },
        "labels": found.get("labels", {}),
        "classifier": evaluation.get("classifier", {}),
        "pseudo_masks": evaluation.get("pseudo_masks", {}),
        "segmentation": evaluation.get("segmentation", {}),
        "contradictions": evaluation.get("contradictions", {}),
        "gates": found.get("train", {}).get("gates", {}),
        "seconds": {stage: record.seconds for stage, record in records.items()},
        "peak_memory_mb": {stage: record.peak_memory_mb for stage, record in records.items()},
    }


def print_report(report: Mapping[str, Any], console: Console) -> None:
    """Print the figures with their split and their label source."""
    supervision = report["supervision"]
    source = supervision["label_source"]
    if supervision["min_coverage"] is not None:
        source += f" >= {supervision['min_coverage']:g}"
    columns = [
        (part.replace("_", "-"), split, scores)
        for part in ("pseudo_masks", "segmentation")
        for split, scores in report[part].items()
    ]
    if columns:
        console.print(_table(report, columns, source))
    for split, scores in report["classifier"].items():
        console.print(f"classifier on {split}: mAP {_share(scores['map'])}, F1 {_share(scores['f1'])}", highlight=False)
    if report["gates"].get("total"):
        console.print(f"attention heads open: {report['gates']['open']} of {report['gates']['total']}", highlight=False)


def _table(report: Mapping[str, Any], columns: Sequence[tuple[str, str, Mapping[str, Any]]], source: str) -> Table:
    """Lay figures out with a column for each kind of mask and split, so that any number of classes fits a terminal."""
    used = CLASSES_USED[report["supervision"]["pseudo_mask_classes"]]
    table = Table(
        title=f"{report['run']['name']}: labels from {source}; pseudo-masks use {used}",
        caption="\n".join(report["run"]["notices"]),
    )
    table.add_column("")
    for part, split, _ in columns:
        table.add_column(f"{part}\n{split}", justify="right")
    table.add_row("images", *(str(scores["images"]) for *_, scores in columns))
    if any(scores["without_truth"] for *_, scores in columns):
        table.add_row("not scored: no mask", *(str(scores["without_truth"]) for *_, scores in columns))
    table.add_row("mIoU", *(_share(scores["miou"]) for *_, scores in columns), style="bold")
    if all("without_background" in scores for *_, scores in columns):
        without = [_share(scores["without_background"]["miou"]) for *_, scores in columns]
        table.add_row("mIoU without background", *without)
    table.add_row("pixel accuracy", *(_share(scores["pixel_accuracy"]) for *_, scores in columns))
    table.add_section()
    for name in columns[0][2]["iou"]:
        table.add_row(f"IoU {name}", *(_share(scores["iou"][name]) for *_, scores in columns))
    return table


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
