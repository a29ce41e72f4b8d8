"""From a trained run and a list of inputs to masks of whole scenes: what `wsss pseudolabel` does."""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import get_args

import torch
from filelock import FileLock, Timeout
from rich.console import Console

from wsss_toolkit import __version__
from wsss_toolkit.domain import ModelDescription, SceneAdapter, SceneOption, SceneOutput, SceneSource
from wsss_toolkit.errors import DataError, UsageError, WsssError
from wsss_toolkit.runs.trained_run import TrainedRun, open_run
from wsss_toolkit.scenes.engine import dask_cluster, local_pool, run_here, run_on
from wsss_toolkit.scenes.job import SceneJob, Settings, discard_blocks, loaded, scene_adapter
from wsss_toolkit.scenes.predictor import ModelStage, choose_stage, default_window
from wsss_toolkit.scenes.progress import SceneProgress, failure_report

REVISION = 2
"""Raised when the same model and scene come to give another mask, so that older ones are not kept."""

JOB_TAG = "wsss_job"
"""The tag of a mask that says what it was made of."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked for.

    Attributes:
        inputs: Files, folders, globs.
        run: The trained run.
        out: Where masks go; None means ``scenes`` in the run's folder.
        overrides: Changes of the recipe, ``KEY=VALUE``, of its data section only.
        stage: ``unet`` or ``vit``; None takes the network where there is one.
        window: Side of the windows in pixels; None means the stage's own.
        overlap: Share of a window that it has in common with the next.
        batch_size: Windows at a time.
        device: ``auto``, ``cpu`` or ``cuda``.
        workers: Local processes.
        dask: Address of a Dask scheduler, or None.
        confidence: Whether to write the confidence layer.
        scores: Whether to write class scores.
        polygons: Whether to write polygons.
        min_area: Smallest area of a polygon in square metres.
        require_crs: Whether a scene without a coordinate reference system is refused.
        deidentify: Whether the files leave out whom the scenes show.
        overwrite: Whether existing masks are made again.
    """

    inputs: tuple[str, ...]
    run: Path
    out: Path | None = None
    overrides: tuple[str, ...] = ()
    stage: ModelStage | None = None
    window: int | None = None
    overlap: float = 0.5
    batch_size: int = 8
    device: str = "auto"
    workers: int = 1
    dask: str | None = None
    confidence: bool = False
    scores: bool = False
    polygons: bool = False
    min_area: float = 0.0
    require_crs: bool = False
    deidentify: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        """Refuse numbers that make no sense; the command line has refused them before.

        Raises:
            UsageError: If there is one.
        """
        for name, low, high in (("window", 16, math.inf), ("overlap", 0, 0.9), ("batch_size", 1, math.inf)):
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise UsageError(f"{name} is {value}", fix=f"choose {low} or more" + f", up to {high}" * (high < 1))


def pseudolabel(request: Request, console: Console) -> Path:
    """Label scenes.

    Returns:
        The folder of the masks.

    Raises:
        UsageError: If the request does not make sense, or a mask would be overwritten.
        WsssError: If a scene failed; the others are finished all the same.
    """
    run = open_run(request.run, _data_only(request.overrides))
    adapter = scene_adapter(run)
    _refuse_unknown_options(request, run, adapter)
    settings = _settings(request, run)
    sources = adapter.find_scenes(request.inputs, run.preprocessing.channels)
    folder = settings.output.folder
    _make_folder(folder)
    try:
        with FileLock(folder / ".lock", timeout=0):
            failures: dict[str, BaseException] = {}
            jobs = _open_all(adapter, run, sources, settings, failures, console)
            waiting = _unfinished(adapter, jobs, folder, request.overwrite, console)
            for job in waiting:
                discard_blocks(job)
            failures |= _carry_out(waiting, request, console)
            if len(failures) < len(sources):
                for path in adapter.describe_scenes(folder, _describe(settings, run, request))[:1]:
                    console.print(f"catalogue: {path}", highlight=False, soft_wrap=True)
    except Timeout as error:
        raise UsageError(
            "another process is writing into this folder", where=str(folder), fix="wait, or choose another --out"
        ) from error
    except PermissionError as error:
        raise _not_writable(folder, error) from error
    if failures:
        raise failure_report(failures, len(sources))
    return folder


def _data_only(overrides: tuple[str, ...]) -> tuple[str, ...]:
    for override in overrides:
        if not override.startswith("data."):
            raise UsageError(
                f"--set {override}: the model is trained; only keys of `data` can be changed here",
                fix="e.g. --set data.scenes.sensors.sentinel2.path='{scene}.tif'",
            )
    return overrides


def _refuse_unknown_options(request: Request, run: TrainedRun, adapter: SceneAdapter) -> None:
    for option in get_args(SceneOption):
        if getattr(request, option) and option not in adapter.scene_options:
            raise UsageError(
                f"--{option.replace('_', '-')} has no meaning for scenes of the adapter {run.recipe.data.adapter!r}",
                fix="leave it out",
            )


