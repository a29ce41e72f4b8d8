"""Masks that are drawn in colours: which class each colour is, and palettes that give one number several colours."""

from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsss_adapters.pictures.decoding import decode_picture, open_picture
from wsss_adapters.pictures.kinds import FORMATS, LOSSY
from wsss_toolkit.errors import DataError

BY_COLOR = 'say which class each colour is (data.codes: {"#000000": background, "#ff0000": cat})'


SEVERAL = 4
"""Colours that a table probably lacks; more of them come from smoothing."""


def packed(color: str) -> int:
    """Return ``#rrggbb`` as one number.

    >>> packed("#0001ff")
    511
    """
    return int(color[1:], 16)


def read_colors(path: Path) -> NDArray[np.int32]:
    """Read a mask's colours, upright: int32 `h w`, red x 65536 + green x 256 + blue, whatever its palette.

    Raises:
        DataError: If it cannot be read, or its format changes colours.
    """
    with open_picture(path) as mask:
        if mask.format in LOSSY:
            kind = FORMATS[mask.format]
            raise DataError(f"masks cannot be {kind}, which changes their values", where=str(path), fix="use PNG")
    red, green, blue = np.moveaxis(decode_picture(path).pixels.astype(np.int32), -1, 0)
    values: NDArray[np.int32] = red * 65536 + green * 256 + blue
    return values


def refuse_other_colors(colors: NDArray[np.int32], known: Collection[int], path: Path, table: str, fix: str) -> None:
    """Raise a DataError for a mask with colours that a table lacks; those that cover most come first.

    The `fix` is for a few colours: many are none of the table's.
    """
    found, counts = np.unique(colors, return_counts=True)
    other = [(int(number), int(color)) for color, number in zip(found, counts, strict=True) if int(color) not in known]
    if not other:
        return
    listed = [f"#{color:06x}" for _, color in sorted(other, reverse=True)]
    if len(listed) > SEVERAL:
        fix = "smoothed edges, a resized mask or JPEG make colours between those of classes: save it without them"
    shown = ", ".join(listed[:SEVERAL]) + (f" and {len(listed) - SEVERAL} more" if len(listed) > SEVERAL else "")
    share = sum(number for number, _ in other) / colors.size
    raise DataError(
        f"holds colours that {table} lacks, in {share:.2%} of its pixels: {shown}", where=str(path), fix=fix
    )


def refuse_differing_palettes(masks: Iterable[Path]) -> None:
    """Refuse palette masks in which one number has two colours, or one colour two numbers.

    Programs that draw number colours in the order in which they meet them, so that a number means another class in
    every file. Grey palettes say nothing.

    Raises:
        DataError: If two masks disagree, or one cannot be read.
    """
    by_index: dict[int, tuple[tuple[int, ...], Path]] = {}
    by_color: dict[tuple[int, ...], tuple[int, Path]] = {}
    for path in masks:
        for index, color in _used_colors(path).items():
            known, first = by_index.setdefault(index, (color, path))
            if known != color:
                what = f"palettes differ: {index} is {_hex(color)} here and {_hex(known)} in {first.name}"
                raise DataError(what, where=str(path), fix=f"save all with one palette, or {BY_COLOR}")
            number, first = by_color.setdefault(color, (index, path))
            if number != index and first != path:
                what = f"palettes differ: {_hex(color)} is {index} here and {number} in {first.name}"
                raise DataError(what, where=str(path), fix=f"save all with one palette, or {BY_COLOR}")


def _used_colors(path: Path) -> dict[int, tuple[int, ...]]:
    """Return the colours of the numbers that occur in a palette mask; none for others and for grey palettes."""
    with open_picture(path) as mask:
        if mask.mode != "P":
            return {}
        palette = np.asarray(mask.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
        used = [int(index) for index in np.unique(np.asarray(mask)) if index < len(palette)]
    if all(len(set(palette[index])) == 1 for index in used) and all(palette[i][0] in (i, 255) for i in used):
        return {}
    return {index: tuple(map(int, palette[index])) for index in used}


def _hex(color: tuple[int, ...]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color)
