"""A naive reading of docs/method.md, against which speed, memory and results of the toolkit are measured.

Written from the definition alone: it takes a model's weights and none of its code. What is naive about it: the
attention matrices over all pairs of tokens of all layers are kept until the class maps are read from them; closed heads
are computed and multiplied by 0; token masking, thresholds and painting are Python loops; the fill is a breadth-first
search, pixel by pixel. All the rest is what PyTorch offers for it, so that nothing is slow on purpose.

It covers the paper's model: joint attention, class tokens from block 0, one patch embedding, no missing pixels.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from wsss_toolkit.heads.classifier import Classifier

BETA, GAMMA, ZETA, EPSILON = 0.33, -0.1, 1.1, 1e-6
NORM_EPSILON = 1e-6
"""What timm's plain Vision Transformers add to the variance in their norms."""

OPEN = -1
IGNORE = 255


class Result(NamedTuple):
    """Image-level logits `b c`, and the class maps of all layers `b l c h w`, averaged over open heads."""

    logits: Tensor
    class_maps: Tensor


def gates(log_alpha: Tensor, *, training: bool) -> Tensor:
    """Return one Hard Concrete gate per head, in 0..1 (method.md, section 1)."""
    if training:
        u = torch.rand_like(log_alpha) * (1 - 2 * EPSILON) + EPSILON
        s = torch.sigmoid((torch.log(u) - torch.log1p(-u) + log_alpha) / BETA)
    else:
        s = torch.sigmoid(log_alpha)
    return (s * (ZETA - GAMMA) + GAMMA).clamp(0, 1)


def classify(
    model: Classifier,
    images: Tensor,
    *,
    labels: Tensor | None = None,
    rate: float = 0.0,
    generator: torch.Generator | None = None,
    training: bool = False,
) -> Result:
    """Classify images `b 3 h w` and map classes, with a model's weights.

    Args:
        model: Whose parameters are read, by name; none of its code runs.
        images: Their sides are multiples of the patch size.
        labels: Image-level labels `b c`; tokens of absent classes are then zeroed with probability `rate`.
        rate: Probability of token masking.
        generator: Draws one number per image and class.
        training: Whether gates are drawn at random.
    """
    w = {name.removeprefix("backbone."): tensor for name, tensor in model.named_parameters()}
    classes, depth = w["class_tokens"].shape[1], len(model.backbone.blocks)
    heads = len(w["blocks.0.attn.gate.log_alpha"])
    patches = functional.conv2d(
        images,
        w["patch_embed.projections.0.weight"],
        w["patch_embed.projections.0.bias"],
        stride=model.backbone.patch_size,
    )
    rows, columns = patches.shape[-2:]
    side = round(w["pos_embed.weight"].shape[1] ** 0.5)
    positions = w["pos_embed.weight"]
    if (rows, columns) != (side, side):
        picture = positions.reshape(1, side, side, -1).permute(0, 3, 1, 2)
        picture = functional.interpolate(picture, (rows, columns), mode="bicubic", align_corners=False, antialias=True)
        positions = picture.flatten(2).transpose(1, 2)
    batch = len(images)
    x = torch.cat(
        (
            w["class_tokens"].expand(batch, -1, -1),
            patches.flatten(2).transpose(1, 2) + positions,
            w["registers"].expand(batch, -1, -1),
        ),
        dim=1,
    )
    attentions, layer_gates = [], []
    for layer in range(depth):
        p = {name.removeprefix(f"blocks.{layer}."): t for name, t in w.items() if name.startswith(f"blocks.{layer}.")}
        y = functional.layer_norm(x, x.shape[-1:], p["norm1.weight"], p["norm1.bias"], NORM_EPSILON)
        qkv = functional.linear(y, p["attn.qkv.weight"], p["attn.qkv.bias"])
        q, k, v = qkv.reshape(batch, x.shape[1], 3, heads, -1).permute(2, 0, 3, 1, 4)
        attention = (q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5).softmax(dim=-1)
        gate = gates(p["attn.gate.log_alpha"], training=training)
        heads_out = (attention @ v) * gate[:, None, None]
        attentions.append(attention)
        layer_gates.append(gate)
        x = x + functional.linear(heads_out.transpose(1, 2).flatten(2), p["attn.proj.weight"], p["attn.proj.bias"])
        y = functional.layer_norm(x, x.shape[-1:], p["norm2.weight"], p["norm2.bias"], NORM_EPSILON)
        y = functional.gelu(functional.linear(y, p["mlp.fc1.weight"], p["mlp.fc1.bias"]))
        x = x + functional.linear(y, p["mlp.fc2.weight"], p["mlp.fc2.bias"])
    x = functional.layer_norm(x, x.shape[-1:], w["norm.weight"], w["norm.bias"], NORM_EPSILON)

    tokens = x[:, :classes]
    if labels is not None:
        tokens = mask_tokens(tokens, labels, rate, generator)
    if "heads.class_head.linear.weight" in w:
        weight, bias = w["heads.class_head.linear.weight"], w["heads.class_head.linear.bias"]
        logits = functional.linear(tokens.flatten(1), weight, bias)
    else:
        columns_of_logits = [
            tokens[:, c] @ w["heads.class_head.weight"][c] + w["heads.class_head.bias"][c] for c in range(classes)
        ]
        logits = torch.stack(columns_of_logits, dim=1)
    maps = []
    for attention, gate in zip(attentions, layer_gates, strict=True):
        to_patches = attention[:, :, :classes, classes : classes + rows * columns]
        mean = (to_patches * gate[:, None, None]).sum(dim=1) / gate.sum()
        maps.append(mean.reshape(batch, classes, rows, columns))
    return Result(logits, torch.stack(maps, dim=1))


