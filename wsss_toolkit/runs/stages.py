"""What each stage does, given the folders of the stages before it; `pipeline` knows when."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import Progress

from wsss_toolkit.compute import choose_device
from wsss_toolkit.domain.adapter import ComparingAdapter
from wsss_toolkit.domain.progress import count
from wsss_toolkit.errors import DataError
from wsss_toolkit.files import file_for
from wsss_toolkit.images.sensors import require_sensors
from wsss_toolkit.labels.image_labels import ImageLabels, derive_labels, frequency_table, label_warnings
from wsss_toolkit.labels.tag_file import write_labels
from wsss_toolkit.runs.stage_inputs import StageInputs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from wsss_toolkit.pseudo_masks.shown_maps import ClassMaps
    from wsss_toolkit.segmentation.self_training import Relabelling

MAPS_SHOWN = 6
"""Class maps of each image in report.html at most."""


@dataclass
class StageWork(StageInputs):
    """The work of every stage: each method fills a folder and hands plain values on."""

    console: Console
    """Where tables and warnings go."""
    scratch: Path | None = None
    """Where a process that only helps another to train leaves its own copy of the results; None for others."""

    def labels(self, path: Path, result: dict[str, Any]) -> None:
        """Derive the image-level labels and print how often each class occurs."""
        what = "image-level labels"
        read = {split: keys for split, keys in self.splits.items() if split in self._splits_read()}
        require_sensors(self.adapter, self.channels, self.recipe.channels.fusion, read)
        with Progress(console=self.console, transient=True) as bars:
            task = bars.add_task(what, total=None)

            def progress(done: int, total: int) -> None:
                bars.update(task, completed=done, total=total)
                count(what, done, total)

            labels = derive_labels(self.adapter, self.recipe.labels, progress=progress)
        write_labels(labels, path)
        self.console.print(frequency_table(labels))
        alike = self.adapter.alike_across_splits() if isinstance(self.adapter, ComparingAdapter) else ()
        warnings = [*label_warnings(labels), *alike]
        for warning in warnings:
            self.console.print(f"warning: {warning}", style="yellow", highlight=False, markup=False)
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

    def _splits_read(self) -> set[str]:
        """Return the splits whose images the run reads."""
        recipe = self.recipe
        read = {"train", "val", *recipe.pseudo_masks.splits, *recipe.evaluation.pseudo_masks, *recipe.export.splits}
        if recipe.segmentation is not None:
            read |= set(recipe.evaluation.segmentation)
        return read

    def train(self, path: Path, result: dict[str, Any]) -> None:
        """Train the classifier on images that show a class and, where there is a background, on those without any."""
        from wsss_toolkit.images.other_splits import doubtful_splits
        from wsss_toolkit.images.scaling import PREPROCESSING_FILE, Preprocessing
        from wsss_toolkit.training.train import LabelledData, train_classifier

        labels = self.image_labels()
        keys = labels.usable("train")
        val = labels.usable("val") if "val" in labels.splits else ()
        validation = (val, labels.matrix(val)) if val else None
        data = LabelledData(self.adapter, self.channels, (keys, labels.matrix(keys)), validation)
        device = choose_device(self.device, self.recipe.machine.devices, self.recipe.machine.precision)
        made = train_classifier(
            data, recipe=self.recipe, folder=path, results=self.scratch or path, device=device, metadata=self.tags
        )
        result.update(made)
        prepare = Preprocessing.load((self.scratch or path) / PREPROCESSING_FILE)
        result["warnings"] += doubtful_splits(self.adapter, prepare, self.splits)
        for warning in result["warnings"]:
            self.console.print(f"warning: {warning}", style="yellow", highlight=False, markup=False)
        self.console.print(result["weights"], highlight=False, markup=False)

    def consensus(self, path: Path, result: dict[str, Any]) -> None:
        """Fit the heads that draw the masks to the seeds of all training images."""
        from wsss_toolkit.images.dataset import ImageDataset
        from wsss_toolkit.pseudo_masks.consensus.stage import fit_consensus

        labels, recipe, section = self.image_labels(), self.recipe, self.recipe.consensus
        assert section is not None
        keys = labels.usable("train")
        dataset = ImageDataset(self.adapter, keys, self.preprocessing(), labels=labels.matrix(keys))
        seeding = None
        if not section.own_seeds:
            masks = recipe.pseudo_masks.model_copy(update={"source": section.seeds, "classes": "labels", "refine": {}})
            seeding = self.mapper(recipe.model_copy(update={"consensus": None, "pseudo_masks": masks}))
        trained = self.folder.stage("train") if section.tokens == "trained" else None
        device = choose_device(self.device, 1, "32").torch
        result.update(fit_consensus(dataset, recipe, path, device, trained=trained, seeding=seeding, tags=self.tags))

    def pseudo_masks(self, path: Path, result: dict[str, Any]) -> None:
        """Write the pseudo-masks."""
        from wsss_toolkit.images.dataset import ImageDataset
        from wsss_toolkit.pseudo_masks.write import write_pseudo_masks

        labels, prepare = self.image_labels(), self.preprocessing()
        datasets: dict[str, ImageDataset] = {}
        for split in self.recipe.pseudo_masks.splits:
            known = labels.matrix(labels.splits[split]) if split in labels.splits else None
            if known is None and self.recipe.pseudo_masks.of_split(split).classes == "labels":
                fix = "use `pseudo_masks.classes: predicted`"
                raise DataError(f"split {split!r} has no image-level labels", fix=fix)
            datasets[split] = ImageDataset(self.adapter, self.splits[split], prepare, labels=known)
        result["images"] = write_pseudo_masks(self.mapper(), self.adapter, datasets, path, self.tags)

    def segmentation(self, path: Path, result: dict[str, Any]) -> None:
        """Train the segmentation network on pseudo-masks."""
        from wsss_toolkit.heads.saved import load_trained
        from wsss_toolkit.segmentation.self_training import Setting
        from wsss_toolkit.segmentation.train import train_segmentation

        section = self.recipe.segmentation
        assert section is not None
        index = self.pseudo_mask_files()
        labels = self.image_labels()
        # Images without a class, where there is no background, were kept out of the classifier's training; their
        # pseudo-masks teach nothing.
        kept = {
            split: [key for key in labels.usable(split) if key in files]
            for split, files in index.items()
            if split in labels.splits
        }
        splits = {split: (keys, [index[split][key] for key in keys]) for split, keys in kept.items() if keys}
        if "train" not in splits:
            raise DataError("no training image has a pseudo-mask", fix="add train to pseudo_masks.splits")
        machine = self.recipe.machine
        device = choose_device(self.device, machine.devices, machine.precision)
        seed, workers, memory_mb = self.recipe.seed, machine.workers, machine.images_in_memory_mb
        setting = Setting(
            self.adapter, self.preprocessing(), section, seed, device, workers, memory_mb, cache=machine.cache
        )
        classifier = load_trained(self.folder.stage("train")) if section.encoder == "classifier" else None
        relabelling = self._relabelling(labels, splits) if section.self_training.rounds else None
        train, val, results = splits["train"], splits.get("val"), self.scratch or path
        made = train_segmentation(
            setting, train, val, folder=path, results=results, classifier=classifier, relabelling=relabelling
        )
        result.update(made)

    def _relabelling(self, labels: ImageLabels, splits: Iterable[str]) -> "Relabelling":
        """Return which values the masks of self-training may hold: those of the pseudo-masks, whatever ground truth."""
        from wsss_toolkit.pseudo_masks.write import read_scores
        from wsss_toolkit.segmentation.self_training import Relabelling, allowed_values

        allowed: dict[str, NDArray[np.bool_]] = {}
        for split in splits:
            scores = read_scores(self.folder.stage("pseudo_masks") / f"{split}.scores.csv")
            known = labels.matrix(labels.splits[split])
            section = self.recipe.pseudo_masks
            # Of the consensus an image always has a class; heads say whether there is anything of it.
            none = section.background != "none" and self.recipe.consensus is None
            values = allowed_values(scores, known, section.of_split(split), self.adapter.classes, allow_none=none)
            allowed.update(zip(self.splits[split], values, strict=True))
        return Relabelling(allowed, {**self.tags, "wsss_mask_source": "segmentation network"})

    def evaluation(self, path: Path, result: dict[str, Any]) -> None:
        """Compare with ground truth, and predictions with image-level labels."""
        from wsss_toolkit.evaluation.stage import EvaluationWork, evaluate_run

        work = EvaluationWork(
            recipe=self.recipe,
            adapter=self.adapter,
            channels=self.channels,
            splits=self.splits,
            labels=self.image_labels(),
            pseudo_masks=self.folder.stage("pseudo_masks"),
            pseudo_mask_files=self.pseudo_mask_files(),
            predict=self.predictions,
            map_classes=self._class_maps,
        )
        evaluate_run(work, path, result)
        for warning in result.get("warnings", ()):
            self.console.print(f"warning: {warning}", style="yellow", highlight=False, markup=False)

    def _class_maps(self, keys: Sequence[str], split: str) -> Iterator["ClassMaps"]:
        """Map the classes of a few images of a split, to look at."""
        from wsss_toolkit.images.dataset import ImageDataset
        from wsss_toolkit.pseudo_masks.shown_maps import active_class_maps

        labels, mapper = self.image_labels(), self.mapper()
        known = labels.matrix(tuple(keys)) if split in labels.splits else None
        dataset = ImageDataset(self.adapter, keys, self.preprocessing(), labels=known)
        mapper = mapper.without_labels() if known is None else mapper.of_split(split)
        yield from active_class_maps(mapper, dataset, "class maps", at_most=MAPS_SHOWN)

    def export(self, path: Path, result: dict[str, Any]) -> None:
        """Write the masks of whole images."""
        section = self.recipe.export
        result["masks"] = {}
        for split in section.splits:
            (path / split).mkdir(exist_ok=True)
            written = 0
            for key, mask, level in self.predictions(self.adapter.whole(split), f"export {split}"):
                beside = level if section.confidence else None
                self.adapter.write_mask(file_for(path / split, key), key, mask, beside, self.tags)
                written += 1
            result["masks"][split] = written
