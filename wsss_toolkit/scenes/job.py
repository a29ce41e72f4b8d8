"""The work on one scene as plain values and functions that any process on any machine can carry out."""

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from wsss_toolkit.compute import choose_device
from wsss_toolkit.domain import IGNORE_INDEX, Destination, Layers, SceneAdapter, SceneSource
from wsss_toolkit.errors import WsssError
from wsss_toolkit.images.windows import WindowGrid
from wsss_toolkit.runs.folder import REPORT_FILE
from wsss_toolkit.runs.trained_run import TrainedRun, open_run
from wsss_toolkit.scenes.blocks import BlockFiles, block_file, block_rows, load_values, row_blocks, save_block
from wsss_toolkit.scenes.frames import BATCHES_PER_BLOCK, label_frames
from wsss_toolkit.scenes.label import label_rows
from wsss_toolkit.scenes.predictor import ModelStage, Predictor, load_predictor
from wsss_toolkit.scenes.sampled import VALUES_TAG, SampledScene, doubtful, judge

JOB_TAG = "wsss_job"
"""The tag of a mask that says what it was made of."""

Advance = Callable[[int], None]
"""Is told of pixels that were labelled since the last call."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How scenes are labelled; the same for all of them."""

    run: Path
    """The trained run's folder, as every machine sees it."""
    overrides: tuple[str, ...]
    """Changes of its recipe, ``KEY=VALUE``."""
    stage: ModelStage
    device: str
    """``auto``, ``cpu`` or ``cuda``."""
    dtype: torch.dtype
    """What the network computes in, the same in every process."""
    window: int
    """Side of the windows in pixels."""
    overlap: float
    """Share of a window that it has in common with the next."""
    batch_size: int
    """Windows at a time."""
    destination: Destination


@dataclass(frozen=True, slots=True)
class SceneJob:
    """One scene to label."""

    source: SceneSource
    height: int
    width: int
    frame_height: int | None
    """Rows of a frame where the scene is a stack of frames; None where windows slide."""
    settings: Settings

    @property
    def grid(self) -> WindowGrid:
        """Where its windows lie."""
        return WindowGrid(self.height, self.width, self.settings.window, self.settings.overlap)

    @property
    def blocks(self) -> tuple[tuple[int, int], ...]:
        """First and end row of its blocks."""
        if self.frame_height is None:
            return tuple(row_blocks(self.height, block_rows(self.grid)))
        return tuple(row_blocks(self.height, BATCHES_PER_BLOCK * self.settings.batch_size * self.frame_height))

    @property
    def digest(self) -> str:
        """The digest of everything that its files depend on."""
        return self.settings.destination.tags.get(JOB_TAG, "")

    @property
    def folder(self) -> Path:
        """Where blocks lie until the scene is complete; those of another job of the same scene lie elsewhere."""
        return self.settings.destination.folder / f".{self.source.name}.{self.digest[:12]}.blocks"


_loading = threading.Lock()


def _version(run: Path) -> int:
    """Return what changes when a run is finished anew: workers of a cluster live longer than a run stays as it is."""
    report = run / REPORT_FILE
    return report.stat().st_mtime_ns if report.is_file() else 0


@lru_cache(maxsize=2)
def _open(run: Path, overrides: tuple[str, ...], version: int) -> TrainedRun:
    return open_run(run, overrides)


@lru_cache(maxsize=2)
def _load(
    run: Path,
    overrides: tuple[str, ...],
    stage: ModelStage,
    device: str,
    dtype: torch.dtype,
    process: int,
    version: int,
) -> tuple[TrainedRun, Predictor]:
    trained = _open(run, overrides, version)
    return trained, load_predictor(trained, stage, choose_device(device, 1, "32").torch, dtype)


def loaded(settings: Settings) -> tuple[TrainedRun, Predictor]:
    """Return the run and its model, which a process loads once."""
    with _loading:
        version = _version(settings.run)
        model = (settings.stage, settings.device, settings.dtype)
        return _load(settings.run, settings.overrides, *model, os.getpid(), version)


