"""A run as programs and notebooks use it: start one, or open one, and predict, label and read its report."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property, partial
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from wsss_toolkit.domain import ClassTable, Window, find_adapter
from wsss_toolkit.domain.progress import Watch, enter, watched
from wsss_toolkit.errors import UsageError, did_you_mean
from wsss_toolkit.images.given import GivenImages, sample_of
from wsss_toolkit.recipe import Recipe, adapter_findings, find_recipe, open_recipe, override_texts, select_channels
from wsss_toolkit.runs.folder import read_report

if TYPE_CHECKING:
    from wsss_toolkit.recipe.load import RecipeFile
    from wsss_toolkit.runs.stage_inputs import StageInputs
    from wsss_toolkit.runs.trained_run import TrainedRun

RecipeLike = str | PathLike[str] | Recipe
"""A recipe's file, the name of a bundled one, or a recipe that is loaded already."""

Changes = Mapping[str, object] | Sequence[str]
"""Changes of a recipe: plain values by dotted key, or ``KEY=VALUE`` texts as the command line takes them."""

Paths = str | PathLike[str] | Sequence[str | PathLike[str]]

Stage = Literal["vit", "unet"] | None
"""Which model predicts: the classifier, the segmentation network, or None for the network where there is one."""


class WsssWarning(UserWarning):
    """What the command line prints as ``warning: ...``: the run goes on, but its user should know."""


class Prediction(NamedTuple):
    """The mask of an image."""

    mask: NDArray[np.uint8]
    """Class indices, and 255 where the image holds no data: uint8 `h w`; `n h w` of a stack of frames."""
    confidence: NDArray[np.float32]
    """How sure the model is of each pixel's class, in 0..1 by steps of 1/255: float32 of the same shape."""