def _settings(request: Request, run: TrainedRun) -> Settings:
    if request.dask is not None and request.workers > 1:
        raise UsageError("--workers and --dask exclude each other", fix="the cluster decides how many workers it has")
    if request.min_area and not request.polygons:
        raise UsageError("--min-area is for polygons", fix="add --polygons, or leave it out")
    stage = choose_stage(run, request.stage)
    window = request.window or default_window(run, stage)
    tags = {
        **run.tags,
        "wsss_version": __version__,
        "wsss_stage": stage,
    }
    folder = request.out if request.out is not None else request.run / "scenes"
    output = SceneOutput(
        folder=folder.absolute(),
        confidence=request.confidence,
        scores=request.scores,
        polygons=request.polygons,
        min_area=request.min_area,
        tags=tags,
        deidentify=request.deidentify,
    )
    return Settings(
        run=request.run.absolute(),
        overrides=request.overrides,
        stage=stage,
        device=request.device,
        window=window,
        overlap=request.overlap,
        batch_size=request.batch_size,
        require_crs=request.require_crs,
        output=output,
    )


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise UsageError("is a file, not a folder", where=str(folder), fix="choose another --out") from error
    except OSError as error:
        raise _not_writable(folder, error) from error


def _not_writable(folder: Path, error: OSError) -> WsssError:
    return WsssError(
        f"cannot write into the output folder ({error.strerror or error})",
        where=str(folder),
        fix="choose another --out",
    )


def _open_all(
    adapter: SceneAdapter,
    run: TrainedRun,
    sources: Sequence[SceneSource],
    settings: Settings,
    failures: dict[str, BaseException],
    console: Console,
) -> list[SceneJob]:
    """Open every scene once, so that bad ones are known and sizes are planned for before the work begins."""
    jobs = []
    for source in sources:
        try:
            with adapter.open_scene(source, run.preprocessing.channels, require_crs=settings.require_crs) as scene:
                size, notices = (scene.height, scene.width, scene.frame_height), scene.notices
                _require_sensors(run, scene.sensors, source)
        except WsssError as error:
            failures[source.shown] = error
            continue
        for notice in notices:
            console.print(f"warning: {source.shown}: {notice}", style="yellow", highlight=False, soft_wrap=True)
        windows = {"wsss_window": str(settings.window), "wsss_overlap": f"{settings.overlap:g}"}
        tags = {
            **settings.output.tags,
            **(windows if scene.frame_height is None else {}),
            JOB_TAG: _digest(run, source, size, settings),
        }
        output = replace(settings.output, tags=tags)
        jobs.append(SceneJob(source, *size, replace(settings, output=output)))
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
    output = settings.output
    parts = [
        REVISION,
        run.digests["segmentation" if settings.stage == "unet" else "train"],
        run.recipe.pseudo_masks.model_dump(mode="json") if settings.stage == "vit" else None,
        source.fingerprint(),
        size,
        [settings.window, settings.overlap, settings.batch_size],
        [output.confidence, output.scores, output.polygons, output.min_area, output.deidentify],
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _unfinished(
    adapter: SceneAdapter, jobs: Sequence[SceneJob], folder: Path, overwrite: bool, console: Console
) -> list[SceneJob]:
    """Return the scenes that have no mask of this job yet.

    Raises:
        UsageError: If there is a mask from another job, and it may not be overwritten.
    """
    waiting, others = [], []
    for job in jobs:
        try:
            tags = adapter.scene_tags(job.source.name, folder)
        except WsssError:
            tags = {}  # a file that we cannot read is not ours to replace without being asked
        if overwrite or tags is None:
            waiting.append(job)
        elif tags.get(JOB_TAG) == job.settings.output.tags[JOB_TAG]:
            console.print(f"{job.source.name}: unchanged, kept", highlight=False)
        else:
            others.append(job.source.name)
    if others:
        raise UsageError(
            f"{len(others)} masks exist already, made with another model, other settings or another file: "
            + ", ".join(others[:3])
            + (", ..." if len(others) > 3 else ""),
            where=str(folder),
            fix="make them again with --overwrite, or choose another --out",
        )
    return waiting


def _carry_out(jobs: Sequence[SceneJob], request: Request, console: Console) -> dict[str, BaseException]:
    if not jobs:
        return {}
    with SceneProgress(jobs, console) as progress:
        if request.dask is not None:
            with dask_cluster(request.dask) as executor:
                run_on(executor, jobs, progress)
        elif request.workers > 1:
            with local_pool(request.workers) as executor:
                run_on(executor, jobs, progress)
        else:
            run_here(jobs, progress)
    return progress.failures


def _describe(settings: Settings, run: TrainedRun, request: Request) -> ModelDescription:
    # This machine may lack the GPU that a cluster's workers have.
    predictor = loaded(settings if request.dask is None else replace(settings, device="cpu"))[1]
    return ModelDescription(
        name=run.recipe.name,
        stage=settings.stage,
        architecture=predictor.architecture,
        channels=run.preprocessing.channels,
        scaling=tuple(asdict(band) for band in run.preprocessing.bands),
        classes=run.classes,
        window=settings.window,
        overlap=settings.overlap,
        parameters=predictor.parameters,
        weights=predictor.weights,
        framework=("pytorch", torch.__version__),
        tags=settings.output.tags,
        notices=run.adapter.notices,
    )
