"""Labels rows of one scene: windows are read ahead, scored in batches, blended and decided."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from wsss_toolkit.domain import IGNORE_INDEX, LEVELS, Layers, Sample, Scene, Window
from wsss_toolkit.errors import DataError
from wsss_toolkit.images.scaling import Prepared, Preprocessing
from wsss_toolkit.images.windows import WindowGrid
from wsss_toolkit.scenes.blend import RowBlender
from wsss_toolkit.scenes.predictor import Predictor
from wsss_toolkit.scenes.prefetch import prefetch

AHEAD = 2
"""Batches that are read while one is computed."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Windows of one row of windows, those without any data left out."""

    row: int
    """The first row of all of them."""
    columns: tuple[int, ...]
    """The first column of each."""
    images: Tensor
    """Scaled, missing pixels 0, `b k h w`."""
    valid: Tensor
    """Pixels that hold data, bool `b h w`."""
    present: Tensor
    """Sensors that each window has, bool `b s`."""


def label_rows(  # noqa: PLR0913  # the scene, which rows of it, and how they are scored
    scene: Scene,
    predictor: Predictor,
    prepare: Preprocessing,
    grid: WindowGrid,
    *,
    start: int,
    stop: int,
    batch_size: int,
    scores: bool,
) -> Iterator[Layers]:
    """Yield the decided rows from `start` to before `stop` in strips, from top to bottom.

    The result for a row is the same, bit by bit, whatever range it is computed in: every window that sees the row takes
    part, windows are added in the same order, and no batch holds windows of two rows of windows. With `scores` strips
    hold the scores of all classes.

    Raises:
        DataError: If the scene cannot be read, or its scores are not finite.
    """
    rows = grid.rows_for(start, stop)
    side = min(grid.side, grid.height)
    blender = RowBlender(predictor.classes, side, grid.width, predictor.device, rows[0])
    ends = [*rows[1:], rows[-1] + side]
    for batch in prefetch(_read(scene, prepare, grid, rows, batch_size), AHEAD):
        if batch.columns:
            found = predictor.score(batch.images, batch.valid, batch.present, False)
            valid = batch.valid.to(predictor.device)
            for column, window_scores, window_valid in zip(batch.columns, found, valid, strict=True):
                blender.add(batch.row, column, window_scores, window_valid)
            continue
        # The batch without windows says that the row of windows is complete.
        end = ends[rows.index(batch.row)]
        top = blender.top
        strip = decide(*blender.take(end), top, scores=scores)
        first, last = max(start, top) - top, min(stop, end) - top
        if last > first:
            yield strip.part(first, last)


def _read(
    scene: Scene, prepare: Preprocessing, grid: WindowGrid, rows: Sequence[int], batch_size: int
) -> Iterator[Batch]:
    """Yield the batches of each row of windows, and after them a batch without windows.

    Neighbouring windows overlap, so the columns of a batch are read at once and cut afterwards.
    """
    columns = grid.columns
    nothing = torch.zeros(0)
    for row in rows:
        for place in range(0, len(columns), batch_size):
            group = columns[place : place + batch_size]
            window = grid.window(row, group[0])
            sample = scene.read(Window(row, group[0], window.height, group[-1] + window.width - group[0]))
            parts = [_prepare(prepare, _columns(sample, column - group[0], window.width)) for column in group]
            kept = [index for index, (_, valid, _) in enumerate(parts) if valid.any()]
            if kept:
                yield Batch(row, tuple(group[index] for index in kept), *stack([parts[index] for index in kept]))
        yield Batch(row, (), nothing, nothing, nothing)


def _prepare(prepare: Preprocessing, sample: Sample) -> Prepared:
    """Scale a window. With early fusion a pixel that any band lacks is missing: the model has seen no such pixel."""
    image, valid, present = prepare(sample)
    if prepare.fusion == "early":
        for bands in sample.bands.values():
            valid &= np.isfinite(bands).all(axis=0)
    return image, valid, present


def stack(parts: Sequence[Prepared]) -> tuple[Tensor, Tensor, Tensor]:
    """Return images `b k h w`, valid pixels `b h w` and present sensors `b s` of what `Preprocessing` returned."""
    images, valid, present = (torch.from_numpy(np.stack(part)) for part in zip(*parts, strict=True))
    return images, valid, present


def _columns(sample: Sample, start: int, width: int) -> Sample:
    return Sample(sample.key, {name: bands[..., start : start + width] for name, bands in sample.bands.items()})


def decide(blended: Tensor, valid: Tensor, top: int, *, scores: bool) -> Layers:
    """Give every pixel its best class by the scores `c h w` in 0..1; where no window found one, or no data are, 255.

    `valid` is bool `h w`, `top` the strip's first row in the scene; `scores` keeps the scores of all classes.
    """
    confidence, winner = blended.max(dim=0)
    if not torch.isfinite(confidence).all():
        raise DataError("class scores are not finite", fix="look for extreme values in the scene's bands")
    unknown = ~valid | (confidence <= 0)
    mask = winner.byte().masked_fill(unknown, IGNORE_INDEX)
    level = (confidence * LEVELS).round().byte().masked_fill(unknown, IGNORE_INDEX)
    every = (blended * LEVELS).round().byte().masked_fill(~valid, IGNORE_INDEX).cpu().numpy() if scores else None
    return Layers(top, mask.cpu().numpy(), level.cpu().numpy(), every)
