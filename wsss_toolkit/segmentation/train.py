"""From images and pseudo-masks to a saved segmentation network."""

import copy
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.utils.data import Dataset

from wsss_toolkit.errors import DataError, UsageError, blamed_on
from wsss_toolkit.files import read_state, write_bytes, write_json
from wsss_toolkit.heads.classifier import Classifier
from wsss_toolkit.heads.saved import build_described, describe, read_architecture, renamed
from wsss_toolkit.images.augment import symmetries
from wsss_toolkit.images.dataset import ImageDataset, Item, loader
from wsss_toolkit.recipe.schema import Segmentation
from wsss_toolkit.recipe.upgrade import upgrade
from wsss_toolkit.segmentation.class_balance import class_weights
from wsss_toolkit.segmentation.kept_features import keep_features, stand_still
from wsss_toolkit.segmentation.network import SegmentationTask
from wsss_toolkit.segmentation.self_training import Relabelling, Setting, relabel
from wsss_toolkit.segmentation.unet import build_network
from wsss_toolkit.training.fit import fit

NETWORK_FILE = "network.safetensors"

Masked = tuple[Sequence[str], Sequence[Path]]
"""Keys, and the pseudo-mask file of each."""


def train_segmentation(
    setting: Setting,
    training: Masked,
    validation: Masked | None,
    *,
    folder: Path,
    results: Path,
    classifier: Classifier | None = None,
    relabelling: Relabelling | None = None,
) -> dict[str, Any]:
    """Train the network on pseudo-masks, in as many rounds as the recipe asks for, and save it.

    A later round trains on the masks that the network of the round before gives to the same images, validation images
    included. Its checkpoints lie in ``round_1`` and so on, so that a killed run goes on in the round that it was in.

    Args:
        setting: What all rounds have in common.
        training: Training images with pseudo-masks.
        validation: Images whose masks choose the best epoch; None trains to the end.
        folder: Gets checkpoints and logs; where several processes train together, it is theirs together.
        results: Gets ``network.safetensors`` and ``network.json``, and the masks of later rounds; each process has its
            own.
        classifier: The trained classifier, which becomes a part of the network: for `encoder: classifier`.
        relabelling: What rounds after the first need.

    Returns:
        Plain values for the report.

    Raises:
        UsageError: If there are to be several rounds, and nothing says how to label images anew.
    """
    section, classes = setting.section, setting.adapter.classes
    more = section.self_training.rounds
    if more and relabelling is None:
        raise UsageError("segmentation.self_training needs pseudo-masks of a classifier: here are none")
    # A network takes its classifier over, and fine-tuning changes it: each round gets a copy.
    network, epochs = _train_round(setting, training, validation, folder, results, copy.deepcopy(classifier))
    rounds = [epochs]
    for number in range(1, more + 1):
        assert relabelling is not None
        keys = {"train": training[0], **({} if validation is None else {"val": validation[0]})}
        own = results / f"round_{number}"
        masked = relabel(network, setting, keys, relabelling, own / "masks")
        start = _state(network) if section.self_training.start == "previous" else None
        again = folder / f"round_{number}"
        network, epochs = _train_round(
            setting, masked["train"], masked.get("val"), again, own, copy.deepcopy(classifier), start
        )
        rounds.append(epochs)
    write_bytes(results / NETWORK_FILE, save(_state(network)))
    write_json(
        results / "network.json",
        {
            "section": section.model_dump(mode="json"),
            "channels": len(setting.prepare.channels),
            "classes": len(classes.names),
            "background": classes.background,
            "classifier": None if classifier is None else describe(classifier).model_dump(mode="json"),
        },
    )
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return {"epochs": sum(rounds), "parameters": parameters, **({"rounds": rounds} if more else {})}


def _state(network: nn.Module) -> dict[str, Tensor]:
    """Return a copy of a network's state, as safetensors wants it: contiguous, no memory shared."""
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in network.state_dict().items()}