def scene_adapter(run: TrainedRun) -> SceneAdapter:
    """Return the run's adapter as one that labels scenes; WsssError if it cannot."""
    if not isinstance(run.adapter, SceneAdapter):
        raise WsssError(
            f"adapter {run.recipe.data.adapter!r} does not label scenes",
            where=str(run.path),
            fix="its masks are written by `wsss run`, see the recipe's export section",
        )
    return run.adapter


def label_blocks(job: SceneJob, start: int, stop: int, advance: Advance | None = None) -> None:
    """Label the rows from `start`, where a block begins, to before `stop`, where one ends, and write them as blocks.

    Raises:
        WsssError: If the scene cannot be read or a block not be written.
    """
    settings = job.settings
    run, predictor = loaded(settings)
    adapter = scene_adapter(run)
    ends = [end for _, end in job.blocks]
    saved: Future[None] | None = None
    with (
        adapter.open_scene(job.source, run.preprocessing.channels, settings.destination.outputs) as scene,
        ThreadPoolExecutor(1, thread_name_prefix="write") as writer,
    ):
        if (scene.height, scene.width, scene.frame_height) != (job.height, job.width, job.frame_height):
            raise WsssError("has changed its size since it was found", where=job.source.shown)
        sampled = SampledScene(scene, run.preprocessing.channels)
        strips: list[Layers] = []
        label = partial(label_rows, grid=job.grid) if job.frame_height is None else label_frames
        for strip in label(
            sampled,
            predictor,
            run.preprocessing,
            start=start,
            stop=stop,
            batch_size=settings.batch_size,
            scores=settings.destination.outputs.needs_scores,
        ):
            for part in _split(strip, ends):
                strips.append(part)
                if (end := part.row + len(part.mask)) in ends:
                    if saved is not None:
                        saved.result()
                    first = strips[0].row
                    values = sampled.values(first, end)
                    saved = writer.submit(save_block, block_file(job.folder, first), strips, values, job.digest)
                    strips = []
            if advance is not None:
                advance(strip.mask.size)
        if saved is not None:
            saved.result()


def _split(strip: Layers, ends: list[int]) -> Iterator[Layers]:
    """Cut a strip where blocks end."""
    first, last = strip.row, strip.row + len(strip.mask)
    cuts = [first, *(end for end in ends if first < end < last), last]
    for start, stop in pairwise(cuts):
        yield strip.part(start - first, stop - first)


@dataclass(frozen=True, slots=True)
class Finished:
    """What came of a scene."""

    mask: Path
    empty: bool
    """Whether no pixel of it has a class: all is 255."""
    doubt: str | None = None
    """What its values look like where they lie far off those of training, or None."""


def finish_scene(job: SceneJob) -> Finished:
    """Write the files of a scene whose blocks are all there, and delete the blocks.

    Raises:
        WsssError: If a file cannot be written.
    """
    run = _open(job.settings.run, job.settings.overrides, _version(job.settings.run))
    paths = [block_file(job.folder, start) for start, _ in job.blocks]
    files, channels = BlockFiles(paths, job.digest), run.preprocessing.channels
    destination = job.settings.destination
    values = judge(run.preprocessing, np.concatenate([load_values(path) for path in paths], axis=1))
    destination = replace(destination, tags={**destination.tags, VALUES_TAG: values})
    written = scene_adapter(run).write_scene(job.source, files, run.classes, destination, channels)
    empty = all((block.mask == IGNORE_INDEX).all() for block in files)  # ends at the first block with a class
    discard_blocks(job)
    return Finished(written, empty, doubtful(values))


def discard_blocks(job: SceneJob) -> None:
    """Delete the blocks of a scene."""
    shutil.rmtree(job.folder, ignore_errors=True)
