"""One picture of a few images beside their masks, with a legend: what people look at before they read a figure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from wsss_toolkit.domain import IGNORE_INDEX, ClassTable, Sample, Sensor

_TILE, _GAP, _LINE = 192, 8, 20
_TEXT, _PAPER, _IGNORED = (30, 30, 30), (255, 255, 255), (0, 0, 0)


@dataclass(frozen=True, slots=True)
class PreviewRow:
    """One image and its masks."""

    picture: NDArray[np.uint8]
    """uint8 `h w 3`."""
    masks: tuple[NDArray[np.uint8] | None, ...]
    """uint8 `h w` of class indices and 255, in the order of the columns; None leaves a place empty."""


def natural_colors(sample: Sample, sensors: Sequence[Sensor], as_they_are: Collection[str] = ()) -> NDArray[np.uint8]:
    """Return a picture of an image, uint8 `h w 3`: its red, green and blue bands, or its first band in grey.

    Each band is stretched between its 2nd and 98th percentile; missing pixels are black. Bands of sensors that are
    named in `as_they_are`, such as cameras, hold 0 to 255 and are shown so.
    """
    there = [sensor for sensor in sensors if sensor.name in sample.bands]
    sensor = min(there, key=lambda sensor: sensor.rgb is None)
    values = sample.bands[sensor.name]
    chosen = [sensor.bands.index(band) for band in sensor.rgb] if sensor.rgb else [0, 0, 0]
    if sensor.name in as_they_are:
        return np.nan_to_num(values[chosen]).clip(0, 255).round().astype(np.uint8).transpose(1, 2, 0)
    return np.stack([_stretch(values[index]) for index in chosen], axis=-1)


def _stretch(band: NDArray[np.float32]) -> NDArray[np.uint8]:
    finite = np.isfinite(band)
    if not finite.any():
        return np.zeros(band.shape, np.uint8)
    low, high = np.percentile(band[finite], (2, 98))
    scaled = (np.where(finite, band, low) - low) / max(float(high - low), 1e-6)
    return np.asarray(np.clip(scaled, 0, 1) * 255, np.uint8)


def draw_preview(rows: Sequence[PreviewRow], titles: Sequence[str], classes: ClassTable, caption: str) -> Image.Image:
    """Draw one row for each image, columns under `titles`, and below them the classes that occur.

    The first title is the picture's, the others are the masks'. `caption` is a sentence at the foot, such as the
    adapter's notice; it may be empty.
    """
    palette = np.full((256, 3), _IGNORED, np.uint8)
    palette[: len(classes.colors)] = classes.colors
    shown = {int(value) for row in rows for mask in row.masks if mask is not None for value in np.unique(mask)}
    legend = [(classes.names[value], classes.colors[value]) for value in sorted(shown - {IGNORE_INDEX})]
    if IGNORE_INDEX in shown:
        legend.append(("no class", _IGNORED))
    across = max(1, len(titles))
    legend_lines = -(-len(legend) // across)
    width = across * (_TILE + _GAP) + _GAP
    height = _GAP + _LINE + len(rows) * (_TILE + _GAP) + (legend_lines + bool(caption)) * _LINE + _GAP
    canvas = Image.new("RGB", (width, height), _PAPER)
    pen = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(13)
    lefts = [_GAP + column * (_TILE + _GAP) for column in range(across)]
    for left, title in zip(lefts, titles, strict=True):
        pen.text((left, _GAP), title, _TEXT, font)
    top = _GAP + _LINE
    for row in rows:
        pictures = [row.picture, *(None if mask is None else palette[mask] for mask in row.masks)]
        for left, pixels in zip(lefts, pictures, strict=True):
            if pixels is not None:
                canvas.paste(Image.fromarray(pixels).resize((_TILE, _TILE), Image.Resampling.NEAREST), (left, top))
        top += _TILE + _GAP
    for number, (name, color) in enumerate(legend):
        left, line = lefts[number % across], top + number // across * _LINE
        pen.rectangle((left, line + 3, left + 12, line + 15), fill=color, outline=_TEXT)
        pen.text((left + 18, line), name, _TEXT, font)
    if caption:
        pen.text((_GAP, top + legend_lines * _LINE), caption, _TEXT, font)
    return canvas
