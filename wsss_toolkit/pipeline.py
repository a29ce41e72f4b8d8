"""The stages of a run and their order; the only module that knows it.

Each stage is skipped where the digest of its inputs has not changed: its own sections of the recipe, and the
digests of the stages it reads from.
"""

import json
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout
from rich.console import Console
from rich.progress import Progress

from wsss_toolkit import __version__
from wsss_toolkit.domain import Adapter, ChannelTable, find_adapter
from wsss_toolkit.errors import DataError, UsageError
from wsss_toolkit.labels import (
    ImageLabels,
    derive_labels,
    frequency_table,
    label_warnings,
)
from wsss_toolkit.recipe import Recipe, check_against_adapter, recipe_digest, select_channels
from wsss_toolkit.report.report import build_report, print_report
from wsss_toolkit.run_folder import RunFolder, StageRecord, digest, file_for, write_json
from wsss_toolkit.tag_file import read_labels, write_labels

if TYPE_CHECKING:
    from wsss_toolkit.segmentation.predict import Prediction

STAGES = ("labels", "train", "pseudo_masks", "segmentation", "evaluation", "export")
"""The stages in order."""


def run(
    recipe: Recipe,
    *,
    out: Path,
    stages: Sequence[str] | None = None,
    device: str = "auto",
    overwrite: bool = False,
) -> Path:
    """Carry out a recipe and write ``report.json``.

    Args:
        recipe: What to do.
        out: The run's folder.
        stages: Which stages to carry out; None means all. Stages that they need must have finished.
        device: ``auto``, ``cpu`` or ``cuda``.
        overwrite: Whether stages that have finished are done again.

    Returns:
        The path of ``report.json``.

    Raises:
        UsageError: If a stage is not one of `STAGES` or lacks what it needs, or the folder holds something else.
        WsssError: If a stage fails.
    """
    chosen = _choose(recipe, stages)
    adapter = find_adapter(recipe.data.adapter)(recipe.data)
    adapter.prepare()
    check_against_adapter(recipe, adapter)
    folder = RunFolder(out, recipe.name)
    try:
        with FileLock(folder.path / ".lock", timeout=0):
            pipeline = Pipeline(recipe, adapter, folder, device)
            for stage in chosen:
                pipeline.carry_out(stage, overwrite=overwrite)
            return pipeline.write_report()
    except Timeout as error:
        raise UsageError(
            "another process is working in this folder", where=str(out), fix="wait, or choose another --out"
        ) from error


def _choose(recipe: Recipe, stages: Sequence[str] | None) -> tuple[str, ...]:
    unknown = [stage for stage in stages or () if stage not in STAGES]
    if unknown:
        raise UsageError(f"unknown stage {unknown[0]!r}", fix=f"stages are {', '.join(STAGES)}")
    if stages and "segmentation" in stages and recipe.segmentation is None:
        raise UsageError("the recipe has no segmentation section", fix="leave `segmentation` out of --stages")
    wanted = [stage for stage in STAGES if stages is None or stage in stages]
    return tuple(stage for stage in wanted if stage != "segmentation" or recipe.segmentation is not None)


