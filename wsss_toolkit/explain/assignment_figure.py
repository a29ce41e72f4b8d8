"""The heat map of a token-class assignment."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from wsss_toolkit.domain import ClassTable
from wsss_toolkit.explain.assignment import Assignment
from wsss_toolkit.report.figures import INK, QUIET, house_style

LABELLED = 14
"""Tokens or classes up to which each cell shows its number."""

Places = NDArray[np.intp]

_TITLES = {"final": "Maps that become masks", "attention": "Attention of the class tokens alone"}


def draw_assignments(
    found: Mapping[str, Assignment], classes: ClassTable, title: str, notices: Sequence[str]
) -> Figure:
    """Draw the lift of each token on each class, one heat map for each kind of map, with the scores above it.

    Tokens and classes that never occur are left out. `notices` are sentences that must stand beside every figure.
    """
    first = next(iter(found.values()))
    tokens = np.flatnonzero(first.images + first.empty > 0)
    values = np.flatnonzero((np.nan_to_num(first.area) > 0).any(axis=0))
    cell = 0.5 if len(values) <= LABELLED else 0.22
    side = max(3.4, cell * len(values) + 1.3)
    height = max(2.6, cell * len(tokens) + 1.2)
    with house_style():
        figure = Figure(figsize=(max(7.0, side * len(found) + 0.8), height + 1.3), layout="constrained")
        figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold", parse_math=False)
        columns = figure.subplots(1, len(found), squeeze=False)[0]
        for axes, (kind, scores) in zip(columns, found.items(), strict=True):
            _draw(axes, scores, tokens, values, classes)
            axes.set_title(f"{_TITLES[kind]}\n{_summary(scores)}", fontweight="normal", fontsize=8.5)
        label = "lift: share of the map / share of the area"
        bar = figure.colorbar(columns[0].images[0], ax=columns.tolist(), shrink=0.8, label=label)
        bar.set_ticks([-2, -1, 0, 1, 2], labels=["¼", "½", "1 (chance)", "2", "4"])
        told = ["Rows: class token; columns: ground-truth class. Images that show the token's class.", *notices]
        figure.supxlabel(" ".join(told), fontsize=8, color=QUIET, parse_math=False)
    return figure


def _draw(axes: Axes, scores: Assignment, tokens: Places, values: Places, classes: ClassTable) -> None:
    lift = scores.lift[np.ix_(tokens, values)]
    with np.errstate(divide="ignore", invalid="ignore"):
        axes.imshow(np.clip(np.log2(lift), -2, 2), cmap="RdBu_r", vmin=-2, vmax=2)
    axes.grid(visible=False)
    axes.set_xticks(range(len(values)), [classes.names[value] for value in values], rotation=90, color=INK)
    axes.set_yticks(range(len(tokens)), [classes.label_names[token] for token in tokens], color=INK)
    small = max(len(tokens), len(values)) > LABELLED
    axes.tick_params(labelsize=5 if small else 8)
    for row, token in enumerate(tokens):
        for column, value in enumerate(values):
            cell = lift[row, column]
            ink = "white" if np.isfinite(cell) and abs(np.log2(max(cell, 1e-9))) > 1.2 else INK
            if classes.labelled[token] == value:  # where a token should lie
                axes.plot([column], [row], "s", markersize=3 if small else 26, markerfacecolor="none", color=ink)
            if not small and np.isfinite(cell):
                axes.text(column, row, f"{cell:.2f}", ha="center", va="center", fontsize=7, color=ink)


def _summary(scores: Assignment) -> str:
    rates = {
        "right token, of the classes shown": scores.among_present,
        "right token, of all": scores.among_all,
        "higher on its class than off it": scores.on_own,
    }
    return "\n".join(
        f"{name}: no image to say" if rate.mean is None else f"{name}: {rate.mean:.2f} (chance {rate.mean_chance:.2f})"
        for name, rate in rates.items()
    )