def _train_round(
    setting: Setting,
    training: Masked,
    validation: Masked | None,
    folder: Path,
    results: Path,
    classifier: Classifier | None,
    start: Mapping[str, Tensor] | None = None,
) -> tuple[nn.Module, int]:
    """Train a network on one set of masks; return it with its best epoch's weights, and the number of epochs.

    `start` is the state to begin with; None begins with the encoder's weights. The other arguments are those of
    `train_segmentation`.
    """
    section, adapter, prepare, seed = setting.section, setting.adapter, setting.prepare, setting.seed
    dataset = partial(
        ImageDataset, adapter, prepare=prepare, crop=section.crop_size, resize=section.image_size, seed=seed
    )
    change = section.augment
    trainset = dataset(
        training[0], masks=training[1], codes=symmetries(change), memory_mb=setting.memory_mb, augment=change.domain
    )
    sets = {"train": trainset}
    if validation is not None:
        sets["val"] = dataset(validation[0], masks=validation[1])
    torch.manual_seed(seed)
    classes = adapter.classes
    network = build_network(
        section, len(prepare.channels), len(classes.names), classifier, background=classes.background
    )
    if start is not None:
        network.load_state_dict(start)
    items: dict[str, Dataset[Item]] = dict(sets)
    if stand_still(network, section, trainset):
        results.mkdir(parents=True, exist_ok=True)
        for name, images in sets.items():
            items[name] = keep_features(
                network,
                images,
                batch_size=section.batch_size,
                workers=setting.workers,
                device=setting.device.torch,
                cache=setting.cache,
                memory_mb=setting.memory_mb,
                path=results / f"features_{name}.npy",
            )
    train_batches = loader(items["train"], section.batch_size, shuffle_seed=seed, workers=setting.workers)
    val_batches = None
    if "val" in items:
        val_batches = loader(items["val"], section.batch_size, workers=setting.workers)
    weights = class_weights(training[1], len(classes.names), section.class_balance)
    steps = max(1, -(-len(train_batches) // setting.device.world))
    epochs = fit(
        SegmentationTask(network, section, seed=seed, steps_per_epoch=steps, class_weights=weights),
        train_batches,
        val_batches,
        folder=folder,
        epochs=section.epochs,
        clip_norm=0.0,
        device=setting.device,
        monitor=setting.monitor if val_batches is not None else None,
        use="best",
    )
    for cached in results.glob("features_*.npy"):
        cached.unlink()
    return network, epochs


def load_network(folder: Path) -> nn.Module:
    """Load, in evaluation mode, what `train_segmentation` saved; DataError if a file is missing or damaged."""
    fix = f"delete the folder {folder} and run the recipe again"
    try:
        weights = load_file(folder / NETWORK_FILE)
    except (OSError, SafetensorError) as error:
        what = "the segmentation network cannot be read: " + str(error).partition("\n")[0]
        raise DataError(what, where=str(folder), fix=fix) from error
    stored = read_state(folder / "network.json", dict[str, Any], fix)
    with blamed_on(str(folder / "network.json"), fix):
        return _built(stored, weights)


def _built(stored: Mapping[str, Any], weights: dict[str, Tensor]) -> nn.Module:
    """Return the network that ``network.json`` describes, with its weights."""
    old = {"segmentation": {**stored["section"], "weights": "none"}}
    upgrade(old)
    section = Segmentation.model_validate(old["segmentation"])
    described = stored.get("classifier")
    # Building draws random weights that are overwritten at once: the caller's random state stays untouched.
    with torch.random.fork_rng(devices=[]):
        classifier = None if described is None else build_described(read_architecture(described))
        network = build_network(
            section, stored["channels"], stored["classes"], classifier, background=stored.get("background")
        )
    network.load_state_dict(weights if classifier is None else renamed(weights, "classifier."))
    return network.eval()
