"""Starting a model from a checkpoint, with an account of every tensor."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from timm.layers.pos_embed import resample_abs_pos_embed
from torch import Tensor

from wsss_toolkit.domain import ChannelTable
from wsss_toolkit.errors import DataError
from wsss_toolkit.model.backbone import split_tokens, starting_tokens
from wsss_toolkit.model.checkpoint import Checkpoint, read_checkpoint
from wsss_toolkit.model.input_bands import adapt_input
from wsss_toolkit.model.vit import MultiTokenViT

PROJECTION = "patch_embed.proj"
COPIED = ("blocks.", "norm_pre.", "norm.")
"""Beginnings of the keys that checkpoint and model share."""
Place = Callable[[str, str, Tensor, str], None]


@dataclass(frozen=True)
class Adaptation:
    """A tensor that was changed on its way into the model."""

    source: str
    """Key in the checkpoint."""
    name: str
    """Key in the model."""
    before: tuple[int, ...]
    """Shape in the checkpoint."""
    after: tuple[int, ...]
    """Shape in the model."""
    how: str


@dataclass(frozen=True)
class Account:
    """What became of every tensor of a checkpoint and of the model."""

    source: str
    loaded: tuple[str, ...] = ()
    """Keys of the model that were copied unchanged."""
    adapted: tuple[Adaptation, ...] = ()
    """Tensors that were changed to fit."""
    left_out: tuple[str, ...] = ()
    """Keys of the checkpoint that the model has no place for."""
    missing: tuple[str, ...] = ()
    """Keys of the model that keep their initial values."""

    def __str__(self) -> str:
        """Return a few lines to print; the keys of blocks are counted, the others named."""
        lines = [f"weights: {self.source}", f"  loaded    {_group(self.loaded)}"]
        lines += [f"  adapted   {a.source} {list(a.before)} -> {a.name} {list(a.after)}: {a.how}" for a in self.adapted]
        lines += [f"  left out  {_group(self.left_out)}", f"  new       {_group(self.missing)}"]
        return "\n".join(lines)


def load_weights(model: MultiTokenViT, spec: str, channels: ChannelTable) -> Account:
    """Start a model from the weights that a recipe names, in place.

    The patch projection is adapted to channels and patch size, positions to the grid, the checkpoint's [CLS] and
    registers to the model's tokens; blocks above the model's depth are left out.

    Args:
        model: The model as built, not yet pruned.
        spec: `none`, `timm`, `torchgeo:ENUM.MEMBER` or the path of a .safetensors or PyTorch file.
        channels: The model's input channels.

    Returns:
        What was loaded, adapted, left out, and what keeps its initial values.

    Raises:
        UsageError: If `spec` is none of these.
        DataError: If the file is missing, damaged or hostile, or does not fit the model; the error names the keys.
        WsssError: If a checkpoint cannot be downloaded.
    """
    if spec == "none":
        return Account("none", missing=tuple(model.state_dict()))
    return load_checkpoint(model, read_checkpoint(spec, model.section.backbone), channels)


@torch.no_grad()
def load_checkpoint(model: MultiTokenViT, checkpoint: Checkpoint, channels: ChannelTable) -> Account:
    """Copy a checkpoint into a model, adapting what differs; see `load_weights`."""
    source = {key: value.float() for key, value in checkpoint.tensors.items() if value.is_floating_point()}
    target = model.state_dict()
    new: dict[str, Tensor] = {}
    loaded: list[str] = []
    adapted: list[Adaptation] = []
    used: set[str] = set()

    def place(key: str, name: str, value: Tensor, how: str) -> None:
        new[name] = value
        used.add(key)
        if how or key != name:
            adapted.append(Adaptation(key, name, tuple(source[key].shape), tuple(value.shape), how or "renamed"))
        else:
            loaded.append(name)

    _check_present(source, target, checkpoint.source)
    for key, value in source.items():
        if key in target and key.startswith(COPIED):
            place(key, key, value, "")
    _place_projection(model, checkpoint, source, channels, place)
    _place_tokens(model, source, checkpoint.source, place)

    left_out = [key for key in checkpoint.tensors if key not in used]
    unfit = [key for key in left_out if _must_fit(key, model.depth)]
    wrong = [key for key, value in new.items() if value.shape != target[key].shape]
    if unfit or wrong:
        shown = ", ".join(f"{key} {list(new[key].shape)} for {list(target[key].shape)}" for key in wrong[:4])
        lacking = f"the checkpoint has tensors that backbone {model.section.backbone!r} lacks: {_some(unfit)}"
        raise DataError(
            lacking if unfit else f"{len(wrong)} tensors do not fit backbone {model.section.backbone!r}: {shown}",
            where=checkpoint.source,
            fix="name the timm backbone that the checkpoint was made with",
        )
    for name, value in new.items():
        target[name].copy_(value)
    missing = tuple(name for name in target if name not in new)
    return Account(checkpoint.source, tuple(loaded), tuple(adapted), (*left_out, *checkpoint.others), missing)


def _check_present(source: Mapping[str, Tensor], target: Mapping[str, Tensor], where: str) -> None:
    """Refuse a checkpoint that leaves part of the backbone at random values; a final norm may be missing."""
    wanted = [key for key in target if key.startswith(("blocks.", "norm_pre.")) and ".attn.gate." not in key]
    wanted += ["pos_embed", f"{PROJECTION}.weight"]
    if "patch_embed.projections.0.bias" in target:
        wanted.append(f"{PROJECTION}.bias")
    lacking = [key for key in wanted if key not in source]
    if lacking:
        raise DataError(
            f"the checkpoint lacks {len(lacking)} tensors of the backbone: {_some(lacking)}",
            where=where,
            fix="name the timm backbone and the depth that the checkpoint was made with",
        )


def _place_projection(
    model: MultiTokenViT, checkpoint: Checkpoint, source: Mapping[str, Tensor], channels: ChannelTable, place: Place
) -> None:
    """Adapt the patch projection; with one per sensor, each keeps the checkpoint's scale of response."""
    weight = source[f"{PROJECTION}.weight"]
    if weight.ndim != 4:
        raise DataError(
            f"{PROJECTION}.weight is {list(weight.shape)}, not the projection of square patches",
            where=checkpoint.source,
        )
    groups = [(sensor,) for sensor in channels.sensors] if model.fusion == "per_sensor" else [channels.sensors]
    for index, sensors in enumerate(groups):
        value, how = adapt_input(weight, sensors, model.patch_size, bands=checkpoint.bands, landsat=checkpoint.landsat)
        name = f"patch_embed.projections.{index}"
        place(f"{PROJECTION}.weight", f"{name}.weight", value, how)
        if f"{PROJECTION}.bias" in source and model.patch_embed.bias:
            place(f"{PROJECTION}.bias", f"{name}.bias", source[f"{PROJECTION}.bias"], "")


