"""Charts in the house's style: colours that colour-blind readers tell apart, quiet axes, text that stays text.

Draw inside `house_style`, then write with `inline_svg` or `save_figure`; the same figure gives the same bytes::

    with house_style():
        figure, axes = new_figure(3.4, 2.2)
        axes.plot(epochs, values, label="val mAP")
        axes.legend()
    save_figure(figure, Path("curve.svg"))
"""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from xml.etree import ElementTree

import matplotlib as mpl
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wsss_toolkit.files import complete_file

SERIES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Colours of series, in order: Okabe and Ito's, which stay distinct with every common kind of colour blindness."""

INK, QUIET, LINE = "#1f2933", "#52606d", "#cbd2d9"
"""Text; axes and their numbers; grid."""

MAP_COLORS = "cividis"
"""The colour map of class maps and matrices: even in lightness, and the same to colour-blind eyes."""

_LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1, 1, 1)))

STYLE: dict[str, Any] = {
    "svg.fonttype": "none",  # text as text: small files that can be searched and read aloud
    "svg.hashsalt": "wsss-toolkit",  # else ids are random
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib, so that the layout is the same everywhere
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.labelcolor": QUIET,
    "axes.titlecolor": INK,
    "axes.edgecolor": LINE,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": cycler(color=SERIES, linestyle=_LINES),
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "text.color": INK,
    "lines.linewidth": 1.6,
    "lines.markersize": 3.5,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "image.cmap": MAP_COLORS,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "savefig.edgecolor": "none",
}

_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_VARIABLES = {color.lower(): f"--series-{number}" for number, color in enumerate(SERIES, start=1)} | {
    INK: "--ink",
    QUIET: "--quiet",
    LINE: "--line",
}
_THEMED = re.compile("|".join(_VARIABLES))
_FONT_FAMILY = re.compile(r"font-family: [^;]*;? ?")
_FONT_SHORT = re.compile(r"font: (?:(700|bold) )?([0-9.]+px) [^;]*")  # how older versions of matplotlib write it


@contextmanager
def house_style() -> Iterator[None]:
    """Use the house's colours, lines and letters for the figures that are drawn inside."""
    with mpl.rc_context(cast("Any", STYLE)):  # newer versions of matplotlib want literal keys
        yield


def new_figure(width: float, height: float) -> tuple[Figure, Axes]:
    """Return an empty figure of a size in inches and its axes; call it inside `house_style`.

    No window system is involved, whatever the environment says.
    """
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def inline_svg(figure: Figure, name: str, description: str) -> str:
    """Return a figure as an ``<svg>`` element for an HTML page.

    Colours of the style become variables of the page (``--ink``, ``--quiet``, ``--line``, ``--series-1`` ...) with the
    colour itself where the page sets none, so that a chart follows a dark page. Letters are the page's. `name` is
    unique on the page: ids begin with it. `description` says what the figure shows to those who do not see it.
    """
    buffer = io.StringIO()
    with house_style():
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _XLINK)
    # What is parsed is matplotlib's, which escapes names.
    root = ElementTree.fromstring(buffer.getvalue())
    for parents, unwanted in (((root,), "metadata"), (root.findall(f"{{{_SVG}}}defs"), "style")):
        for parent in parents:
            for child in parent.findall(f"{{{_SVG}}}{unwanted}"):
                parent.remove(child)
    _own_ids(root, name)
    for element in root.iter():
        for attribute in ("style", "fill", "stroke"):
            if (value := element.get(attribute)) is not None:
                element.set(attribute, _themed(value))
        if (path := element.get("d")) is not None:
            element.set("d", " ".join(path.split()))
    root.set("role", "img")
    root.set("aria-label", description)
    root.set("stroke-linejoin", "round")
    width, height = (float(value) for value in root.attrib["viewBox"].split()[2:])
    # CSS pixels are 1/96 inch, SVG's user units here 1/72.
    root.set("width", f"{width * 4 / 3:.0f}")
    root.set("height", f"{height * 4 / 3:.0f}")
    for element in root.iter():
        element.text = element.text if element.text and element.text.strip() else None
        element.tail = None
    return ElementTree.tostring(root, encoding="unicode")


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as SVG or PNG, by the file's suffix, on white; a file of that name is replaced in one step."""
    kind = path.suffix.lower().lstrip(".")
    if kind not in ("svg", "png"):
        raise ValueError(f"figures are written as .svg or .png, not {path.suffix!r}")
    metadata: dict[str, str | None] = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
    with complete_file(path) as partial, house_style():
        figure.savefig(partial, format=kind, metadata=metadata, dpi=144, facecolor="white")


def short_name(name: str) -> str:
    """Return a name for a tick or a legend, cut to 18 characters."""
    return name if len(name) <= 18 else f"{name[:17]}…"


def _own_ids(root: ElementTree.Element, name: str) -> None:
    """Take out ids that nothing refers to, and begin the others with `name`: a page has many figures."""

    def prefixed(match: re.Match[str]) -> str:
        # A colour such as #fade01 looks like a reference; only ids that are there are changed.
        return f"{match[1]}{name}-{match[2]}" if match[2] in used else match[0]

    text = [value for element in root.iter() for key, value in element.attrib.items() if key != "id"]
    used = {match for value in text for match in re.findall(r"#([A-Za-z_][\w.-]*)", value)}
    for element in root.iter():
        if element.get("id") not in used:
            element.attrib.pop("id", None)
        for key, value in element.attrib.items():
            if key == "id":
                element.set(key, f"{name}-{value}")
            elif "#" in value:
                element.set(key, re.sub(r"(url\(#|^#)([A-Za-z_][\w.-]*)", prefixed, value))


def _themed(style: str) -> str:
    style = _FONT_FAMILY.sub("", style)
    style = _FONT_SHORT.sub(lambda match: f"font-size: {match[2]}" + "; font-weight: 700" * bool(match[1]), style)
    return _THEMED.sub(lambda match: f"var({_VARIABLES[match[0]]}, {match[0]})", style)
