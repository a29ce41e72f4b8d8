"""The training logs of a run: one CSV for each attempt, put together by epoch."""

import csv
import math
from contextlib import suppress
from pathlib import Path

Curve = list[tuple[int, float]]
"""Epoch, from 1, and value."""


def read_log(folder: Path) -> dict[str, Curve]:
    """Return each metric's curve by the name under which it was logged; empty where there is no log.

    The ``csv`` folder of a training holds Lightning's logs ``from_E/metrics.csv``, where E is the epoch that an attempt
    began with. Where an attempt was killed and its epoch done again, the later attempt counts. Rows that a kill cut
    short are left out.
    """
    found = [path for path in folder.glob("from_*/metrics.csv") if path.parent.name.removeprefix("from_").isdecimal()]
    attempts = [(int(path.parent.name.removeprefix("from_")), path) for path in found]
    values: dict[str, dict[int, float]] = {}
    for start, path in sorted(attempts):
        for curve in values.values():
            for epoch in [epoch for epoch in curve if epoch >= start]:
                del curve[epoch]
        # What no log of ours holds is passed over, as rows are that were cut short.
        with suppress(csv.Error, OSError), path.open(newline="", encoding="utf-8", errors="replace") as file:
            for row in csv.DictReader(file):
                for name, text in row.items():
                    if name in ("epoch", "step", None) or not text:
                        continue
                    try:
                        if math.isfinite(value := float(text)):
                            values.setdefault(name, {})[int(row["epoch"])] = value
                    except (TypeError, ValueError):
                        continue
    return {name: [(epoch + 1, curve[epoch]) for epoch in sorted(curve)] for name, curve in values.items() if curve}
