"""The rows of `wsss compare` that learn from ground-truth masks: what full supervision reaches.

This is the one exception to the mask gate (ARCHITECTURE.md), and deliberate: no run of a recipe comes here, only
`wsss compare` with a method called `supervised_...`, whose rows say in every table what they were trained on.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from wsss_toolkit.compute import choose_device
from wsss_toolkit.domain import Adapter, ChannelTable, read_sample
from wsss_toolkit.errors import DataError, UsageError
from wsss_toolkit.evaluation.scores import evaluate
from wsss_toolkit.evaluation.stopwatch import Stopwatch
from wsss_toolkit.experiments.ceiling import by_validation_masks
from wsss_toolkit.experiments.cells import SUPERVISED_STAGES, Supervised
from wsss_toolkit.experiments.patch_segmenter import predict_segments, train_segmenter
from wsss_toolkit.experiments.supervised_inputs import network_section, scored_splits, stage_digests, with_epochs
from wsss_toolkit.files import file_for, write_json
from wsss_toolkit.heads.classifier import Classifier, build_classifier
from wsss_toolkit.heads.saved import MODEL_FILE, load_model
from wsss_toolkit.images.dataset import ImageDataset
from wsss_toolkit.images.scaling import PREPROCESSING_FILE, Preprocessing, preprocessing
from wsss_toolkit.labels.ground_truth import keys_with_truth, read_truth
from wsss_toolkit.model.weights import load_weights
from wsss_toolkit.recipe import Recipe, recipe_digest, select_channels
from wsss_toolkit.recipe.schema import Gates
from wsss_toolkit.runs.folder import REPORT_FILE, RunFolder, StageRecord, alone_in
from wsss_toolkit.runs.pipeline import prepared_adapter, versions
from wsss_toolkit.segmentation.predict import NetworkMasks
from wsss_toolkit.segmentation.self_training import BY_LOSS, Setting
from wsss_toolkit.segmentation.train import Masked, load_network, train_segmentation
from wsss_toolkit.training.fit import BEST, LAST, epoch_of

TRAINING, EVALUATION = SUPERVISED_STAGES


def run_supervised(recipe: Recipe, kind: Supervised, *, out: Path, device: str) -> Path:
    """Train on ground-truth masks, score, write ``report.json`` and return its path; what is finished is kept.

    Of the recipe it reads data, channels, seed and `evaluation`, and for `supervised_unet` the segmentation section
    (without what pseudo-masks alone have: confidence and self-training), for `supervised_head` the same with the
    backbone as the encoder, and for `supervised_vit` the sections model and train. Images without a mask are left out.
    Where the validation split has masks, they say how long is trained and which epoch is kept.

    Raises:
        UsageError: If the recipe has no network to train, or the folder is in use.
        DataError: If there are no masks to train on.
    """
    if kind == "supervised_unet" and recipe.segmentation is None:
        raise UsageError("supervised_unet needs a segmentation section", fix="add one, or leave the method out")
    adapter = prepared_adapter(recipe)
    folder = RunFolder(out, recipe.name)
    work = _Work(recipe, kind, adapter, select_channels(recipe.channels, adapter.sensors), device)
    wanted = stage_digests(recipe, kind, adapter)
    with alone_in(out):
        if folder.find(TRAINING, wanted[TRAINING]) is None:
            with folder.work(TRAINING, wanted[TRAINING]) as (path, result):
                work.train(path, result)
        if folder.find(EVALUATION, wanted[EVALUATION]) is None:
            with folder.work(EVALUATION, wanted[EVALUATION]) as (_, result):
                work.evaluate(folder.stage(TRAINING), result)
        records = {stage: folder.find(stage, wanted[stage]) for stage in SUPERVISED_STAGES}
        write_json(out / REPORT_FILE, _report(recipe, kind, adapter, records))
    return out / REPORT_FILE


@dataclass(frozen=True)
class _Work:
    recipe: Recipe
    kind: Supervised
    adapter: Adapter
    channels: ChannelTable
    device: str

    def train(self, path: Path, result: dict[str, Any]) -> None:
        """Train the network and save it with its preprocessing."""
        recipe, adapter, machine = self.recipe, self.adapter, self.recipe.machine
        keys = keys_with_truth(adapter, adapter.splits()["train"])
        if not keys:
            raise DataError("the training split has no image", fix="check the data section")
        samples = (read_sample(adapter, key, self.channels) for key in keys)
        prepare = preprocessing(recipe.channels, self.channels, samples)
        prepare.save(path / PREPROCESSING_FILE)
        masks, device = path / "masks", choose_device(self.device, machine.devices, machine.precision)
        train, val = (self._masked(split, masks / split) for split in ("train", "val"))
        assert train is not None
        monitor = None
        if val is not None:
            recipe, monitor = with_epochs(recipe), by_validation_masks(adapter.classes)
        if self.kind == "supervised_vit":
            made = train_segmenter(
                recipe, adapter, self.channels, prepare, train, val, folder=path, device=device, monitor=monitor
            )
        else:
            section, memory_mb = network_section(recipe, self.kind), machine.images_in_memory_mb
            chosen = BY_LOSS if monitor is None else monitor
            setting = Setting(
                adapter, prepare, section, recipe.seed, device, machine.workers, memory_mb, chosen, machine.cache
            )
            classifier = self._untrained_classifier() if section.encoder == "classifier" else None
            made = train_segmentation(setting, train, val, folder=path, results=path, classifier=classifier)
        kept = path / (LAST if monitor is None else BEST)
        by = None if monitor is None else "mIoU on validation masks"
        result.update(made, images=len(keys), kept_epoch=epoch_of(kept), kept_by=by)
        shutil.rmtree(masks)

    def _masked(self, split: str, folder: Path) -> Masked | None:
        """Write the ground-truth masks of a split where training reads them; None for a split without images."""
        keys = keys_with_truth(self.adapter, self.adapter.splits().get(split, ()))
        if not keys:
            return None
        folder.mkdir(parents=True, exist_ok=True)
        files = [
            self.adapter.write_mask(file_for(folder, key), key, read_truth(self.adapter, key), None, {}) for key in keys
        ]
        return keys, files

    def _untrained_classifier(self) -> Classifier:
        """Return the classifier with its starting weights: nobody has trained it on image-level labels here."""
        torch.manual_seed(self.recipe.seed)
        recipe, classes = self.recipe, len(self.adapter.classes.label_names)
        # Gates that nothing trains are not quite open, and untrained class tokens would tell patches nonsense.
        plain = recipe.model.model_copy(update={"gates": Gates(enabled=False), "attention": "asymmetric"})
        model = build_classifier(plain, recipe.heads, self.channels, recipe.channels.fusion, classes)
        load_weights(model.backbone, self.recipe.model.weights, self.channels)
        return model

    def evaluate(self, trained: Path, result: dict[str, Any]) -> None:
        """Score the network against ground truth."""
        splits = self.adapter.splits()
        prepare = Preprocessing.load(trained / PREPROCESSING_FILE)
        result["segmentation"] = {}
        watch = Stopwatch()
        for split in scored_splits(self.recipe):
            keys = keys_with_truth(self.adapter, splits[split])
            dataset = ImageDataset(self.adapter, keys, prepare)
            masks = watch.over(self._predict(trained, dataset, f"evaluation {split}"))
            pairs = ((mask, read_truth(self.adapter, key)) for key, mask in masks)
            scores = evaluate(pairs, self.adapter.classes)
            result["segmentation"][split] = {**scores.to_json(), "without_truth": len(splits[split]) - len(keys)}
        result["seconds_per_image"] = watch.per_item()

    def _predict(self, trained: Path, dataset: ImageDataset, title: str) -> Iterator[tuple[str, Any]]:
        device, workers = choose_device(self.device, 1, "32").torch, self.recipe.machine.workers
        if self.kind != "supervised_vit":
            section = network_section(self.recipe, self.kind)
            masks = NetworkMasks(load_network(trained), section, device, workers)
            yield from ((key, mask) for key, mask, _ in masks.over(dataset, title))
            return
        model, _ = load_model(trained / MODEL_FILE)
        resize, batch_size = self.recipe.model.resize, self.recipe.training.batch_size
        yield from predict_segments(
            model, dataset, resize=resize, batch_size=batch_size, workers=workers, device=device, title=title
        )


def _report(
    recipe: Recipe, kind: Supervised, adapter: Adapter, records: dict[str, StageRecord | None]
) -> dict[str, Any]:
    """Return a report in the shape of a run's, so that one table reads both; its label source are masks."""
    found = {stage: record for stage, record in records.items() if record is not None}
    training, evaluation = found[TRAINING].result, found[EVALUATION].result
    return {
        "run": {
            "name": recipe.name,
            "method": kind,
            "recipe_digest": recipe_digest(recipe),
            "seed": recipe.seed,
            "versions": versions(),
            "notices": list(adapter.notices),
            "stages": {stage: record.digest for stage, record in found.items()},
        },
        "supervision": {
            "label_source": "ground-truth masks",
            "min_coverage": None,
            "pseudo_mask_classes": None,
            "epochs": training["epochs"],
            "kept_epoch": training["kept_epoch"],
            "kept_by": training["kept_by"],
        },
        "labels": {},
        "classifier": {},
        "pseudo_masks": {},
        "segmentation": evaluation["segmentation"],
        "gates": {},
        "seconds": {stage: record.seconds for stage, record in found.items()},
        "seconds_per_image": {"segmentation": evaluation["seconds_per_image"]},
        "peak_memory_mb": {stage: record.peak_memory_mb for stage, record in found.items()},
    }
