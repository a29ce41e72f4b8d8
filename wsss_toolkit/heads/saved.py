"""Trained models on disk: safetensors whose metadata say how to build the model again."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from wsss_toolkit.domain import ChannelTable, Sensor
from wsss_toolkit.errors import DataError
from wsss_toolkit.files import write_bytes
from wsss_toolkit.heads.classifier import Classifier, build_classifier
from wsss_toolkit.model.gate import FixedGates
from wsss_toolkit.model.pruning import keep_heads
from wsss_toolkit.model.vit import Fusion
from wsss_toolkit.recipe.schema import Heads, Model
from wsss_toolkit.recipe.upgrade import upgrade

MODEL_FILE = "model.safetensors"
"""The file of a trained classifier in the folder of its stage."""

KEY = "wsss_model"
"""The metadata entry that holds the architecture."""


class Architecture(BaseModel):
    """What is needed to build a saved model again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = 2
    section: Model
    heads: Heads
    channels: tuple[tuple[str, tuple[str, ...], tuple[str, str, str] | None], ...]
    """Sensors with their bands and natural-colour bands."""
    fusion: Fusion
    classes: int
    """Number of class tokens."""
    frozen_below: int
    """Blocks below this one have no gates."""
    pruned: dict[int, tuple[int, int]]
    """Block index -> heads left and heads before, where heads were cut."""
    left: dict[int, tuple[int, ...]] = {}
    """Block index -> which attention heads were left; older files do not say."""


def save_model(model: Classifier, path: Path, metadata: Mapping[str, str]) -> None:
    """Write a model to a .safetensors file; a file of that name is replaced in one step.

    Args:
        model: The model, pruned or not.
        path: The file.
        metadata: Text to store beside the weights, such as class names and provenance.

    Raises:
        ValueError: If `metadata` uses the key that the architecture is stored under.
        WsssError: If the file cannot be written.
    """
    if KEY in metadata:
        raise ValueError(f"metadata key {KEY!r} is taken by the architecture")
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    entries = {**metadata, KEY: describe(model).model_dump_json()}
    write_bytes(path, save(tensors, entries))


def load_model(path: Path) -> tuple[Classifier, dict[str, str]]:
    """Read a model that `save_model` wrote; it is on the CPU, in evaluation mode.

    Returns:
        The model and the metadata that was stored with it.

    Raises:
        DataError: If the file is missing, damaged or not a model of this toolkit.
    """
    where = str(path)
    if not path.is_file():
        raise DataError("no such model file", where=where, fix="train first, or correct the path")
    try:
        with safe_open(path, "pt") as file:
            entries = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        if KEY not in entries:
            raise DataError(
                "not a model of wsss-toolkit: it holds weights without an architecture",
                where=where,
                fix="a backbone's checkpoint belongs into model.weights of a recipe",
            )
        description = read_architecture(json.loads(entries.pop(KEY)))
    except (OSError, SafetensorError, ValueError, TypeError, AttributeError, RecursionError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(f"the model file cannot be read: {reason}", where=where, fix="it may be truncated") from error
    # Building draws random weights that are overwritten at once: the caller's random state stays untouched.
    with torch.random.fork_rng(devices=[]):
        model = build_described(description)
    try:
        model.load_state_dict(renamed(tensors), strict=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise DataError(f"the weights do not fit the architecture in the file: {reason}", where=where) from error
    return model.eval(), entries


def load_trained(folder: Path) -> Classifier:
    """Load the classifier that the stage `train` left in its folder; errors are those of `load_model`."""
    return load_model(folder / MODEL_FILE)[0]


def load_model_tags(path: Path) -> dict[str, str]:
    """Return the metadata that `save_model` stored, without the weights; errors are those of `load_model`."""
    try:
        with safe_open(path, "pt") as file:
            entries = dict(file.metadata() or {})
    except (OSError, SafetensorError) as error:
        raise DataError(f"the model file cannot be read: {error}", where=str(path), fix="train again") from error
    entries.pop(KEY, None)
    return entries


def read_architecture(described: dict[str, Any]) -> Architecture:
    """Return what a file describes, in today's words or in those of version 1; ValidationError if it is nothing."""
    if described.get("version") == 1 and "section" in described:
        # Heads were part of the model, and `heads` were those that pruning had left.
        recipe = {"model": dict(described["section"])}
        upgrade(recipe)
        heads = {"class": {"kind": "per_token"}, **recipe.get("heads", {})}
        new = {"version": 2, "section": recipe["model"], "heads": heads, "left": described.get("heads", {})}
        described = {**described, **new}
    return Architecture.model_validate(described)


def renamed(tensors: Mapping[str, Tensor], prefix: str = "") -> dict[str, Tensor]:
    """Return a model's tensors under today's names, from a file of today or of version 1.

    Args:
        tensors: By name.
        prefix: What the names of the classifier's tensors begin with; others are left alone.

    >>> list(renamed({"head.bias": torch.zeros(1), "norm.bias": torch.zeros(1)}))
    ['heads.class_head.bias', 'backbone.norm.bias']
    """
    old = {"head.": "heads.class_head.", "patch_classifier.": "heads.patch_head.linear."}
    old = {f"{prefix}{before}": f"{prefix}{now}" for before, now in old.items()}
    known = (f"{prefix}backbone.", f"{prefix}heads.")
    found = {}
    for name, tensor in tensors.items():
        start = next((start for start in old if name.startswith(start)), None)
        if start is not None:
            name = old[start] + name.removeprefix(start)
        elif name.startswith(prefix) and not name.startswith(known):
            name = f"{prefix}backbone.{name.removeprefix(prefix)}"
        found[name] = tensor
    return found


def describe(model: Classifier) -> Architecture:
    """Return what is needed to build a model again, pruned heads included."""
    pruned, left = {}, {}
    backbone = model.backbone
    for index in range(backbone.depth):
        attention = backbone.block(index).attn
        if isinstance(attention.gate, FixedGates):
            pruned[index] = (attention.heads, attention.gate.total)
            if attention.gate.heads is not None:
                left[index] = attention.gate.heads
    return Architecture(
        section=backbone.section,
        heads=model.head_options,
        channels=tuple((sensor.name, sensor.bands, sensor.rgb) for sensor in backbone.channels.sensors),
        fusion=backbone.fusion,
        classes=model.classes,
        frozen_below=backbone.frozen_below,
        pruned=pruned,
        left=left,
    )


def build_described(description: Architecture) -> Classifier:
    """Build the model that `describe` was given, with random weights."""
    channels = ChannelTable(tuple(Sensor(name, bands, rgb) for name, bands, rgb in description.channels))
    model = build_classifier(
        description.section,
        description.heads,
        channels,
        description.fusion,
        description.classes,
        frozen_below=description.frozen_below,
    )
    for index, (left, total) in description.pruned.items():
        attention = model.backbone.block(index).attn
        keep_heads(attention, range(left))
        attention.gate = FixedGates(torch.ones(left), total, description.left.get(index))
    return model
