"""The training part of report.html: curves from the logs, and what became of the attention heads."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from wsss_toolkit.model.heads_left import heads_by_block
from wsss_toolkit.report import charts
from wsss_toolkit.report.logs import Curve, read_log
from wsss_toolkit.report.supervision import network_title

MODEL_FILE = "model.safetensors"


def training_view(run: Path, recipe: dict[str, Any], records: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the charts of the trainings that have finished, and a sentence on the gates, which may be empty."""
    drawn: list[str] = []
    gates = ""
    if "train" in records:
        log = read_log(run / "train" / "csv")
        used = None
        if (recipe["train"] or {}).get("checkpoint") == "best" and "val/map" in log:
            used = max(log["val/map"], key=lambda point: point[1])[0]
        drawn += _losses("classifier", "Classifier: loss", log, used)
        drawn += _shares("classifier", "Classifier: validation", log, used)
        found = records["train"]["result"].get("gates", {})
        if found.get("total"):
            if "gates/open" in log:
                opened = {"open": log["gates/open"]}
                drawn.append(charts.curves("gates", "Open attention heads", opened, from_zero=True))
            blocks = heads_by_block(run / "train" / MODEL_FILE)
            if blocks:
                drawn.append(charts.open_heads("heads", blocks))
            gates = f"{found['open']} of {found['total']} gated attention heads are open at the end."
            if recipe["model"]["gates"]["prune"] and found["open"] < found["total"]:
                gates += " The others were cut out of the saved model."
    if "segmentation" in records:
        rounds = len(records["segmentation"]["result"].get("rounds", [0]))
        for number in range(rounds):
            title = network_title(recipe) + (f", self-training round {number}" if number else "")
            log = read_log(run / "segmentation" / (f"round_{number}/csv" if number else "csv"))
            used = min(log["val/loss"], key=lambda point: point[1])[0] if "val/loss" in log else None
            drawn += _losses(f"network{number}", f"{title}: loss", log, used)
            drawn += _shares(f"network{number}", f"{title}: validation", log, used)
    return {"training": [Markup(chart) for chart in drawn], "gates": gates}


def _losses(name: str, title: str, log: Mapping[str, Curve], used: int | None) -> list[str]:
    lines = {key: curve for key, curve in log.items() if "loss" in key or key == "train/classification"}
    return [charts.curves(f"{name}-loss", title, lines, used=used)] if lines else []


def _shares(name: str, title: str, log: Mapping[str, Curve], used: int | None) -> list[str]:
    """Draw validation figures other than losses; all that is logged so lies in 0..1."""
    lines = {key: curve for key, curve in log.items() if key.startswith("val/") and "loss" not in key}
    return [charts.curves(f"{name}-val", title, lines, share=True, used=used)] if lines else []
