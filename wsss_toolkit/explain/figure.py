"""The figures of an explanation: from the attention of each class token to the mask, and the heads one by one."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from wsss_toolkit.domain import ClassTable
from wsss_toolkit.explain.files import reads_threshold
from wsss_toolkit.explain.mosaic import cell_size, relative, tile
from wsss_toolkit.explain.trace import NOBODY, Explanation
from wsss_toolkit.recipe.schema import PseudoMasks
from wsss_toolkit.report.figures import INK, MAP_COLORS, QUIET, SERIES, house_style, short_name

DRAWN = 12
"""Classes that are drawn at most: those with the highest probability."""

HEAD_LAYERS = 4
"""Layers whose heads are drawn at most: the last ones."""

_MARGIN, _LEFT, _HEAD, _FOOT, _GATES, _PICTURE = 0.25, 0.95, 0.55, 0.25, 1.7, 2.5
"""Inches: around the figure, row labels, title and column labels of a board, below a board, chart of gates, picture."""


def draw_explanation(
    found: Explanation,
    picture: NDArray[np.uint8],
    classes: ClassTable,
    section: PseudoMasks,
    title: str,
    notices: Sequence[str],
) -> Figure:
    """Draw picture and mask, the attention of every layer with its gates, and the maps on their way to the mask.

    `picture` is the image in natural colours, uint8 `h w 3`; `section` is what the mask was made with; `notices` are
    sentences that must stand beside every figure.
    """
    places = drawn_places(found)
    weighted = _mean_over_heads(found)[:, places]
    stages = _stages(found, places, classes, section)
    layers, count = weighted.shape[0], max(1, len(places))
    cell = cell_size(*picture.shape[:2])
    side = 1.35 if max(layers, count) <= 6 else 1.0
    cell_height = side * float(np.clip(cell[0] / cell[1], 0.4, 2.0))
    board = count * side
    shown_width = _PICTURE * float(np.clip(cell[1] / cell[0], 0.5, 2.0))
    width = max(_LEFT + board + 0.3 + _GATES, 2 * shown_width + 3.2) + 2 * _MARGIN
    captions = [_caption(found, place, classes, section) for place in places]
    above = 0.13 * max((caption.count("\n") for caption in captions), default=0)
    lower = _HEAD + above + len(stages) * cell_height
    heights = (0.45, _PICTURE + 0.35, _HEAD + layers * cell_height + _FOOT, lower, 0.35)
    height = sum(heights) + 2 * _MARGIN
    with house_style():
        figure = Figure(figsize=(width, height))
        top = _MARGIN
        _text(figure, _MARGIN, top, title, size=12, weight="bold")
        _text(figure, _MARGIN, top + 0.24, _how(found, section), size=8, color=QUIET)
        top += heights[0]
        _place(figure, _MARGIN, top + 0.3, shown_width, _PICTURE, "Image").imshow(picture)
        mask_axes = _place(figure, _MARGIN + shown_width + 0.2, top + 0.3, shown_width, _PICTURE, "Mask that comes out")
        mask_axes.imshow(palette(classes)[found.mask], interpolation="nearest")
        _legend(mask_axes, found.mask, classes)
        top += heights[1]
        if len(places):
            names = [_name(classes, found, place) for place in places]
            labels = [f"layer {index}" + (" *" if index in found.making else "") for index in found.heads.layers]
            box = (_MARGIN + _LEFT, top + _HEAD, board, layers * cell_height)
            axes = _board(figure, box, relative(weighted), cell, labels, names)
            made = "; *: becomes the maps" if found.making else ""
            axes.set_title(f"Attention of the class tokens, each from 0 to its highest{made}", pad=22)
            _draw_gates(figure, (box[0] + board + 0.3, box[1], _GATES, box[3]), found)
            top += heights[2]
            box = (_MARGIN + _LEFT, top + _HEAD + above, board, len(stages) * cell_height)
            values = np.stack([values for _, values in stages])
            axes = _board(figure, box, values, cell, [name for name, _ in stages], captions)
            axes.set_title("From the maps to the mask", pad=22 + 72 * above)
        else:
            _text(figure, _MARGIN, top + 0.3, "No class is active: there is no map to show.", size=10)
        foot = " ".join(["Ground truth is not read: this explains a mask, it does not evaluate it.", *notices])
        _text(figure, _MARGIN, height - _MARGIN - 0.12, foot, size=8, color=QUIET)
    return figure


def draw_heads(found: Explanation, classes: ClassTable, title: str) -> Figure | None:
    """Draw the attention of each head of the layers that make the maps; None where no class is shown."""
    places = drawn_places(found)
    if not len(places):
        return None
    chosen = _head_layers(found)
    attention = found.heads.attention[chosen][:, :, places]  # l a k gh gw
    heads = attention.shape[1]
    cell = cell_size(*attention.shape[-2:])
    side = 1.05 if heads <= 8 else 0.85
    cell_height = side * float(np.clip(cell[0] / cell[1], 0.4, 2.0))
    block = _HEAD + 0.3 + len(places) * cell_height
    width = max(2 * _MARGIN + _LEFT + heads * side, 6.5)
    height = 2 * _MARGIN + 0.55 + len(chosen) * block
    names = [_name(classes, found, place) for place in places]
    with house_style():
        figure = Figure(figsize=(width, height))
        _text(figure, _MARGIN, _MARGIN, title, size=12, weight="bold")
        explained = "Each row of maps is relative to its highest value over the layer's heads."
        if not found.heads.numbered:
            explained += " The model does not say which heads were pruned: those left are counted."
        _text(figure, _MARGIN, _MARGIN + 0.24, explained, size=8, color=QUIET)
        for number, layer in enumerate(chosen):
            box = (_MARGIN + _LEFT, _MARGIN + 0.55 + number * block + _HEAD + 0.2, heads * side, block - _HEAD - 0.3)
            maps = relative(attention[number].swapaxes(0, 1), axis=(1, 2, 3))  # k a gh gw
            labels = [_head_label(found, layer, head) for head in range(heads)]
            _board(figure, box, maps, cell, names, labels).set_title(f"Layer {found.heads.layers[layer]}", pad=34)
    return figure


def drawn_places(found: Explanation) -> NDArray[np.int64]:
    """Return the places of the classes that are drawn: at most `DRAWN`, the most probable, in the order of tokens."""
    order = np.argsort(-found.probabilities[found.tokens], kind="stable")[:DRAWN]
    return np.sort(order)


def palette(classes: ClassTable) -> NDArray[np.uint8]:
    """Return the colour of each mask value, uint8 `256 3`; no class is light grey: many backgrounds are black."""
    colors = np.full((256, 3), 205, np.uint8)
    colors[: len(classes.colors)] = classes.colors
    return colors


def _mean_over_heads(found: Explanation) -> NDArray[np.float32]:
    """Return the gate-weighted mean of attention over heads, `l k gh gw`."""
    gates = np.nan_to_num(found.heads.gates)
    shares = gates / np.maximum(gates.sum(axis=1, keepdims=True), 1e-8)
    return np.asarray(np.einsum("la,lakhw->lkhw", shares, np.nan_to_num(found.heads.attention)), np.float32)


def _stages(
    found: Explanation, places: NDArray[np.int64], classes: ClassTable, section: PseudoMasks
) -> list[tuple[str, NDArray[np.float32]]]:
    """Return the rows of the lower board: name and `k h w` in 0..1."""
    values = np.array(classes.labelled)[found.tokens[places]]
    rows = [("final map", relative(found.maps[places]))]
    if reads_threshold(section):
        rows.append(("claimed:\nabove its\nthreshold", found.claimed[places].astype(np.float32)))
    rows.append(("in the mask", (found.mask == values[:, None, None]).astype(np.float32)))
    return rows


def _board(
    figure: Figure,
    box: tuple[float, float, float, float],
    maps: NDArray[np.float32],
    cell: tuple[int, int],
    rows: Sequence[str],
    columns: Sequence[str],
) -> Axes:
    """Draw maps `r c h w` in 0..1 as cells with the names of rows and columns."""
    axes = _place(figure, *box)
    values = tile(maps, cell)
    axes.imshow(values, cmap=MAP_COLORS, vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    height, width = values.shape
    axes.set_xticks((np.arange(len(columns)) + 0.5) * width / len(columns), columns, fontsize=7.5, color=INK)
    axes.set_yticks((np.arange(len(rows)) + 0.5) * height / len(rows), rows, fontsize=8, color=INK)
    axes.tick_params(labelbottom=False, labeltop=True, length=0, pad=3)
    return axes


def _draw_gates(figure: Figure, box: tuple[float, float, float, float], found: Explanation) -> None:
    """Draw a strip of bars for each layer: how open the gate of each head is."""
    axes = _place(figure, *box, title="Open gates, by head")
    axes.set_axis_on()
    layers, heads = found.heads.gates.shape
    for layer in range(layers):
        gates = np.nan_to_num(found.heads.gates[layer])
        axes.axhline(layer + 0.9, color=QUIET, linewidth=0.6)
        axes.bar(np.arange(heads), -0.75 * gates, bottom=layer + 0.9, color=SERIES[0], width=0.8)
        closed = np.flatnonzero(gates == 0)
        axes.plot(closed, np.full(len(closed), layer + 0.82), "x", color=SERIES[1], markersize=3)
    axes.set(xlim=(-0.6, heads - 0.4), ylim=(layers, 0), yticks=[])
    axes.set_xticks(range(0, heads, 1 if heads <= 8 else 3))
    axes.set_xlabel("head; full height is 1, x is closed", fontsize=7.5)
    axes.grid(visible=False)


def _place(figure: Figure, left: float, top: float, width: float, height: float, title: str = "") -> Axes:
    """Return axes at a place in inches from the upper left corner, without ticks and frame."""
    across, down = figure.get_size_inches()
    axes = figure.add_axes((left / across, 1 - (top + height) / down, width / across, height / down))
    axes.set(xticks=[], yticks=[], title=title)
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return axes


def _text(figure: Figure, left: float, top: float, text: str, **style: Any) -> None:
    across, down = figure.get_size_inches()
    figure.text(left / across, 1 - top / down, text, va="top", parse_math=False, **style)


def _legend(axes: Axes, mask: NDArray[np.uint8], classes: ClassTable) -> None:
    values = np.unique(mask).tolist()
    names = [*classes.names, *["no class"] * (256 - len(classes.names))]
    patches = [
        Patch(facecolor=palette(classes)[value] / 255, edgecolor=QUIET, linewidth=0.5, label=short_name(names[value]))
        for value in sorted(values, key=lambda value: -int((mask == value).sum()))[:14]
    ]
    axes.legend(handles=patches, loc="upper left", bbox_to_anchor=(1.02, 1.0), borderaxespad=0)


def _how(found: Explanation, section: PseudoMasks) -> str:
    compared = " of maps as they are"
    if section.normalize != "none":
        compared = f" of maps divided by their {section.normalize}"
    if section.background == "residual":
        compared = " of maps scaled to 0..1 and what they leave over"
    said = section.assign + compared * (section.assign == "argmax") + f", maps from {section.source.kind}, classes "
    said += "from image-level labels" if found.from_labels else "as predicted"
    if section.background == "residual":
        said += f", background residual by {section.residual.method} {section.residual.value:g}"
    elif reads_threshold(section):
        given = "" if section.threshold.value is None else f" {section.threshold.value:g}"
        said += f", threshold {section.threshold.method}{given}"
    more = len(found.tokens) - DRAWN
    return said + (f"; {more} more classes are in the arrays only" if more > 0 else "")


def _caption(found: Explanation, place: int, classes: ClassTable, section: PseudoMasks) -> str:
    token, order = found.tokens[place], found.paint_order[place]
    lines = [_name(classes, found, place), f"p {found.probabilities[token]:.2f}, logit {found.logits[token]:.1f}"]
    if reads_threshold(section):
        lines.append(f"threshold {found.thresholds[place]:.3g}")
    if order == NOBODY:
        lines.append("not active")
    else:
        lines.append(f"painted no. {order + 1}" if section.assign == "paint" else f"rank {order + 1} by logit")
    return "\n".join(lines)


def _head_layers(found: Explanation) -> list[int]:
    wanted = found.making or tuple(found.heads.layers[-1:].tolist())
    return [place for place, index in enumerate(found.heads.layers) if index in wanted][-HEAD_LAYERS:]


def _head_label(found: Explanation, layer: int, place: int) -> str:
    number, gate = found.heads.numbers[layer, place], found.heads.gates[layer, place]
    if number == NOBODY:
        return f"head {place}\npruned" if found.heads.numbered else "pruned"
    return f"head {number}\n" + ("closed" if gate == 0 else f"gate {gate:.2f}")


def _name(classes: ClassTable, found: Explanation, place: int) -> str:
    return short_name(classes.label_names[int(found.tokens[place])])
