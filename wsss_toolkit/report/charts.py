"""The charts of report.html."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.ticker import MaxNLocator

from wsss_toolkit.report.figures import INK, QUIET, SERIES, house_style, inline_svg, new_figure, short_name
from wsss_toolkit.report.logs import Curve
from wsss_toolkit.report.score_files import WITHHELD, Confusion

NARROW = 3.4
"""Width of a chart in inches that a phone shows without making it smaller."""

MOST_BARS, MOST_CELLS = 40, 24
"""Classes in a bar chart and in a matrix."""


def iou_bars(name: str, series: Sequence[tuple[str, Mapping[str, float | None]]]) -> tuple[str, str]:
    """Draw IoU by class, a bar for each of the series.

    Classes without an IoU in all series are left out. Of more than `MOST_BARS` classes, those with the lowest and the
    highest IoU of the last series are drawn.

    Returns:
        The chart, and a sentence on what was left out, which may be empty.
    """
    known = [label for label in series[-1][1] if any(values.get(label) is not None for _, values in series)]
    note = ""
    if len(known) > MOST_BARS:
        order = sorted(known, key=lambda label: series[-1][1].get(label) or 0.0)
        kept = {*order[: MOST_BARS // 2], *order[-MOST_BARS // 2 :]}
        note = f"The {MOST_BARS // 2} lowest and {MOST_BARS // 2} highest of {len(known)} classes; the table has all."
        known = [label for label in known if label in kept]
    height = 0.55 + len(known) * (0.12 + 0.17 * len(series)) + 0.2 * len(series)
    with house_style():
        figure, axes = new_figure(NARROW, height)
        thick = 0.8 / len(series)
        for number, (title, values) in enumerate(series):
            heights = [values.get(label) for label in known]
            told = ["none" if value is None else f"{value:.2f}" for value in heights]
            places = np.arange(len(known)) + (number - (len(series) - 1) / 2) * thick
            lengths = [value or 0.0 for value in heights]
            drawn = axes.barh(places, lengths, thick * 0.9, color=SERIES[number], label=title)
            axes.bar_label(drawn, told, padding=2, fontsize=7, color=INK)
        axes.set_yticks(np.arange(len(known)), [short_name(label) for label in known])
        axes.tick_params(axis="y", labelcolor=INK)
        axes.invert_yaxis()
        axes.set(xlim=(0, 1.12), xticks=[0, 0.25, 0.5, 0.75, 1], xlabel="IoU")
        axes.grid(visible=False, axis="y")
        if len(series) > 1:
            figure.legend(loc="outside upper left", ncols=1)
    best = [_extremes(title, values) for title, values in series]
    return inline_svg(figure, name, f"Bars of IoU by class. {' '.join(best)}"), note


def _extremes(title: str, values: Mapping[str, float | None]) -> str:
    known = {label: value for label, value in values.items() if value is not None}
    if not known:
        return f"{title}: none."
    worst, best = min(known, key=known.__getitem__), max(known, key=known.__getitem__)
    return f"{title}: from {known[worst]:.2f} ({worst}) to {known[best]:.2f} ({best})."


def confusion_chart(name: str, title: str, confusion: Confusion) -> tuple[str, str]:
    """Draw a confusion matrix as shares of each true class.

    Classes that occur nowhere are left out. Of more than `MOST_CELLS` the rarest are summed.

    Returns:
        The chart, and a sentence on what was summed, which may be empty.
    """
    counts, names, note = _reduced(confusion)
    truths = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, truths, out=np.zeros(counts.shape), where=truths > 0)
    columns = [*names, WITHHELD] if counts[:, -1].any() else list(names)
    shares = shares[:, : len(columns)]
    side = 1.5 + 0.36 * len(names)
    with house_style():
        figure, axes = new_figure(side + 0.4, side)
        axes.pcolormesh(shares, vmin=0, vmax=1, edgecolors="none")
        if len(names) <= 13:
            for (row, column), share in np.ndenumerate(shares):
                if share >= 0.005:
                    color = "#000000" if share > 0.55 else "#ffffff"
                    axes.text(column + 0.5, row + 0.5, f"{share * 100:.0f}", ha="center", va="center", color=color)
        axes.set_xticks(
            np.arange(len(columns)) + 0.5, [short_name(label) for label in columns], rotation=50, ha="right"
        )
        axes.set_yticks(np.arange(len(names)) + 0.5, [short_name(label) for label in names])
        axes.tick_params(labelcolor=INK)
        axes.invert_yaxis()
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        axes.set(xlabel="predicted", ylabel="true")
    confused = shares.copy()
    np.fill_diagonal(confused, 0)
    row, column = np.unravel_index(int(confused.argmax()), confused.shape)
    described = f"Confusion matrix, {title}, in percent of the pixels of each true class."
    if confused.any():
        described += f" Most confused: {names[row]}, of which {confused[row, column] * 100:.0f} % is {columns[column]}."
    return inline_svg(figure, name, described), note


def _reduced(confusion: Confusion) -> tuple[np.ndarray, list[str], str]:
    """Leave out classes that occur nowhere, and sum the rarest where there are too many."""
    counts, names = confusion.counts, list(confusion.names)
    size = len(names)
    seen = counts.sum(axis=1) + counts[:, :size].sum(axis=0)
    order = [index for index in np.argsort(-seen, kind="stable").tolist() if seen[index]]
    if len(order) <= MOST_CELLS:
        kept = sorted(order)
        return counts[np.ix_(kept, [*kept, size])], [names[index] for index in kept], ""
    kept, rest = sorted(order[: MOST_CELLS - 1]), sorted(order[MOST_CELLS - 1 :])
    rows = np.vstack([counts[kept], counts[rest].sum(axis=0, keepdims=True)])
    both = np.column_stack([rows[:, kept], rows[:, rest].sum(axis=1), rows[:, size]])
    note = f"The {len(kept)} most frequent of {len(order)} classes; the others are summed."
    return both, [names[index] for index in kept] + [f"{len(rest)} others"], note


def curves(
    name: str,
    title: str,
    lines: Mapping[str, Curve],
    *,
    share: bool = False,
    from_zero: bool = False,
    used: int | None = None,
) -> str:
    """Draw curves over epochs, by label; the epoch `used`, whose weights were kept, is marked.

    With `share` the axis shows all of 0..1, in which the values lie; with `from_zero` it begins at 0 and counts in
    whole numbers.
    """
    with house_style():
        figure, axes = new_figure(NARROW, 2.3)
        for label, curve in lines.items():
            epochs, values = zip(*curve, strict=True)
            axes.plot(epochs, values, marker="o" if len(curve) < 25 else None, label=label)
        if share:
            axes.set_ylim(0, 1.02)
        if from_zero:
            axes.set_ylim(0, max(value for curve in lines.values() for _, value in curve) * 1.1 + 0.5)
            axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
        if used is not None:
            axes.axvline(used, color=QUIET, linewidth=1, linestyle=(0, (1, 2)), label=f"epoch {used}, used")
        axes.set(title=title, xlabel="epoch")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        known = {epoch for curve in lines.values() for epoch, _ in curve}
        if len(known) == 1:
            axes.set_xlim(min(known) - 1, min(known) + 1)
        axes.legend()
    ends = [f"{label} from {curve[0][1]:.3g} to {curve[-1][1]:.3g}" for label, curve in lines.items()]
    last = max(curve[-1][0] for curve in lines.values())
    return inline_svg(figure, name, f"{title} over {last} epochs: {'; '.join(ends)}.")


def open_heads(name: str, blocks: Mapping[int, tuple[int, int]]) -> str:
    """Draw how many heads of each block are open at the end."""
    numbers = list(blocks)
    with house_style():
        figure, axes = new_figure(NARROW, 2.3)
        axes.bar(numbers, [total for _, total in blocks.values()], color="none", edgecolor=QUIET, label="all")
        axes.bar(numbers, [opened for opened, _ in blocks.values()], color=SERIES[0], label="open")
        axes.set(title="Attention heads by block", xlabel="block", xticks=numbers)
        axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.grid(visible=False, axis="x")
        axes.set_ylim(0, max(total for _, total in blocks.values()) * 1.35)
        axes.legend(ncols=2, loc="upper right")
    told = ", ".join(f"{block}: {opened} of {total}" for block, (opened, total) in blocks.items())
    return inline_svg(figure, name, f"Open attention heads by block, {told}.")


def score_histogram(name: str, title: str, scores: Sequence[float]) -> str:
    """Draw how the images' own mIoU are spread."""
    counts, _ = np.histogram(scores, bins=10, range=(0, 1))
    with house_style():
        figure, axes = new_figure(NARROW, 2.3)
        axes.bar(np.arange(10) / 10 + 0.05, counts, 0.09, color=SERIES[0])
        axes.set(xlim=(0, 1), title=title, xlabel="mIoU of one image", ylabel="images")
        axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.grid(visible=False, axis="x")
    described = f"{title}: {len(scores)} images, median {np.median(scores):.2f}, lowest {min(scores):.2f}."
    return inline_svg(figure, name, described)


def stage_times(name: str, seconds: Mapping[str, float]) -> str:
    """Draw the time that each stage took."""
    with house_style():
        figure, axes = new_figure(NARROW, 0.7 + 0.28 * len(seconds))
        drawn = axes.barh(list(range(len(seconds))), list(seconds.values()), 0.7, color=SERIES[0])
        axes.bar_label(drawn, [spelled_time(value) for value in seconds.values()], padding=3, fontsize=8, color=INK)
        axes.set_yticks(range(len(seconds)), [stage.replace("_", "-") for stage in seconds])
        axes.tick_params(axis="y", labelcolor=INK)
        axes.invert_yaxis()
        axes.set(xlim=(0, max(max(seconds.values()) * 1.3, 1e-3)), xlabel="seconds")
        axes.grid(visible=False, axis="y")
    told = ", ".join(f"{stage} {spelled_time(value)}" for stage, value in seconds.items())
    return inline_svg(figure, name, f"Time by stage: {told}.")


def spelled_time(seconds: float) -> str:
    """Return a time as people say it: ``0.4 s``, ``72 s``, ``17 min 5 s``, ``2 h 3 min``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
