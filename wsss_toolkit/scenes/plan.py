"""Which scenes are to be labelled: each is opened once, and what its mask depends on is told by a digest."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace

from rich.console import Console

from wsss_toolkit.domain import SceneAdapter, SceneSource, Window
from wsss_toolkit.domain.progress import counted
from wsss_toolkit.domain.unread import NoticedSource
from wsss_toolkit.errors import DataError, UsageError, WsssError, blamed_on
from wsss_toolkit.runs.trained_run import TrainedRun
from wsss_toolkit.scenes.job import JOB_TAG, SceneJob, Settings
from wsss_toolkit.scenes.notices import Notices, warn
from wsss_toolkit.scenes.progress import DOUBTFUL, add_failure
from wsss_toolkit.scenes.sampled import VALUES_TAG, SampledScene, doubtful, judge

REVISION = 5
"""Raised when the same model and scene come to give another mask, so that older ones are not kept."""


def open_all(
    adapter: SceneAdapter,
    run: TrainedRun,
    sources: Sequence[SceneSource],
    settings: Settings,
    failures: dict[str, BaseException],
    console: Console,
) -> list[SceneJob]:
    """Open every scene once, so that bad ones are known and sizes are planned for before the work begins.

    Returns:
        A job for each scene that can be read; why the others cannot is added to `failures`.
    """
    jobs, destination = [], settings.destination
    with Notices(console) as notices:
        for notice in (notice for source in sources if isinstance(source, NoticedSource) for notice in source.notices):
            warn(notice, console)
        for source in sources:
            try:
                with (
                    blamed_on(source.shown),
                    adapter.open_scene(source, run.preprocessing.channels, destination.outputs) as scene,
                ):
                    size, told = (scene.height, scene.width, scene.frame_height), scene.notices
                    _require_sensors(run, scene.sensors, source)
                    digest = _digest(run, source, size, settings)
            except WsssError as error:
                if isinstance(error, UsageError):
                    raise  # it is about the command, not about one scene
                add_failure(failures, source, error)
                continue
            for notice in told:
                notices.tell(source.shown, notice)
            windows = {"wsss_window": str(settings.window), "wsss_overlap": f"{settings.overlap:g}"}
            tags = {**destination.tags, **(windows if scene.frame_height is None else {})}
            tags[JOB_TAG] = digest
            jobs.append(SceneJob(source, *size, replace(settings, destination=replace(destination, tags=tags))))
    return jobs


def _require_sensors(run: TrainedRun, there: Sequence[str], source: SceneSource) -> None:
    wanted = [sensor.name for sensor in run.preprocessing.channels.sensors]
    missing = [name for name in wanted if name not in there]
    if missing and run.preprocessing.fusion == "early":
        raise DataError(
            f"has no bands of {', '.join(missing)}; it has {', '.join(there)}",
            where=source.shown,
            fix="add its files (data.scenes says how they are found), or train with `fusion: per_sensor`",
        )


def _digest(run: TrainedRun, source: SceneSource, size: tuple[int, int, int | None], settings: Settings) -> str:
    """Identify everything that a scene's files depend on; the machine and the number of workers are not part of it."""
    parts = [
        REVISION,
        run.digests["segmentation" if settings.stage == "unet" else run.map_stage],
        run.recipe.pseudo_masks.model_dump(mode="json") if settings.stage == "vit" else None,
        source.fingerprint(),
        size,
        [settings.window, settings.overlap, settings.batch_size, str(settings.dtype)],
        settings.destination.outputs.model_dump(mode="json", exclude_defaults=True),
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def unfinished(
    adapter: SceneAdapter,
    jobs: Sequence[SceneJob],
    failures: dict[str, BaseException],
    console: Console,
    *,
    overwrite: bool,
    strict: bool,
) -> list[SceneJob]:
    """Return the scenes that have no mask of this job yet; UsageError where another's may not be overwritten.

    A mask that is kept although its scene's values are doubtful says so again, or is among the `failures` if `strict`.
    """
    waiting, others = [], []
    with Notices(console) as notices:
        for job in jobs:
            try:
                with blamed_on(job.source.name):
                    tags = adapter.scene_tags(job.source.name, job.settings.destination.folder)
            except WsssError:
                tags = {}  # a file that we cannot read is not ours to replace without being asked
            if overwrite or tags is None:
                waiting.append(job)
            elif tags.get(JOB_TAG) == job.settings.destination.tags[JOB_TAG]:
                console.print(f"{job.source.name}: unchanged, kept", highlight=False)
                doubt = doubtful(tags.get(VALUES_TAG))
                if doubt and strict:
                    add_failure(failures, job.source, _refused(job.source, doubt))
                elif doubt:
                    notices.tell(job.source.shown, f"{DOUBTFUL}: {doubt}")
            else:
                others.append(job.source.name)
    if others:
        shown = ", ".join(others[:3]) + (", ..." if len(others) > 3 else "")
        raise UsageError(
            f"{len(others)} masks exist already, made with another model, other settings or another file: {shown}",
            where=str(jobs[0].settings.destination.folder),
            fix="make them again with --overwrite, or choose another --out",
        )
    return waiting


def accepted(
    adapter: SceneAdapter, run: TrainedRun, jobs: Sequence[SceneJob], failures: dict[str, BaseException]
) -> list[SceneJob]:
    """Return the scenes whose values are as in training; why others are refused is added to `failures`.

    Each is read as a whole, because a mask's `VALUES_TAG` depends on pixels from all over its scene.
    """
    found = []
    for job in counted(jobs, "scenes read for --strict-values", len(jobs)):
        source, channels = job.source, run.preprocessing.channels
        try:
            with (
                blamed_on(source.shown),
                adapter.open_scene(source, channels, job.settings.destination.outputs) as scene,
            ):
                sampled = SampledScene(scene, channels)
                for window in _tiles(job):
                    sampled.read(window)
                doubt = doubtful(judge(run.preprocessing, sampled.values(0, job.height)))
            if doubt:
                raise _refused(source, doubt)
        except WsssError as error:
            add_failure(failures, source, error)
            continue
        found.append(job)
    return found


def _tiles(job: SceneJob) -> Iterator[Window]:
    """Yield windows that cover a scene once; frames are not cut."""
    height, width = (job.settings.window,) * 2 if job.frame_height is None else (job.frame_height, job.width)
    for row in range(0, job.height, height):
        for column in range(0, job.width, width):
            yield Window(row, column, min(height, job.height - row), min(width, job.width - column))


def _refused(source: SceneSource, doubt: str) -> DataError:
    """Return the error for a scene whose values lie far off those of training."""
    fix = "bring its values to training's unit, or leave out --strict-values"
    return DataError(f"refused (--strict-values): {doubt}", where=source.shown, fix=fix)
