"""A finished run as others use it: its recipe, its classes, its scaling and where its models lie."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wsss_toolkit.domain import Adapter, ClassTable, find_adapter
from wsss_toolkit.errors import DataError, UsageError
from wsss_toolkit.heads.saved import MODEL_FILE, load_model_tags
from wsss_toolkit.images.scaling import PREPROCESSING_FILE, Preprocessing
from wsss_toolkit.recipe import Recipe, open_recipe
from wsss_toolkit.runs.folder import RECIPE_FILE, RECORD_FILE, REPORT_FILE, is_supervised, read_record, read_report

if TYPE_CHECKING:
    import torch

    from wsss_toolkit.pseudo_masks.mapper import Mapper

LARGEST_SIDE = 2**20
"""No image that anything was trained on is as high or wide."""

MODEL_STAGES = ("train", "consensus", "segmentation")
"""The stages of a run that leave a model."""


@dataclass(frozen=True, slots=True)
class TrainedRun:
    """What a run folder says, without its data: the folder may have moved to another machine."""

    path: Path
    recipe: Recipe
    """The recipe, with the changes that were asked for on top."""
    adapter: Adapter
    """The recipe's adapter; nothing of its data has been read."""
    preprocessing: Preprocessing
    """How bands become input."""
    tags: dict[str, str]
    """Provenance that was stored with the classifier: version, recipe digest, label source."""
    image_size: tuple[int, int]
    """Height and width of the training images in pixels, before any resizing."""
    exclusive: bool
    """Whether the classifier was trained for exactly one class per image."""
    digests: dict[str, str]
    """Digest of each stage that left a model."""

    @property
    def classes(self) -> ClassTable:
        """Names and colours in the order of mask values."""
        return self.adapter.classes

    @property
    def has_network(self) -> bool:
        """Whether a segmentation network was trained."""
        return "segmentation" in self.digests

    @property
    def map_stage(self) -> str:
        """The stage whose model makes the class maps."""
        return "train" if self.recipe.consensus is None else "consensus"

    def require_attention(self) -> None:
        """Refuse to explain masks that no attention made.

        Raises:
            UsageError: If the run's masks come from its consensus.
        """
        if self.recipe.consensus is not None:
            raise UsageError(
                "the masks of this run come from its consensus; there is no attention of class tokens to explain",
                where=str(self.path),
                fix="look at the class maps in report.html",
            )

    def mapper(self, device: "torch.device") -> "Mapper":
        """Load the classifier as the recipe uses it; a `DataError` says that its file is missing or damaged."""
        from wsss_toolkit.pseudo_masks.opening import open_mapper

        return open_mapper(self.path, self.recipe, self.classes, device, exclusive=self.exclusive)

    def stage(self, stage: str) -> Path:
        """Return the folder of a finished stage."""
        return self.path / stage


def open_run(path: Path, overrides: Sequence[str] = ()) -> TrainedRun:
    """Open the folder of a finished run.

    Args:
        path: The folder that `wsss run` wrote.
        overrides: ``KEY=VALUE`` changes of the recipe that do not touch the models, such as ``data.scenes...``.

    Raises:
        UsageError: If the folder holds no run, or one that has not finished or was trained on ground-truth masks; the
            message says what to do.
        DataError: If a file of it is missing or damaged.
    """
    if not (path / REPORT_FILE).is_file():
        raise _unfinished(path)
    report = read_report(path)
    if "stages" not in report["run"]:
        raise UsageError("made by an older version", where=str(path), fix="run the recipe again with wsss run")
    if is_supervised(report):
        what = "a supervised row of a comparison: it was trained on ground-truth masks and has no class tokens"
        raise UsageError(what, where=str(path), fix="name the folder of another row, or of a run")
    trained = {stage: digest for stage, digest in report["run"]["stages"].items() if stage in MODEL_STAGES}
    if "train" not in trained or not (path / RECIPE_FILE).is_file():
        raise _unfinished(path)
    records = {stage: read_record(path / stage) for stage in trained}
    changed = [stage for stage, digest in trained.items() if records[stage].digest != digest]
    if changed:
        what = f"stage {changed[0]} was done again after the run's last report, so its models may not belong together"
        raise UsageError(what, where=str(path), fix="finish the run with wsss run")
    recipe = open_recipe(path / RECIPE_FILE, overrides).recipe
    result = records["train"].result
    if "image_size" not in result:
        raise UsageError("made by an older version", where=str(path), fix="run the recipe again with wsss run")
    size, exclusive = _size(result["image_size"], path), bool(result.get("exclusive"))
    adapter = find_adapter(recipe.data.adapter)(recipe.data)
    preprocessing = Preprocessing.load(path / "train" / PREPROCESSING_FILE)
    tags = load_model_tags(path / "train" / MODEL_FILE)
    return TrainedRun(path, recipe, adapter, preprocessing, tags, size, exclusive, trained)


def _size(value: object, path: Path) -> tuple[int, int]:
    match value:
        case [int() as height, int() as width] if 0 < height < LARGEST_SIDE and 0 < width < LARGEST_SIDE:
            return height, width
    fix = "delete the folder train and run the recipe again"
    raise DataError(f"is damaged (image_size is {value!r})", where=str(path / "train" / RECORD_FILE), fix=fix)


def _unfinished(path: Path) -> UsageError:
    if not path.exists():
        return UsageError("no such folder", where=str(path), fix="name the folder of a finished run, e.g. runs/NAME")
    what = "not a finished run: it lacks report.json, recipe.yaml or the stage train"
    return UsageError(what, where=str(path), fix="finish it with wsss run, or name the folder of another run")