@dataclass(frozen=True)
class Run:
    """The folder of a run. Nothing of it is read before it is asked for."""

    path: Path
    device: str = "auto"
    """Where predictions are computed: ``auto``, ``cpu`` or ``cuda``."""

    @cached_property
    def trained(self) -> "TrainedRun":
        """What the folder says of the models: recipe, scaling, provenance.

        Raises:
            UsageError: If the run has trained no classifier yet.
        """
        from wsss_toolkit.runs.trained_run import open_run as open_trained

        return open_trained(self.path)

    @property
    def report(self) -> dict[str, Any]:
        """``report.json`` as it is now: figures, label source, seconds; docs/report.md explains every key."""
        return read_report(self.path)

    @property
    def classes(self) -> ClassTable:
        """Names and colours of the classes, in the order of mask values."""
        return self.trained.classes

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the bands in the order in which `predict` takes them, such as ``sentinel2.B02``."""
        return self.trained.preprocessing.channels.names

    def masks(
        self, split: str, stage: Literal["export", "pseudo_masks"] = "export"
    ) -> Iterator[tuple[str, NDArray[np.uint8]]]:
        """Read the masks that the run wrote for a split, one at a time.

        Args:
            split: Such as ``test``.
            stage: ``export`` for the masks of whole images, or ``pseudo_masks``.

        Returns:
            Pairs of an image's key and its mask, uint8 `h w`: class indices and 255.

        Raises:
            UsageError: If the run has written none for this split.
        """
        from wsss_toolkit.images.dataset import read_pseudo_mask

        folder = self.path / stage / split
        files = (path for path in sorted(folder.glob("*")) if path.suffix in (".png", ".tif"))
        found = [path for path in files if not path.stem.endswith(".confidence")]
        if not found:
            fix = f"add {split} to {stage}.splits, or run it"
            raise UsageError("the run has written no masks here", where=str(folder), fix=fix)
        return ((path.stem, read_pseudo_mask(path)) for path in found)

    @overload
    def predict(self, images: NDArray[Any], *, stage: Stage = ...) -> Prediction: ...
    @overload
    def predict(self, images: Sequence[NDArray[Any]], *, stage: Stage = ...) -> list[Prediction]: ...
    @overload
    def predict(self, images: Paths, *, stage: Stage = ...) -> dict[str, Prediction]: ...

    def predict(self, images: Any, *, stage: Stage = None) -> Any:
        """Predict the masks of images, each seen as a whole: what `wsss run` exports for such an image.

        Scenes that are too large for that are for `label`, which sees them window by window.

        Args:
            images: An array `c h w` or a list of such; or the path of a file or folder that the run's kind of data can
                open, or a list of such. Channels stand in the order of `bands`, values in the sensor's own units
                (0..255 of photographs, reflectance x 10000, decibels); NaN and masked pixels are missing.
            stage: ``unet`` for the segmentation network, ``vit`` for the classifier's class maps; None takes the
                network where there is one.

        Returns:
            A `Prediction`, or a list of them in the order of the arrays; of paths a dictionary by the names of what
            was found in them.

        Raises:
            UsageError: If an array has another number of channels or axes, a path does not exist, or the run has no
                such model.
            DataError: If a file cannot be read or lacks bands.
        """
        if isinstance(images, np.ndarray):
            return self._predict_arrays([images], stage)[0]
        images = [images] if isinstance(images, str | PathLike) else list(images)
        are_paths = images and isinstance(images[0], str | PathLike)
        return self._predict_paths(images, stage) if are_paths else self._predict_arrays(images, stage)

    def _predict_arrays(self, images: Sequence[Any], stage: Stage) -> list[Prediction]:
        channels = self.trained.preprocessing.channels
        samples = {str(index): sample_of(image, channels, str(index)) for index, image in enumerate(images)}
        readers = {key: partial(samples.__getitem__, key) for key in samples}
        return list(self._predict(GivenImages(readers), stage))

    def _predict_paths(self, paths: Sequence[str | PathLike[str]], stage: Stage) -> dict[str, Prediction]:
        from wsss_toolkit.scenes.job import scene_adapter

        adapter, channels = scene_adapter(self.trained), self.trained.preprocessing.channels
        found = {}
        for source in adapter.find_scenes([fspath(path) for path in paths], channels):
            with adapter.open_scene(source, channels) as scene:
                height = scene.frame_height or scene.height
                windows = [Window(row, 0, height, scene.width) for row in range(0, scene.height, height)]
                images = GivenImages({str(index): partial(scene.read, window) for index, window in enumerate(windows)})
                parts = list(self._predict(images, stage))
            stacked = (np.stack(layers) for layers in zip(*parts, strict=True))
            found[source.name] = parts[0] if scene.frame_height is None else Prediction(*stacked)
        return found

    def _predict(self, images: GivenImages, stage: Stage) -> Iterator[Prediction]:
        from wsss_toolkit.images.dataset import ImageDataset
        from wsss_toolkit.scenes.predictor import choose_stage

        network = choose_stage(self.trained, stage) == "unet"
        dataset = ImageDataset(images, tuple(images.readers), self.trained.preprocessing)
        with watched(_silent):
            for _, mask, level in self._work.predict(dataset, "", network=network):
                yield Prediction(mask, level.astype(np.float32) / np.float32(255))

    @cached_property
    def _work(self) -> "StageInputs":
        """What the stages of this run left; the models stay loaded."""
        from wsss_toolkit.runs.folder import RunFolder
        from wsss_toolkit.runs.stage_inputs import StageInputs

        recipe = self.trained.recipe
        # Arrays and open scenes are read in this process: they would have to be copied to others.
        recipe = recipe.model_copy(update={"machine": recipe.machine.model_copy(update={"workers": 0})})
        folder = RunFolder(self.path, recipe.name)
        return StageInputs(recipe, self.trained.adapter, folder, self.device)

    def label(
        self,
        scenes: Paths,
        *,
        out: str | PathLike[str] | None = None,
        set: Changes = (),
        progress: Watch | None = None,
        **options: Any,
    ) -> Path:
        """Label whole scenes of any size and write their masks: what `wsss pseudolabel` does.

        Args:
            scenes: Files, folders and globs.
            out: Folder of the masks; None means ``scenes`` in the run's folder.
            set: Changes of the recipe's `data` section.
            progress: Is told of each finished scene.
            options: The other options of `wsss pseudolabel`, with underscores: ``stage``, ``window``, ``overlap``,
                ``batch_size``, ``workers``, ``dask``, ``overwrite``, and what is written beside masks, such as
                ``confidence=True`` or ``polygons=True``.

        Returns:
            The folder of the masks.

        Raises:
            UsageError: If an option is unknown or makes no sense, or a mask would be overwritten.
            WsssError: If a scene failed; the others are finished all the same.
        """
        from wsss_toolkit.scenes.pseudolabel import Request, pseudolabel

        known = {option.name for option in fields(Request)}
        outputs = {name: value for name, value in options.items() if name not in known}
        written = getattr(self.trained.adapter, "Outputs", None)
        offered = {*known, *(written.model_fields if written is not None else ())}
        for name in outputs:
            if name not in offered:
                raise UsageError(f"label has no option {name!r}", fix=did_you_mean(name, sorted(offered)))
        inputs = [scenes] if isinstance(scenes, str | PathLike) else scenes
        request = Request(
            inputs=tuple(fspath(path) for path in inputs),
            run=self.path,
            out=None if out is None else Path(out),
            overrides=override_texts(set),
            outputs=outputs,
            **{"device": self.device, **{name: value for name, value in options.items() if name in known}},
        )
        with watched(progress or _silent):
            enter("label", "started")
            folder = pseudolabel(request, _WarningsOnly())
            enter("label", "done")
        return folder


def open_run(path: str | PathLike[str], *, device: str = "auto") -> Run:
    """Open the folder of a finished run, wherever it was made.

    Args:
        path: The folder that `run` or `wsss run` wrote.
        device: Where predictions are computed: ``auto``, ``cpu`` or ``cuda``.

    Raises:
        UsageError: If the folder holds no finished run; the message says what to do.
        DataError: If a file of it is missing or damaged.
    """
    opened = Run(Path(path), device)
    _ = opened.trained  # raises
    return opened


def run(
    recipe: RecipeLike,
    *,
    out: str | PathLike[str] | None = None,
    set: Changes = (),
    stages: Sequence[str] | None = None,
    device: str = "auto",
    overwrite: bool = False,
    progress: Watch | None = None,
) -> Run:
    """Carry out a recipe, from image-level labels to masks: what `wsss run` does.

    Stages whose inputs have not changed since an earlier call are kept, and a call that was interrupted goes on where
    it stopped. Nothing is printed; what the command line prints as a warning arrives as a `WsssWarning`.

    Args:
        recipe: A recipe's file, the name of a bundled one, or a recipe that is loaded already.
        out: Folder of the run; None means ``runs`` and the recipe's name.
        set: Changes of the recipe, such as ``{"train.epochs": 5}``.
        stages: Which stages to carry out, such as ``["labels", "train"]``; None means all.
        device: ``auto``, ``cpu`` or ``cuda``.
        overwrite: Whether stages that have finished are done again.
        progress: Is told of every stage and of the images in it; ``print`` will do.

    Raises:
        RecipeErrors: If the recipe has mistakes; all of them, one line each.
        UsageError: If a stage is unknown or lacks what it needs, or the folder holds something else.
        WsssError: If a stage fails.
    """
    loaded = resolve_recipe(recipe, set)
    from wsss_toolkit.runs import pipeline

    folder = Path("runs") / loaded.name if out is None else Path(out)
    chosen = [stages] if isinstance(stages, str) else stages
    with watched(progress or _silent):
        pipeline.run(loaded, out=folder, stages=chosen, device=device, overwrite=overwrite, console=_WarningsOnly())
    return Run(folder, device)


def check(recipe: RecipeLike, *, set: Changes = ()) -> tuple[str, ...]:
    """Check a recipe and its data without training anything: what `wsss check` does.

    Args:
        recipe: A recipe's file, the name of a bundled one, or a recipe that is loaded already.
        set: Changes of the recipe, such as ``{"data.root": "/data/dfc2020"}``.

    Returns:
        What should be known of the data, one sentence each; often nothing. A recipe that can be run returns.

    Raises:
        RecipeErrors: If the recipe has mistakes, or the data do not fit it; all of them, one line each.
        DataError: If the data cannot be read.
    """
    file = _opened(recipe, set)
    adapter = find_adapter(file.recipe.data.adapter)(file.recipe.data)
    file.refuse(adapter_findings(file.recipe, adapter))
    select_channels(file.recipe.channels, adapter.sensors)
    return adapter.notices


def resolve_recipe(recipe: RecipeLike, changes: Changes = ()) -> Recipe:
    """Return a recipe with changes; it is refused as by `run`.

    >>> resolve_recipe("quickstart", {"train.epochs": 5}).training.epochs
    5
    """
    return _opened(recipe, changes).recipe


def _opened(recipe: RecipeLike, changes: Changes) -> "RecipeFile":
    found = recipe if isinstance(recipe, Recipe) else find_recipe(fspath(recipe))
    return open_recipe(found, override_texts(changes))


def _silent(progress: object) -> None:
    """Be told of progress and say nothing, so that nobody else does."""


class _WarningsOnly(Console):
    """A console that hands warnings to Python's `warnings` and drops everything else."""

    def __init__(self) -> None:
        super().__init__(quiet=True)

    def print(self, *objects: Any, **options: Any) -> None:
        for text in objects:
            if isinstance(text, str) and text.startswith("warning: "):
                warnings.warn(text.removeprefix("warning: "), WsssWarning, stacklevel=2)
