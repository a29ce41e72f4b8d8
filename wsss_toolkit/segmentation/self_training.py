"""One more round: the network labels its own training images, within the classes that their labels allow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from wsss_toolkit.compute import Device
from wsss_toolkit.domain import IGNORE_INDEX, Adapter, ClassTable
from wsss_toolkit.files import file_for, read_state, write_json
from wsss_toolkit.images.dataset import ImageDataset
from wsss_toolkit.images.scaling import Preprocessing
from wsss_toolkit.pseudo_masks.assign import active_classes
from wsss_toolkit.recipe.schema import PseudoMasks, Segmentation
from wsss_toolkit.segmentation.predict import NetworkMasks
from wsss_toolkit.training.fit import Monitor

BY_LOSS = Monitor("val/loss", "min")
"""Keeps the epoch whose loss against the validation split's masks is least."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What all rounds of a training have in common."""

    adapter: Adapter
    """Reads the images and writes masks; it is never asked for ground truth."""
    prepare: Preprocessing
    """Scales the bands as the classifier had them."""
    section: Segmentation
    seed: int
    device: Device
    workers: int = 0
    """Data-loading processes."""
    memory_mb: int = 0
    """Memory for scaled images, see `ImageDataset`."""
    monitor: Monitor = BY_LOSS
    """What tells the best epoch, where there are validation images."""
    cache: Literal["memory", "disk"] = "memory"
    """Where features of a frozen encoder are kept."""


@dataclass(frozen=True, slots=True)
class Relabelling:
    """What self-training needs beside the network and the images."""

    allowed: Mapping[str, NDArray[np.bool_]]
    """Which mask values each image may get, bool `c` by key; ground truth has no part in it."""
    tags: Mapping[str, str]
    """Provenance to store in each mask."""


def allowed_values(
    scores: NDArray[np.float64],
    labels: NDArray[np.float32] | None,
    section: PseudoMasks,
    classes: ClassTable,
    *,
    allow_none: bool,
) -> NDArray[np.bool_]:
    """Return the mask values that the rule of the pseudo-masks allows in each image, `n c`.

    `scores` are the classifier's probabilities, `n k`; `labels`, the image-level labels `n k`, are read for `classes:
    labels` only; `allow_none` says whether an image may show no class, see `active_classes`.
    """
    active = active_classes(
        torch.from_numpy(scores) - 0.5,  # as a logit: not negative where the probability is 0.5 or more
        None if labels is None else torch.from_numpy(labels),
        section.classes,
        allow_none=allow_none,
    )
    allowed = np.zeros((len(scores), len(classes.names)), bool)
    allowed[:, list(classes.labelled)] = active.numpy()
    if section.background != "none" and classes.background is not None:
        allowed[:, classes.background] = True
    return allowed


def relabel(
    network: nn.Module, setting: Setting, splits: Mapping[str, Sequence[str]], relabelling: Relabelling, folder: Path
) -> dict[str, tuple[Sequence[str], list[Path]]]:
    """Write the masks that a trained network gives to images, with their confidence, and return the files by split.

    Masks that an earlier call wrote completely are taken as they are, so that a killed run goes on behind them: in the
    folder, ``index.json`` is written last, after ``<split>/<key>.*``.
    """
    index_file, adapter = folder / "index.json", setting.adapter
    if not index_file.exists():
        masks = NetworkMasks(network, setting.section, setting.device.torch, setting.workers, refined=False)
        below = setting.section.self_training.ignore_below * 255
        index: dict[str, dict[str, str]] = {}
        for split, keys in splits.items():
            (folder / split).mkdir(parents=True, exist_ok=True)
            allowed = np.stack([relabelling.allowed[key] for key in keys])
            dataset = ImageDataset(adapter, keys, setting.prepare)
            index[split] = {}
            for key, mask, level in masks.over(dataset, f"masks of the last round: {split}", allowed):
                kept = np.where(level < below, np.uint8(IGNORE_INDEX), mask)
                written = adapter.write_mask(file_for(folder / split, key), key, kept, level, relabelling.tags)
                index[split][key] = str(written.relative_to(folder))
        write_json(index_file, index)
    fix = f"delete the folder {folder} and run the recipe again"
    written_before = read_state(index_file, dict[str, dict[str, str]], fix)
    return {split: (keys, [folder / written_before[split][key] for key in keys]) for split, keys in splits.items()}