def mask_tokens(tokens: Tensor, labels: Tensor, rate: float, generator: torch.Generator | None) -> Tensor:
    """Zero each absent class's token `b c d` with probability `rate`, one after the other (method.md, section 2)."""
    draws = torch.rand(labels.shape, generator=generator, device=labels.device)
    kept = []
    for image in range(len(tokens)):
        row = []
        for c in range(tokens.shape[1]):
            absent = labels[image, c] == 0
            masked = absent and draws[image, c] < rate
            row.append(torch.zeros_like(tokens[image, c]) if masked else tokens[image, c])
        kept.append(torch.stack(row))
    return torch.stack(kept)


def l0_penalty(model: Classifier) -> Tensor:
    """Return the expected number of open gates (method.md, section 1)."""
    total = torch.zeros((), device=next(model.parameters()).device)
    for name, parameter in model.named_parameters():
        if name.endswith("log_alpha"):
            for log_alpha in parameter:
                total = total + torch.sigmoid(log_alpha - BETA * np.log(-GAMMA / ZETA))
    return total


def paint(
    maps: NDArray[np.float32], logits: Sequence[float], active: Sequence[bool]
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Turn class maps `c h w` of one image into a mask: mean threshold, paint, majority fill (method.md, section 3).

    Returns:
        The mask uint8 `h w`, and the confidence float32 `h w`: the painted class's share of the active maps, after
        each is divided by its mean.
    """
    painted = np.full(maps.shape[1:], OPEN, np.int64)
    for c in sorted(range(len(maps)), key=lambda c: logits[c]):
        if active[c]:
            painted[(maps[c] >= maps[c].mean()) & (maps[c] > 0)] = c
    filled = fill_majority(painted)
    won, total = np.zeros(maps.shape[1:], np.float32), np.zeros(maps.shape[1:], np.float32)
    for c in range(len(maps)):
        if active[c]:
            relative = maps[c] / maps[c].mean()
            total += relative
            won[filled == c] = relative[filled == c]
    return filled.astype(np.uint8), won / total


def fill_majority(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give open pixels the most common value among their 8 neighbours, breadth-first, until none is open.

    The pixels of one ring look at the state before it; of equally common values the lowest wins. An image without any
    value stays open.
    """
    height, width = labels.shape
    image = labels.tolist()

    def neighbours(row: int, column: int) -> list[tuple[int, int]]:
        found = []
        for down in (-1, 0, 1):
            for right in (-1, 0, 1):
                r, c = row + down, column + right
                if (down or right) and 0 <= r < height and 0 <= c < width:
                    found.append((r, c))
        return found

    ring = []
    for row in range(height):
        for column in range(width):
            if image[row][column] == OPEN and any(image[r][c] != OPEN for r, c in neighbours(row, column)):
                ring.append((row, column))
    while ring:
        decided = []
        for row, column in ring:
            counts: dict[int, int] = {}
            for r, c in neighbours(row, column):
                if image[r][c] != OPEN:
                    counts[image[r][c]] = counts.get(image[r][c], 0) + 1
            decided.append(min(counts, key=lambda value: (-counts[value], value)))
        for (row, column), value in zip(ring, decided, strict=True):
            image[row][column] = value
        queued, following = set(), []
        for row, column in ring:
            for place in neighbours(row, column):
                if image[place[0]][place[1]] == OPEN and place not in queued:
                    queued.add(place)
                    following.append(place)
        ring = following
    return np.array(image, np.int64)