@dataclass
class Pipeline:
    """One recipe, its data and its folder."""

    recipe: Recipe
    adapter: Adapter
    folder: RunFolder
    device: str

    def __post_init__(self) -> None:
        self.console = Console(stderr=True)

    @cached_property
    def channels(self) -> ChannelTable:
        """The bands that the recipe selects."""
        return select_channels(self.recipe.channels, self.adapter.sensors)

    @cached_property
    def splits(self) -> Mapping[str, tuple[str, ...]]:
        """Image keys by split."""
        return self.adapter.splits()

    @cached_property
    def data_digest(self) -> str:
        """Digest of the data's files and options."""
        return self.adapter.fingerprint()

    def inputs(self, stage: str) -> str:
        """Return the digest of everything that a stage's result depends on."""
        recipe = self.recipe
        own: dict[str, Any] = {
            "labels": lambda: [self.data_digest, recipe.labels, _content(recipe.labels.tag_file)],
            "train": lambda: [
                self.inputs("labels"),
                recipe.seed,
                recipe.channels,
                recipe.model,
                _content(recipe.model.weights),
                recipe.train.model_dump(mode="json", exclude={"cache", "workers"}),
            ],
            "pseudo_masks": lambda: [self.inputs("train"), recipe.pseudo_masks],
            "segmentation": lambda: [
                self.inputs("pseudo_masks"),
                recipe.segmentation,
                _content(recipe.segmentation.weights if recipe.segmentation else None),
            ],
            "evaluation": lambda: [self.inputs(self._masks_from), recipe.evaluation],
            "export": lambda: [self.inputs(self._masks_from), recipe.export],
        }[stage]()
        return digest(
            [
                __version__,
                stage,
                [part.model_dump(mode="json") if hasattr(part, "model_dump") else part for part in own],
            ]
        )

    @property
    def _masks_from(self) -> str:
        return "segmentation" if self.recipe.segmentation is not None else "pseudo_masks"

    def carry_out(self, stage: str, *, overwrite: bool) -> StageRecord:
        """Do a stage unless its result is there; return what is known of it."""
        wanted = self.inputs(stage)
        if overwrite:
            self.folder.discard(stage)
        elif (record := self.folder.find(stage, wanted)) is not None:
            self.console.print(f"[bold]{stage}[/bold]: unchanged, kept")
            return record
        for needed in self._needs(stage):
            self._require(needed, stage)
        self.console.print(f"[bold]{stage}[/bold]")
        work: Callable[[Path, dict[str, Any]], None] = getattr(self, f"_{stage}")
        with self.folder.work(stage, wanted) as (path, result):
            work(path, result)
        done = self.folder.record(stage)
        assert done is not None
        self.console.print(f"[bold]{stage}[/bold]: done in {done.seconds:.0f} s")
        return done

    def _needs(self, stage: str) -> tuple[str, ...]:
        before = STAGES[: STAGES.index(stage)]
        later = ("evaluation", "export")
        return tuple(
            s
            for s in before
            if s not in later and (s != "segmentation" or self.recipe.segmentation is not None)
        )

    def _require(self, needed: str, stage: str) -> StageRecord:
        record = self.folder.find(needed, self.inputs(needed))
        if record is None:
            raise UsageError(
                f"stage {stage} needs {needed}, which has not finished for this recipe",
                where=str(self.folder.path),
                fix=f"run it first: --stages {needed},{stage}",
            )
        return record

    def _labels(self, path: Path, result: dict[str, Any]) -> None:
        with Progress(console=self.console, transient=True) as bars:
            task = bars.add_task("image-level labels", total=None)
            labels = derive_labels(
                self.adapter,
                self.recipe.labels,
                progress=lambda done, total: bars.update(task, completed=done, total=total),
            )
        write_labels(labels, path)
        self.console.print(frequency_table(labels))
        warnings = label_warnings(labels)
        for warning in warnings:
            self.console.print(f"warning: {warning}", style="yellow", highlight=False)
        result["provenance"] = dict(labels.provenance)
        result["warnings"] = warnings
        result["splits"] = {
            split: {
                "images": len(keys),
                "without_class": len(keys) - len(labels.with_a_class(split)),
                "classes": labels.counts(split),
            }
            for split, keys in labels.splits.items()
        }

    def _read_labels(self) -> ImageLabels:
        return read_labels(self.folder.stage("labels"))

    def _train(self, path: Path, result: dict[str, Any]) -> None:
        from wsss_toolkit.training.fit import choose_device
        from wsss_toolkit.training.train import train_classifier

        labels, train = self._read_labels(), self.recipe.train
        keys = labels.with_a_class("train")
        val = labels.with_a_class("val") if "val" in labels.splits else ()
        result.update(
            train_classifier(
                self.adapter,
                self.channels,
                (keys, labels.matrix(keys)),
                (val, labels.matrix(val)) if val else None,
                channel_section=self.recipe.channels,
                model_section=self.recipe.model,
                train_section=train,
                seed=self.recipe.seed,
                folder=path,
                device=choose_device(self.device, train.devices, train.precision),
                metadata=self.tags,
            )
        )
        self.console.print(result["weights"], highlight=False)

    def _pseudo_masks(self, path: Path, result: dict[str, Any]) -> None:
        from wsss_toolkit.data import ImageDataset
        from wsss_toolkit.pseudo_masks.write import write_pseudo_masks
        from wsss_toolkit.scaling import Preprocessing
        from wsss_toolkit.training.fit import choose_device
        from wsss_toolkit.training.train import PREPROCESSING_FILE, image_geometry, load_trained

        labels, trained = self._read_labels(), self.folder.stage("train")
        prepare = Preprocessing.load(trained / PREPROCESSING_FILE)
        datasets: dict[str, ImageDataset] = {}
        for split in self.recipe.pseudo_masks.splits:
            known = labels.matrix(labels.splits[split]) if split in labels.splits else None
            if known is None and self.recipe.pseudo_masks.classes == "labels":
                raise DataError(
                    f"split {split!r} has no image-level labels", fix="use `pseudo_masks.classes: predicted`"
                )
            datasets[split] = ImageDataset(self.adapter, self.splits[split], prepare, labels=known)
        result["images"] = write_pseudo_masks(
            load_trained(trained),
            self.adapter,
            datasets,
            self.recipe.pseudo_masks,
            resize=image_geometry(self.recipe.model)[1],
            folder=path,
            device=choose_device(self.device, 1, "32").torch,
            batch_size=self.recipe.train.batch_size,
            workers=self.recipe.train.workers,
            tags=self.tags,
        )

    def _segmentation(self, path: Path, result: dict[str, Any]) -> None:
        from wsss_toolkit.scaling import Preprocessing
        from wsss_toolkit.segmentation.train import train_segmentation
        from wsss_toolkit.training.fit import choose_device
        from wsss_toolkit.training.train import PREPROCESSING_FILE

        section = self.recipe.segmentation
        assert section is not None
        index = self._pseudo_mask_files()
        labels = self._read_labels()
        # Images without a class were kept out of the classifier's training; their pseudo-masks teach nothing.
        kept = {
            split: [key for key in labels.with_a_class(split) if key in files]
            for split, files in index.items()
            if split in labels.splits
        }
        splits = {split: (keys, [index[split][key] for key in keys]) for split, keys in kept.items() if keys}
        if "train" not in splits:
            raise DataError("no training image has a pseudo-mask", fix="add train to pseudo_masks.splits")
        result.update(
            train_segmentation(
                self.adapter,
                Preprocessing.load(self.folder.stage("train") / PREPROCESSING_FILE),
                splits["train"],
                splits.get("val"),
                section=section,
                seed=self.recipe.seed,
                folder=path,
                device=choose_device(self.device, self.recipe.train.devices, self.recipe.train.precision),
                workers=self.recipe.train.workers,
            )
        )

    def _pseudo_mask_files(self) -> dict[str, dict[str, Path]]:
        root = self.folder.stage("pseudo_masks")
        index = json.loads((root / "index.json").read_text())
        return {split: {key: root / file for key, file in files.items()} for split, files in index.items()}

    def _evaluation(self, path: Path, result: dict[str, Any]) -> None:
        import torch

        from wsss_toolkit.data import read_pseudo_mask
        from wsss_toolkit.evaluation import classifier_scores, evaluate
        from wsss_toolkit.ground_truth import read_truth
        from wsss_toolkit.pseudo_masks.write import read_scores

        classes, section, labels = self.adapter.classes, self.recipe.evaluation, self._read_labels()
        result["classifier"] = {
            split: classifier_scores(
                torch.from_numpy(read_scores(self.folder.stage("pseudo_masks") / f"{split}.scores.csv")),
                torch.from_numpy(labels.matrix(labels.splits[split])),
            )
            for split in self.recipe.pseudo_masks.splits
            if split in labels.splits
        }
        files = self._pseudo_mask_files()
        result["pseudo_masks"] = {
            split: evaluate(
                (
                    (read_pseudo_mask(file), read_truth(self.adapter, key))
                    for key, file in files[split].items()
                ),
                classes,
            ).to_json()
            for split in section.pseudo_masks
        }
        if self.recipe.segmentation is None:
            return
        result["segmentation"] = {
            split: evaluate(
                (
                    (mask, read_truth(self.adapter, key))
                    for key, mask, _ in self._predictions(self.splits[split], f"evaluation {split}")
                ),
                classes,
            ).to_json()
            for split in section.segmentation
        }

    def _predictions(self, keys: Sequence[str], title: str) -> Iterator["Prediction"]:
        """Predict masks with the segmentation network, or where there is none with the classifier."""
        from wsss_toolkit.data import ImageDataset
        from wsss_toolkit.pseudo_masks.write import predict_pseudo_masks
        from wsss_toolkit.scaling import Preprocessing
        from wsss_toolkit.segmentation.predict import predict_masks
        from wsss_toolkit.segmentation.train import load_network
        from wsss_toolkit.training.fit import choose_device
        from wsss_toolkit.training.train import PREPROCESSING_FILE, image_geometry, load_trained

        trained, train = self.folder.stage("train"), self.recipe.train
        dataset = ImageDataset(self.adapter, keys, Preprocessing.load(trained / PREPROCESSING_FILE))
        device = choose_device(self.device, 1, "32").torch
        if self.recipe.segmentation is not None:
            network = load_network(self.folder.stage("segmentation"))
            batch = self.recipe.segmentation.batch_size
            yield from predict_masks(
                network, dataset, batch_size=batch, workers=train.workers, device=device, title=title
            )
            return
        yield from predict_pseudo_masks(
            load_trained(trained),
            dataset,
            # Exported images have no image-level labels, so the predicted classes are used.
            self.recipe.pseudo_masks.model_copy(update={"classes": "predicted"}),
            self.adapter.classes,
            resize=image_geometry(self.recipe.model)[1],
            device=device,
            batch_size=train.batch_size,
            workers=train.workers,
            title=title,
        )

    def _export(self, path: Path, result: dict[str, Any]) -> None:
        section = self.recipe.export
        result["masks"] = {}
        for split in section.splits:
            (path / split).mkdir(exist_ok=True)
            written = 0
            for key, mask, level in self._predictions(self.adapter.whole(split), f"export {split}"):
                beside = level if section.confidence else None
                self.adapter.write_mask(file_for(path / split, key), key, mask, beside, self.tags)
                written += 1
            result["masks"][split] = written

    @cached_property
    def tags(self) -> dict[str, str]:
        """Provenance that is stored in every mask and model."""
        labels = self.recipe.labels
        source = f"mask_coverage>={labels.min_coverage}" if labels.source == "mask_coverage" else "tag_file"
        tags = {
            "wsss_version": __version__,
            "wsss_recipe": self.recipe.name,
            "wsss_recipe_digest": recipe_digest(self.recipe),
            "wsss_label_source": source,
        }
        if self.adapter.notices:
            tags["wsss_notice"] = " ".join(self.adapter.notices)
        return tags

    def write_report(self) -> Path:
        """Write ``report.json`` from the stages that have finished for this recipe, and print it."""
        records = {
            stage: self.folder.find(stage, self.inputs(stage))
            for stage in STAGES
            if stage != "segmentation" or self.recipe.segmentation
        }
        report = build_report(
            self.recipe,
            {s: r for s, r in records.items() if r},
            notices=self.adapter.notices,
            versions=versions(),
        )
        write_json(self.folder.path / "report.json", report)
        print_report(report, self.console)
        return self.folder.path / "report.json"


def versions() -> dict[str, str]:
    """Return the versions that a result depends on."""
    packages = ("torch", "timm", "lightning", "rasterio", "segmentation-models-pytorch")
    return {
        "wsss-toolkit": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


def _content(path: str | None) -> list[int | str] | None:
    """Identify a file by name, size and time; None where the value names no file."""
    if path is None or not Path(path).is_file():
        return None
    stat = Path(path).stat()
    return [path, stat.st_size, stat.st_mtime_ns]
