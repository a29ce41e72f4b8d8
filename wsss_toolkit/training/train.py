"""From labelled images to a saved classifier."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from wsss_toolkit.compute import Device
from wsss_toolkit.domain import Adapter, ChannelTable, Sample, read_sample
from wsss_toolkit.domain.progress import counted
from wsss_toolkit.errors import DataError, WsssError
from wsss_toolkit.heads.classifier import build_classifier
from wsss_toolkit.heads.saved import MODEL_FILE, save_model
from wsss_toolkit.images.augment import symmetries
from wsss_toolkit.images.dataset import ImageDataset, Item, ReadsImages, loader
from wsss_toolkit.images.input_faults import constant_bands
from wsss_toolkit.images.mosaic import MosaicImages
from wsss_toolkit.images.scaling import PREPROCESSING_FILE, preprocessing
from wsss_toolkit.model.gate import open_gates
from wsss_toolkit.model.pruning import prune
from wsss_toolkit.model.weights import load_weights
from wsss_toolkit.objective.objective import Objective
from wsss_toolkit.recipe.schema import Recipe
from wsss_toolkit.training.fit import Monitor, fit
from wsss_toolkit.training.frozen import freeze_dataset
from wsss_toolkit.training.task import ClassifierTask

Labelled = tuple[tuple[str, ...], NDArray[np.float32]]
"""Keys, and their image-level labels `n k`, 0 or 1."""


@dataclass(frozen=True, slots=True)
class LabelledData:
    """What a classifier learns from."""

    adapter: Adapter
    """Reads the images; it is never asked for a mask here."""
    channels: ChannelTable
    training: Labelled
    """Images to learn from; in domains without a background each shows at least one class."""
    validation: Labelled | None
    """Images that choose the best epoch; None trains to the end."""


def train_classifier(
    data: LabelledData, *, recipe: Recipe, folder: Path, results: Path, device: Device, metadata: dict[str, str]
) -> dict[str, Any]:
    """Train the classifier and save it with its preprocessing.

    Args:
        data: The images with their labels.
        recipe: Says how: its sections channels, model, heads, objective and train, and its seed.
        folder: Gets checkpoints and logs; where several processes train together, it is theirs together.
        results: Gets ``model.safetensors`` and ``preprocessing.json``; each process has its own.
        device: Where to compute.
        metadata: Stored in the model file.

    Returns:
        Plain values for the report: gates, epochs, parameters and what became of the pretrained weights.

    Raises:
        WsssError: If weights cannot be loaded, or training diverges.
    """
    adapter, channels, training, validation = data.adapter, data.channels, data.training, data.validation
    seed, model_section, train_section, machine = recipe.seed, recipe.model, recipe.training, recipe.machine
    look = _FirstLook(adapter, channels, training[0])
    samples = iter(look)
    prepare = preprocessing(recipe.channels, channels, samples)
    deque(samples, maxlen=0)  # where nothing was measured, the images are still looked at
    prepare.save(results / PREPROCESSING_FILE)
    keys, labels = look.usable(training)

    torch.manual_seed(seed)
    frozen_below = train_section.freeze_below
    model = build_classifier(
        model_section, recipe.heads, channels, recipe.channels.fusion, labels.shape[1], frozen_below=frozen_below
    )
    account = load_weights(model.backbone, model_section.weights, channels)
    result = {
        "warnings": [*look.warnings(), *constant_bands(prepare)],
        "image_size": look.size,
        "weights": str(account),
    }
    exclusive = bool((labels.sum(axis=1) == 1).all()) and not recipe.training.mosaics
    if recipe.train is None:
        save_model(model, results / MODEL_FILE, metadata)
        return {**result, "epochs": 0, "exclusive": exclusive}
    model.backbone.freeze(frozen_below)

    crop, resize = model_section.crop, model_section.resize
    images = partial(ImageDataset, prepare=prepare, crop=crop, resize=resize, seed=seed)
    source: ReadsImages = adapter
    if train_section.mosaics:
        source = mosaics = MosaicImages(adapter, keys, labels, train_section.mosaics, seed)
        keys, labels = mosaics.keys, mosaics.labels
    dataset = images(
        source,
        keys,
        labels=labels,
        codes=symmetries(train_section.augment),
        memory_mb=0 if frozen_below else machine.images_in_memory_mb,
        augment=train_section.augment.domain and not frozen_below,
    )
    valset = None if validation is None else images(adapter, validation[0], labels=validation[1])
    grid = None
    train_items: Dataset[Item] = dataset
    val_items: Dataset[Item] | None = valset
    if frozen_below:
        grid = (model_section.image_size // model.backbone.patch_size,) * 2
        frozen = partial(
            freeze_dataset,
            model.to(device.torch).backbone,
            batch_size=train_section.batch_size,
            workers=machine.workers,
            device=device.torch,
            cache=machine.cache,
        )
        train_items = frozen(dataset, path=results / "frozen_train.npy")
        val_items = frozen(valset, path=results / "frozen_val.npy") if valset is not None else None
    train_batches = loader(train_items, train_section.batch_size, shuffle_seed=seed, workers=machine.workers)
    val_batches = None
    if val_items is not None:
        val_batches = loader(val_items, train_section.batch_size, workers=machine.workers)
    module = ClassifierTask(
        model,
        Objective(recipe.objective, model.shape, model.backbone.enter_at),
        train_section,
        seed=seed,
        exclusive=exclusive,
        sensor_dropout=recipe.channels.sensor_dropout,
        steps_per_epoch=max(1, -(-len(train_batches) // device.world)),
        grid=grid,
    )
    epochs = fit(
        module,
        train_batches,
        val_batches,
        folder=folder,
        epochs=train_section.epochs,
        clip_norm=train_section.clip_norm,
        device=device,
        monitor=Monitor("val/map", "max", train_section.patience) if val_batches is not None else None,
        use=train_section.checkpoint,
    )
    for cached in results.glob("frozen_*.npy"):
        cached.unlink()
    open_heads, heads = open_gates(model)
    if heads and not open_heads:
        raise WsssError("every attention head was pruned", fix="lower objective.open_gates.weight or model.gates.lr")
    if model_section.gates.enabled and model_section.gates.prune:
        prune(model.backbone)
    save_model(model.cpu(), results / MODEL_FILE, metadata)
    return {
        **result,
        "gates": {"open": open_heads, "total": heads},
        "epochs": epochs,
        "exclusive": exclusive,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
    }


class _FirstLook:
    """Reads every training image once, and notes those with missing pixels."""

    def __init__(self, adapter: Adapter, channels: ChannelTable, keys: tuple[str, ...]) -> None:
        self.adapter, self.channels, self.keys = adapter, channels, keys
        self.empty: list[str] = []
        self.incomplete = 0
        self.size: tuple[int, int] | None = None

    def __iter__(self) -> Iterator[Sample]:
        for key in counted(self.keys, "looking at images", len(self.keys)):
            sample = read_sample(self.adapter, key, self.channels)
            finite = [np.isfinite(bands) for bands in sample.bands.values()]
            if not any(part.any() for part in finite):
                self.empty.append(key)
                continue
            self.incomplete += not all(part.all() for part in finite)
            self.size = self.size or sample.size
            yield sample

    def usable(self, labelled: Labelled) -> Labelled:
        """Leave out the images without any data."""
        kept = [key not in set(self.empty) for key in labelled[0]]
        if not any(kept):
            raise DataError("no training image holds data: every pixel is nodata or not finite", fix="check the images")
        return tuple(key for key, keep in zip(labelled[0], kept, strict=True) if keep), labelled[1][kept]

    def warnings(self) -> list[str]:
        found = []
        if self.empty:
            shown = ", ".join(self.empty[:3]) + (", ..." if len(self.empty) > 3 else "")
            found.append(f"{len(self.empty)} training images hold no data and were left out: {shown}")
        if self.incomplete:
            found.append(
                f"{self.incomplete} of {len(self.keys)} training images have missing pixels (nodata, NaN or infinite), "
                "which are fed as 0"
            )
        return found
