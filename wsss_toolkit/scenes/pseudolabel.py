"""From a trained run and a list of inputs to masks of whole scenes: what `wsss pseudolabel` does."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from pydantic import ValidationError
from rich.console import Console

from wsss_toolkit import __version__
from wsss_toolkit.compute import choose_device, prediction_dtype
from wsss_toolkit.domain import Destination, HidesScenes, ModelDescription, SceneAdapter, SceneOutputs, SceneSource
from wsss_toolkit.domain.unread import ListingAdapter, by_kind
from wsss_toolkit.errors import UsageError, WsssError, blamed_on
from wsss_toolkit.files import remove_leftovers
from wsss_toolkit.recipe.messages import explain
from wsss_toolkit.runs.trained_run import TrainedRun, open_run
from wsss_toolkit.scenes.blocks import remove_blocks
from wsss_toolkit.scenes.engine import dask_cluster, local_pool, run_here, run_on
from wsss_toolkit.scenes.job import SceneJob, Settings, discard_blocks, loaded, scene_adapter
from wsss_toolkit.scenes.notices import warn
from wsss_toolkit.scenes.plan import accepted, open_all, unfinished
from wsss_toolkit.scenes.predictor import ModelStage, choose_stage, choose_windows
from wsss_toolkit.scenes.progress import SceneProgress, failure_report


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked for."""

    inputs: tuple[str, ...]
    """Files, folders, globs."""
    run: Path
    """The trained run."""
    out: Path | None = None
    """Where masks go; None means ``scenes`` in the run's folder."""
    overrides: tuple[str, ...] = ()
    """Changes of the recipe, ``KEY=VALUE``, of its data section and of `machine.precision` only."""
    stage: ModelStage | None = None
    """``unet`` or ``vit``; None takes the network where there is one."""
    window: int | None = None
    """Side of the windows in pixels; None means the stage's own."""
    overlap: float | None = None
    """Share of a window that it has in common with the next; None means the stage's own."""
    batch_size: int | None = None
    """Windows at a time; None means as many as the stage takes."""
    device: str = "auto"
    """``auto``, ``cpu`` or ``cuda``."""
    workers: int = 1
    """Local processes."""
    dask: str | None = None
    """Address of a Dask scheduler, or None."""
    outputs: Mapping[str, object] = field(default_factory=dict)
    """What is written besides the masks: values of fields of the adapter's `Outputs`."""
    overwrite: bool = False
    """Whether existing masks are made again."""
    strict_values: bool = False
    """Whether scenes are refused whose values lie far off those of training."""

    def __post_init__(self) -> None:
        """Raise UsageError for numbers that make no sense; the command line has refused them before."""
        limits = (("window", 16, 2**13), ("overlap", 0, 0.9), ("batch_size", 1, 2**16), ("workers", 1, 1024))
        for name, low, high in limits:
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise UsageError(f"{name} is {value}", fix=f"choose {low} or more, up to {high}")


def pseudolabel(request: Request, console: Console) -> Path:
    """Label scenes, and return the folder of the masks.

    Raises:
        UsageError: If the request does not make sense, or a mask would be overwritten.
        WsssError: If a scene failed; the others are finished all the same.
    """
    run = open_run(request.run, _allowed(request.overrides))
    adapter = scene_adapter(run)
    if run.preprocessing.quantiles is None:
        what, fix = "does not know its training images' values (older version)", "run the recipe again with wsss run"
        if request.strict_values:
            raise UsageError(f"--strict-values: the run {what}", where=str(request.run), fix=fix)
        warn(f"{request.run}: {what}, so those of scenes are not compared with them; {fix}", console)
    settings = _settings(request, run, _outputs(request.outputs, adapter, run.recipe.data.adapter))
    sources = _find(adapter, run, request, settings)
    folder = settings.destination.folder
    _make_folder(folder)
    try:
        with _locked(folder):
            failures: dict[str, BaseException] = {}
            if isinstance(adapter, HidesScenes):
                sources, notices = adapter.hide_scenes(sources, settings.destination)
                for notice in notices:
                    console.print(notice, highlight=False, soft_wrap=True, markup=False)
            jobs = open_all(adapter, run, sources, settings, failures, console)
            strict = request.strict_values
            waiting = unfinished(adapter, jobs, failures, console, overwrite=request.overwrite, strict=strict)
            if strict:
                waiting = accepted(adapter, run, waiting, failures)
            for place in (folder, *(entry for entry in folder.iterdir() if entry.is_dir())):
                remove_leftovers(place, shared=True)
            remove_blocks(folder)
            if len(failures) < len(sources):
                model = _describe(settings, run, request)  # one that cannot be loaded is no scene's fault
                _carry_out(waiting, request, console, failures)
                if len(failures) < len(sources):
                    _catalogue(adapter, folder, model, failures, console)
    except PermissionError as error:
        raise _not_writable(folder, error) from error
    if isinstance(adapter, ListingAdapter) and (left := adapter.unread(request.inputs, sources)):
        # What looks like a suffix may be half of a name.
        listed = f"{len(left)} files" if _hides(adapter, settings) else by_kind(left)
        warn(f"not read: {listed}", console)
    if failures:
        cause = None if _hides(adapter, settings) else next(iter(failures.values()))  # tracebacks name files
        raise failure_report(failures, len(sources)) from cause
    return folder