def _place_tokens(model: MultiTokenViT, source: Mapping[str, Tensor], where: str, place: Place) -> None:
    """Adapt positions to the grid, and start class tokens and registers from the checkpoint's own."""
    positions = source["pos_embed"]
    positions = positions[None] if positions.ndim == 2 else positions
    class_token, registers = source.get("cls_token"), source.get("reg_token")
    side, prefix = _split_length(positions.shape[1], class_token, registers, where)
    class_token, registers, positions = split_tokens(class_token, registers, positions, patches=side * side)
    grid = model.pos_embed.grid
    resampled = resample_abs_pos_embed(positions, new_size=list(grid), old_size=[side, side], num_prefix_tokens=0)
    notes = [f"{prefix} positions given to tokens without a place in the image"] if prefix else []
    notes += [f"grid {side} x {side} resampled to {grid[0]} x {grid[1]}"] if (side, side) != grid else []
    place("pos_embed", "pos_embed.weight", resampled, "; ".join(notes))

    count = model.registers.shape[1]
    noise_std = model.section.class_tokens.noise_std
    class_start, register_start = starting_tokens(
        class_token, registers, classes=model.tokens, count=count, enter_at=model.enter_at, noise_std=noise_std
    )
    register_count = registers.shape[1]
    free = count
    if class_token is not None and model.enter_at > 0 and count > 0:
        place("cls_token", "registers", register_start, "[CLS] with its position is the first register")
        free -= 1
    elif class_token is not None:
        how = f"[CLS] with its position, plus noise of standard deviation {noise_std:g}"
        place("cls_token", "class_tokens", class_start, how)
    if register_count and free:
        how = f"{min(free, register_count)} of {register_count} registers"
        place("reg_token", "registers", register_start, how)


def _split_length(length: int, class_token: Tensor | None, registers: Tensor | None, where: str) -> tuple[int, int]:
    """Return the side of the checkpoint's square grid and the number of positions that precede it."""
    classes = 0 if class_token is None else class_token.shape[1]
    extra = 0 if registers is None else registers.shape[1]
    for prefix in (0, classes, classes + extra):
        side = math.isqrt(max(length - prefix, 0))
        if side and side * side == length - prefix:
            return side, prefix
    raise DataError(f"pos_embed has {length} positions, which fit no square grid of patches", where=where)


def _must_fit(key: str, depth: int) -> bool:
    """Return whether a model without this key would compute something else than the checkpoint's own."""
    block = re.match(r"blocks\.(\d+)\.", key)
    if block is not None:
        return int(block[1]) < depth
    return key.startswith(("norm_pre.", "patch_embed."))


def _some(keys: Sequence[str]) -> str:
    return ", ".join(keys[:6]) + (", ..." if len(keys) > 6 else "")


def _group(keys: Sequence[str]) -> str:
    """Name keys in a line: those of blocks by their block's number."""
    blocks = sorted({int(match[1]) for key in keys if (match := re.match(r"blocks\.(\d+)\.", key))})
    others = [key for key in keys if not re.match(r"blocks\.\d+\.", key)]
    parts = [f"blocks {', '.join(map(str, blocks))}"] if blocks else []
    parts += [*others[:12], f"and {len(others) - 12} more"] if len(others) > 12 else others
    return f"{len(keys)} tensors: {'; '.join(parts)}" if keys else "nothing"
