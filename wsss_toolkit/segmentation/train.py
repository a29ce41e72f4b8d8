"""From images and pseudo-masks to a saved segmentation network."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from wsss_toolkit.augment import symmetries
from wsss_toolkit.data import ImageDataset, loader
from wsss_toolkit.domain import Adapter
from wsss_toolkit.errors import DataError
from wsss_toolkit.model.saved import Architecture, build_described, describe
from wsss_toolkit.model.vit import MultiTokenViT
from wsss_toolkit.recipe.schema import Segmentation
from wsss_toolkit.run_folder import write_json
from wsss_toolkit.scaling import Preprocessing
from wsss_toolkit.segmentation.network import SegmentationTask
from wsss_toolkit.segmentation.uncertain import ignore_levels
from wsss_toolkit.segmentation.unet import build_network
from wsss_toolkit.training.fit import Device, Monitor, fit

NETWORK_FILE = "network.safetensors"

Masked = tuple[Sequence[str], Sequence[Path]]
"""Keys, and the pseudo-mask file of each."""


def train_segmentation(
    adapter: Adapter,
    prepare: Preprocessing,
    training: Masked,
    validation: Masked | None,
    *,
    section: Segmentation,
    seed: int,
    folder: Path,
    results: Path,
    device: Device,
    workers: int,
    memory_mb: int,
    classifier: MultiTokenViT | None = None,
) -> dict[str, Any]:
    """Train the network on pseudo-masks and save it.

    Args:
        adapter: Reads the images; it is never asked for a ground-truth mask here.
        prepare: Scales the bands as the classifier had them.
        training: Training images with pseudo-masks.
        validation: Images whose pseudo-masks choose the best epoch; None trains to the end.
        section: The recipe's `segmentation`.
        seed: The recipe's seed.
        folder: Gets checkpoints and logs; where several processes train together, it is theirs together.
        results: Gets ``network.safetensors`` and ``network.json``; each process has its own.
        device: Where to compute.
        workers: Data-loading processes.
        memory_mb: Memory for scaled images, see `ImageDataset`.
        classifier: The trained classifier, which becomes a part of the network: for `encoder: classifier`.

    Returns:
        Plain values for the report.
    """
    classes = len(adapter.classes.names)
    codes = symmetries(section.augment)
    confidence = section.confidence_weight > 0 or section.ignore_share > 0
    levels = ignore_levels(training[1], section.ignore_share) if section.ignore_share else None
    trainset = ImageDataset(
        adapter,
        training[0],
        prepare,
        masks=training[1],
        confidence=confidence,
        crop=section.crop_size,
        resize=section.image_size,
        codes=codes,
        seed=seed,
        memory_mb=memory_mb,
        augment=section.augment.domain,
    )
    train_batches = loader(trainset, section.batch_size, shuffle_seed=seed, workers=workers)
    val_batches = None
    if validation is not None:
        valset = ImageDataset(
            adapter,
            validation[0],
            prepare,
            masks=validation[1],
            confidence=confidence,
            crop=section.crop_size,
            resize=section.image_size,
            seed=seed,
        )
        val_batches = loader(valset, section.batch_size, workers=workers)
    torch.manual_seed(seed)
    network = build_network(section, len(prepare.channels), classes, classifier)
    steps = max(1, -(-len(train_batches) // device.world))
    module = SegmentationTask(network, section, seed=seed, steps_per_epoch=steps, levels=levels)
    epochs = fit(
        module,
        train_batches,
        val_batches,
        folder=folder,
        epochs=section.epochs,
        clip_norm=0.0,
        device=device,
        monitor=Monitor("val/loss", "min") if val_batches is not None else None,
        use="best",
    )
    # safetensors refuses tensors that share memory or are not contiguous.
    state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in network.state_dict().items()}
    save_file(state, results / NETWORK_FILE)
    write_json(
        results / "network.json",
        {
            "section": section.model_dump(mode="json"),
            "channels": len(prepare.channels),
            "classes": classes,
            "classifier": None if classifier is None else describe(classifier).model_dump(mode="json"),
        },
    )
    return {"epochs": epochs, "parameters": sum(parameter.numel() for parameter in network.parameters())}


def load_network(folder: Path) -> nn.Module:
    """Load the network that `train_segmentation` saved, in evaluation mode.

    Raises:
        DataError: If a file is missing or damaged.
    """
    try:
        stored = json.loads((folder / "network.json").read_text())
        weights = load_file(folder / NETWORK_FILE)
    except (OSError, ValueError, SafetensorError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(
            f"the segmentation network cannot be read: {reason}",
            where=str(folder),
            fix="run the stage segmentation again",
        ) from error
    section = Segmentation.model_validate({**stored["section"], "weights": "none"})
    described = stored.get("classifier")
    # Building draws random weights that are overwritten at once: the caller's random state stays untouched.
    with torch.random.fork_rng(devices=[]):
        classifier = None if described is None else build_described(Architecture.model_validate(described))
        network = build_network(section, stored["channels"], stored["classes"], classifier)
    network.load_state_dict(weights)
    return network.eval()
