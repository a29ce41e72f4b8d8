"""Labels the frames of one scene: read ahead, scored in batches, each frame as a whole."""

from collections.abc import Iterator

from wsss_toolkit.domain import Layers, Sample, Scene, Window
from wsss_toolkit.images.scaling import Prepared, Preprocessing
from wsss_toolkit.scenes.label import AHEAD, decide, stack
from wsss_toolkit.scenes.predictor import Predictor
from wsss_toolkit.scenes.prefetch import prefetch

BATCHES_PER_BLOCK = 8
"""Batches of frames in one block of finished rows."""


def label_frames(
    scene: Scene, predictor: Predictor, prepare: Preprocessing, *, start: int, stop: int, batch_size: int, scores: bool
) -> Iterator[Layers]:
    """Yield the decided rows from `start` to before `stop`, one batch of frames at a time.

    The scene is a stack of frames. Batches begin at frames whose number `batch_size` divides, so that a block's rows
    are the same, bit by bit, whether it is computed alone or with others: `start` is the first row of a batch, `stop`
    the end row of one, or of the scene. The other arguments, and the errors, are those of `label_rows`.
    """
    height = scene.frame_height
    assert height is not None  # the caller has looked
    for row, parts in prefetch(_read(scene, prepare, height, start, stop, batch_size), AHEAD):
        images, valid, present = stack(parts)
        found = predictor.score(images, valid, present, True)
        # Frames lie one below the other: `b c h w` becomes `c (b h) w`.
        stacked = found.transpose(0, 1).flatten(1, 2)
        yield decide(stacked, valid.flatten(0, 1).to(stacked.device), row, scores=scores)


def _read(
    scene: Scene, prepare: Preprocessing, height: int, start: int, stop: int, batch_size: int
) -> Iterator[tuple[int, list[Prepared]]]:
    """Yield the first row of each batch of frames, and its scaled frames."""
    for row in range(start, stop, batch_size * height):
        count = min(batch_size, (stop - row) // height)
        sample = scene.read(Window(row, 0, count * height, scene.width))
        yield row, [prepare(_frame(sample, number * height, height)) for number in range(count)]


def _frame(sample: Sample, row: int, height: int) -> Sample:
    return Sample(sample.key, {name: bands[:, row : row + height] for name, bands in sample.bands.items()})
