"""Trained models on disk: safetensors whose metadata say how to build the model again."""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from wsss_toolkit.domain import ChannelTable, Sensor
from wsss_toolkit.errors import DataError
from wsss_toolkit.files import write_bytes
from wsss_toolkit.model.gate import FixedGates
from wsss_toolkit.model.pruning import keep_heads
from wsss_toolkit.model.vit import Fusion, MultiTokenViT, build_model
from wsss_toolkit.recipe.schema import Model

KEY = "wsss_model"
"""The metadata entry that holds the architecture."""


class Architecture(BaseModel):
    """What is needed to build a saved model again.

    Attributes:
        version: Version of this description.
        section: The recipe's `model` section.
        channels: Sensors with their bands and natural-colour bands.
        fusion: How sensors are fused.
        classes: Number of class tokens.
        frozen_below: Blocks below this one have no gates.
        pruned: Block index -> heads left and heads before, where heads were cut.
        heads: Block index -> which heads were left; older files do not say.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = 1
    section: Model
    channels: tuple[tuple[str, tuple[str, ...], tuple[str, str, str] | None], ...]
    fusion: Fusion
    classes: int
    frozen_below: int
    pruned: dict[int, tuple[int, int]]
    heads: dict[int, tuple[int, ...]] = {}


def save_model(model: MultiTokenViT, path: Path, metadata: Mapping[str, str]) -> None:
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


def load_model(path: Path) -> tuple[MultiTokenViT, dict[str, str]]:
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
        description = Architecture.model_validate(json.loads(entries.pop(KEY)))
    except (OSError, SafetensorError, ValueError, ValidationError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(f"the model file cannot be read: {reason}", where=where, fix="it may be truncated") from error
    # Building draws random weights that are overwritten at once: the caller's random state stays untouched.
    with torch.random.fork_rng(devices=[]):
        model = build_described(description)
    try:
        model.load_state_dict(tensors, strict=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise DataError(f"the weights do not fit the architecture in the file: {reason}", where=where) from error
    return model.eval(), entries


def load_model_tags(path: Path) -> dict[str, str]:
    """Return the metadata that `save_model` stored with a model, without reading the weights.

    Raises:
        DataError: If the file is missing or damaged.
    """
    try:
        with safe_open(path, "pt") as file:
            entries = dict(file.metadata() or {})
    except (OSError, SafetensorError) as error:
        raise DataError(f"the model file cannot be read: {error}", where=str(path), fix="train again") from error
    entries.pop(KEY, None)
    return entries


def describe(model: MultiTokenViT) -> Architecture:
    """Return what is needed to build a model again, pruned heads included."""
    pruned, heads = {}, {}
    for index in range(model.depth):
        attention = model.block(index).attn
        if isinstance(attention.gate, FixedGates):
            pruned[index] = (attention.heads, attention.gate.total)
            if attention.gate.heads is not None:
                heads[index] = attention.gate.heads
    return Architecture(
        section=model.section,
        channels=tuple((sensor.name, sensor.bands, sensor.rgb) for sensor in model.channels.sensors),
        fusion=model.fusion,
        classes=model.classes,
        frozen_below=model.frozen_below,
        pruned=pruned,
        heads=heads,
    )


def build_described(description: Architecture) -> MultiTokenViT:
    """Build the model that `describe` was given, with random weights."""
    channels = ChannelTable(tuple(Sensor(name, bands, rgb) for name, bands, rgb in description.channels))
    model = build_model(
        description.section,
        channels,
        description.fusion,
        description.classes,
        frozen_below=description.frozen_below,
    )
    for index, (left, total) in description.pruned.items():
        attention = model.block(index).attn
        keep_heads(attention, range(left))
        attention.gate = FixedGates(torch.ones(left), total, description.heads.get(index))
    return model