def _locked(folder: Path) -> AbstractContextManager[object]:
    """Take the folder's lock; what is returned is a context manager that lets it go."""
    try:
        return FileLock(folder / ".lock", timeout=0).acquire()
    except Timeout as error:
        what, fix = "another process is writing into this folder", "wait, or choose another --out"
        raise UsageError(what, where=str(folder), fix=fix) from error
    except OSError as error:
        raise _not_writable(folder, error) from error


def _hides(adapter: SceneAdapter, settings: Settings) -> bool:
    return isinstance(adapter, HidesScenes) and adapter.hides(settings.destination.outputs)


def _find(adapter: SceneAdapter, run: TrainedRun, request: Request, settings: Settings) -> tuple[SceneSource, ...]:
    try:
        with blamed_on("--tiles"):
            return adapter.find_scenes(request.inputs, run.preprocessing.channels)
    except WsssError as error:
        if not _hides(adapter, settings):
            raise
        fix = "give the command without --deidentify to see which"
        raise type(error)("an input is not there, holds no scene or cannot be read", fix=fix) from None


def _allowed(overrides: tuple[str, ...]) -> tuple[str, ...]:
    for override in overrides:
        if not override.startswith(("data.", "machine.precision=")):
            raise UsageError(
                f"--set {override}: the model is trained; only `data` and `machine.precision` can be changed here",
                fix="e.g. --set data.scenes.sensors.sentinel2.path='{scene}.tif'",
            )
    return overrides


def _outputs(wanted: Mapping[str, object], adapter: SceneAdapter, name: str) -> SceneOutputs:
    """Return what is to be written as a value of the adapter's model; `name` is the adapter's."""
    for option in wanted:
        if option not in adapter.Outputs.model_fields:
            raise UsageError(f"{_flag(option)} has no meaning for scenes of the adapter {name!r}", fix="leave it out")
    try:
        return adapter.Outputs.model_validate(wanted)
    except ValidationError as error:
        finding = explain(error.errors(), wanted, adapter.Outputs)[0]
        where = _flag(str(finding.path[0])) if finding.path else None  # without a path it is about several flags
        raise UsageError(finding.message, where=where) from error


def _flag(option: str) -> str:
    return f"--{option.replace('_', '-')}"


def _settings(request: Request, run: TrainedRun, outputs: SceneOutputs) -> Settings:
    if request.dask is not None and request.workers > 1:
        raise UsageError("--workers and --dask exclude each other", fix="the cluster decides how many workers it has")
    stage = choose_stage(run, request.stage)
    tags = {**run.tags, "wsss_version": __version__, "wsss_stage": stage}
    folder = request.out if request.out is not None else request.run / "scenes"
    windows = choose_windows(run, stage, request.window, request.overlap, request.batch_size)
    return Settings(
        run=request.run.absolute(),
        overrides=request.overrides,
        stage=stage,
        device=request.device,
        dtype=_dtype(request, run),
        window=windows.side,
        overlap=windows.overlap,
        batch_size=windows.batch_size,
        destination=Destination(folder.absolute(), outputs, tags),
    )


def _dtype(request: Request, run: TrainedRun) -> torch.dtype:
    """Choose what networks compute in: by this machine's processor, but a cluster may be of several kinds."""
    precision = run.recipe.machine.precision
    if request.dask is not None:
        return prediction_dtype("32" if precision == "auto" else precision, torch.device("cpu"))
    return prediction_dtype(precision, choose_device(request.device, 1, "32").torch)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise UsageError("is a file, not a folder", where=str(folder), fix="choose another --out") from error
    except OSError as error:
        raise _not_writable(folder, error) from error


def _not_writable(folder: Path, error: OSError) -> WsssError:
    what = f"cannot write into the output folder ({error.strerror or error})"
    return WsssError(what, where=str(folder), fix="choose another --out")


def _carry_out(
    jobs: Sequence[SceneJob], request: Request, console: Console, failures: dict[str, BaseException]
) -> None:
    if not jobs:
        return
    with SceneProgress(jobs, console, failures) as progress:
        if request.dask is None and request.workers == 1:
            run_here(jobs, progress)
            return
        try:
            with dask_cluster(request.dask) if request.dask else local_pool(request.workers) as executor:
                run_on(executor, jobs, progress)
        finally:
            for job in jobs:
                discard_blocks(job)


def _catalogue(
    adapter: SceneAdapter,
    folder: Path,
    model: ModelDescription,
    failures: dict[str, BaseException],
    console: Console,
) -> None:
    """Have the finished scenes described; a mask that cannot be is a failure, named beside those of scenes."""
    try:
        with blamed_on(str(folder), "see --debug"):
            paths = adapter.describe_scenes(folder, model)
    except WsssError as error:
        failures[error.where or str(folder)] = error
        return
    for path in paths[:1]:
        console.print(f"catalogue: {path}", highlight=False, soft_wrap=True, markup=False)


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
        tags=settings.destination.tags,
        notices=run.adapter.notices,
    )
