"""Figures of a sweep: accuracy and open heads over a value, one line per value of the other keys."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsss_toolkit.experiments.cells import safe_name
from wsss_toolkit.experiments.table import COSTS, PARTS, heading, sentences

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = "os^Dv*PX"
"""Markers tell lines apart where colours do not."""


def draw_curves(table: Mapping[str, Any], folder: Path) -> list[Path]:
    """Draw one figure per varied key and kind of mask, and return the files: ``curve-KEY-PART-SPLIT.png`` and ``.svg``.

    Its panels are mIoU, pixel accuracy and open heads (where heads are gated); points are means over seeds, bars sample
    standard deviations. The table is that of `build_table`.
    """
    from matplotlib.figure import Figure

    from wsss_toolkit.report.figures import house_style, save_figure

    names = {name for row in table["rows"] for name in row["figures"]}
    masks = sorted({tuple(name.split(".")[:2]) for name in names if name.split(".")[0] in PARTS})
    written = []
    for axis in table["axes"]:
        if len({row["values"][axis] for row in table["rows"]}) < 2:
            continue
        for part, split in masks:
            wanted = (f"{part}.{split}.miou", f"{part}.{split}.pixel_accuracy", "gates.open")
            panels = [name for name in wanted if name in names]
            with house_style():
                figure = Figure(figsize=(3.4 * len(panels), 3.4), layout="constrained")
                _fill(figure, table, axis, panels)
                for kind in ("png", "svg"):
                    written.append(folder / f"curve-{safe_name(axis)}-{part}-{safe_name(split)}.{kind}")
                    save_figure(figure, written[-1])
    return written


def _fill(figure: "Figure", table: Mapping[str, Any], axis: str, panels: Sequence[str]) -> None:
    plots = figure.subplots(1, len(panels), squeeze=False)[0]
    for plot, name in zip(plots, panels, strict=True):
        _curves(plot, table, axis, name)
        plot.set_title(COSTS.get(name) or heading(name))
        plot.set_xlabel(axis)
        if name == "gates.open":
            plot.set_ylim(bottom=0)
        else:
            plot.set_ylabel("share")
    handles, labels = plots[0].get_legend_handles_labels()
    if len(labels) > 1:
        figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(labels)), frameon=False)
    # What must stand beside every figure, that of synthetic data among it.
    told = [f"{table['recipe']}. {sentences(table)[0]}", *table["notices"]]
    figure.suptitle("\n".join(told), fontsize=8)


def _curves(plot: "Axes", table: Mapping[str, Any], axis: str, name: str) -> None:
    """Draw one line per combination of the other keys."""
    choices = list(dict.fromkeys(row["values"][axis] for row in table["rows"]))
    numeric = all(axis in row["numbers"] for row in table["rows"])
    lines: dict[tuple[str, ...], list[tuple[float, Mapping[str, Any]]]] = {}
    for row in table["rows"]:
        others = tuple(f"{key} {value}" for key, value in row["values"].items() if key != axis)
        place = row["numbers"][axis] if numeric else choices.index(row["values"][axis])
        if name in row["figures"]:
            lines.setdefault(others, []).append((place, row["figures"][name]))
    for number, (others, points) in enumerate(lines.items()):
        points.sort(key=lambda point: point[0])
        spreads = [figure["std"] or 0.0 for _, figure in points]
        drawn = plot.errorbar(
            [place for place, _ in points],
            [figure["mean"] for _, figure in points],
            yerr=spreads if any(spreads) else None,
            marker=MARKERS[number % len(MARKERS)],
            markersize=4,
            capsize=2,
            linewidth=1.2,
            label=", ".join(others),
        )
        if not numeric:  # nothing lies between two names
            drawn.lines[0].set_linestyle("none")
    if not numeric:
        plot.set_xticks(range(len(choices)), choices, rotation=20, ha="right")
        plot.margins(x=0.15)
        return
    places = sorted({place for points in lines.values() for place, _ in points})
    if places and places[0] >= 0 and places[-1] > 50 * (smallest := min((p for p in places if p > 0), default=1.0)):
        # Weights and rates are tried in powers of ten, with 0 beside them.
        plot.set_xscale("symlog", linthresh=smallest) if places[0] == 0 else plot.set_xscale("log")
    plot.set_xticks(places, [f"{place:g}" for place in places])
    plot.minorticks_off()
