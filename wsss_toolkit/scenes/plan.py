"""Which scenes are to be labelled: each is opened once, and what its mask depends on is told by a digest."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace

from rich.console import Console

from wsss_toolkit.domain import SceneAdapter, SceneSource
from wsss_toolkit.errors import DataError, UsageError, WsssError, blamed_on
from wsss_toolkit.runs.trained_run import TrainedRun
from wsss_toolkit.scenes.job import JOB_TAG, SceneJob, Settings, refused
from wsss_toolkit.scenes.progress import DOUBTFUL, add_failure, warn
from wsss_toolkit.scenes.sampled import VALUES_TAG, doubtful

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
    for source in sources:
        try:
            with (
                blamed_on(source.shown),
                adapter.open_scene(source, run.preprocessing.channels, destination.outputs) as scene,
            ):
                size, notices = (scene.height, scene.width, scene.frame_height), scene.notices
                _require_sensors(run, scene.sensors, source)
                digest = _digest(run, source, size, settings)
        except WsssError as error:
            if isinstance(error, UsageError):
                raise  # it is about the command, not about one scene
            add_failure(failures, source, error)
            continue
        for notice in notices:
            warn(f"{source.shown}: {notice}", console)
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
) -> list[SceneJob]:
    """Return the scenes that have no mask of this job yet; UsageError where another's may not be overwritten.

    A mask that is kept although its scene's values are doubtful says so again, or is among the `failures`.
    """
    waiting, others = [], []
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
            if doubt and job.settings.strict_values:
                add_failure(failures, job.source, refused(job.source, doubt))
            elif doubt:
                warn(f"{job.source.shown}: {DOUBTFUL}: {doubt}", console)
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
