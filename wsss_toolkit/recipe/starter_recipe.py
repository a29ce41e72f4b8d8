"""A first recipe for data that an adapter has looked at: small enough for a CPU, with remarks on what to change."""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from wsss_toolkit.domain.starter import Starter
from wsss_toolkit.recipe.yaml_text import flow

LARGEST_SIDE = 128
"""Side of the training images in pixels, for a small network from scratch on a CPU."""

PATCH = 8

LONGEST_REMARK = 60
"""Characters of a remark beside a value; longer ones stand above it."""

SEEN = 4000
"""Images that the classifier sees in all, as far as the limits on epochs allow; the segmentation network sees half."""


PRETRAINED = """\
# With a pretrained Vision Transformer masks get far better. Given a local file of its weights:
#   backbone: vit_small_patch14_dinov2
#   weights: ./weights/vit_small_patch14_dinov2.safetensors
#   image_size: 224, without patch_size and depth; class_tokens: {enter_at: 8}
#   and below, train: freeze_below: 8, epochs: 5, lr: 1.0e-4, color_jitter: 0
# `weights: timm` downloads what timm has for the backbone."""

FROM_SCRATCH = "# From scratch: weights that were trained on red, green and blue do not fit these bands as they are."


def recipe_name(folder: Path) -> str:
    """Return a name for the runs on a folder, safe as a file name."""
    plain = unicodedata.normalize("NFKD", folder.resolve().name).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("-._")[:60] or "pictures"


def starter_recipe(starter: Starter, name: str, adapter: str, *, file: str) -> tuple[str, tuple[str, ...]]:
    """Write a recipe.

    Args:
        starter: What the adapter saw and proposes.
        name: The recipe's name.
        adapter: The adapter's.
        file: What the user will call the recipe on the command line, for the comment at its top.

    Returns:
        The recipe as YAML, and sentences about what was decided.
    """
    train = starter.splits.get("train", 0)
    side = min(LARGEST_SIDE, max(4 * PATCH, min(starter.size) // PATCH * PATCH))
    wide = -(-side // 32) * 32
    epochs = _between(5, round(SEEN / max(1, train)), 40)
    rounds = _between(3, round(SEEN / 2 / max(1, train)), 20)
    batch = _between(2, train // 4, 16)
    splits = [split for split, number in starter.splits.items() if number]
    sections = [
        _top(name, file),
        _data(starter, adapter),
        _channels(starter),
        _labels(starter),
        _model(starter, side),
        _train(starter, epochs, batch, train),
        _pseudo_masks(starter, splits),
        _segmentation(starter, wide, rounds, batch),
        _last(starter, splits),
    ]
    counts = ", ".join(f"{split} {number}" for split, number in starter.splits.items())
    decided = (
        f"classes: {', '.join(starter.classes)}",
        "a background besides them: pixels below a class's threshold"
        if starter.background
        else "no background: every pixel belongs to a class",
        f"splits: {counts}",
        f"a small network from scratch on {side} x {side} pixels, {epochs} epochs; then a U-Net, {rounds} epochs",
    )
    return "\n\n".join(sections) + "\n", decided


def _between(low: int, value: int, high: int) -> int:
    return max(low, min(value, high))


def _top(name: str, file: str) -> str:
    shown = " ".join(file.split())  # a line's end in a name would end the comment
    return f"""# Written by `wsss init`: a first recipe, not a tuned one. No figure was measured with it.
#
#   wsss check {shown}
#   wsss run {shown}
#
# What to try first when masks are poor: more pictures, pretrained weights (see `model`), a larger image_size.

name: {flow(name)}
seed: 0"""


def _data(starter: Starter, adapter: str) -> str:
    return "\n".join(["data:", f"  adapter: {adapter}", *_lines(starter.data, starter.comments)])


def _lines(values: Mapping[str, Any], comments: Mapping[str, str]) -> Iterator[str]:
    """Yield the keys of the data section; lists of mappings get a line for each entry."""
    for key, value in values.items():
        comment = comments.get(key, "")
        if len(comment) > LONGEST_REMARK:
            yield f"  # {key}: {comment}"
        remark = f"   # {comment}" if 0 < len(comment) <= LONGEST_REMARK else ""
        if isinstance(value, list) and value and isinstance(value[0], dict):
            yield f"  {key}:{remark}"
            yield from (f"    - {flow(entry)}" for entry in value)
        else:
            yield f"  {key}: {flow(value)}{remark}"


def _channels(starter: Starter) -> str:
    remarks = {"imagenet": "red, green, blue in 0..255", "zscore": "mean and deviation measured on the training images"}
    lines = [
        f"  {flow(name)}: {{bands: all, scale: {scale}}}   # {remarks[scale]}" for name, scale in starter.scales.items()
    ]
    return "\n".join(["channels:", *lines])


def _labels(starter: Starter) -> str:
    if starter.labels == "dataset":
        return "labels: {source: dataset}   # what tags or folders say; masks are not looked at"
    return """labels:
  source: mask_coverage
  min_coverage: 0.02   # a class is present where it covers so much of an image; training sees no more of the masks"""


def _model(starter: Starter, side: int) -> str:
    return f"""{PRETRAINED if _is_rgb(starter) else FROM_SCRATCH}
model:
  backbone: vit_tiny_patch16_224
  weights: none
  patch_size: {PATCH}
  depth: 4
  image_size: {side}   # {"images of" if starter.same_size else "images of about"} {starter.size[0]} x \
{starter.size[1]} pixels are resized to this square
  attention: asymmetric
  token_masking: 0.5
  class_tokens: {{enter_at: 3}}
  gates: {{enabled: false}}

heads:
  class: {{kind: per_token}}   # which classes an image shows, class by class
  patch: {{kind: linear}}      # the same from its patches: where they are

objective:
  presence: {{head: class}}
  patch: {{kind: presence, head: patch}}"""


def _is_rgb(starter: Starter) -> bool:
    return set(starter.scales.values()) == {"imagenet"}


def _train(starter: Starter, epochs: int, batch: int, images: int) -> str:
    return f"""train:
  epochs: {epochs}   # of {images} images
  batch_size: {batch}
  lr: 1.0e-3
  warmup_epochs: 1
  augment: {{horizontal_flip: true, vertical_flip: false, color_jitter: {0.2 if _is_rgb(starter) else 0}}}"""


def _pseudo_masks(starter: Starter, splits: list[str]) -> str:
    lines = [
        "pseudo_masks:",
        f"  splits: {flow(splits)}",
        "  classes: predicted",
        "  source: {kind: fused, layers: last}",
        "  assign: argmax",
        "  flips: true",
    ]
    if starter.background:
        lines += [
            "  # Objects before something else: pixels below the threshold of every class are background. Where",
            "  # classes cover the whole picture, as in landscapes: data.background: null, its line in data.classes",
            "  # left out, and background: none here, without a threshold.",
            "  background: threshold",
            "  threshold: {method: otsu}",
        ]
    else:
        lines += [
            "  # Every pixel belongs to a class. For objects before something else: name a class for the rest in",
            "  # data.classes and data.background, and background: threshold here.",
            "  background: none",
        ]
    return "\n".join(lines)


def _segmentation(starter: Starter, side: int, epochs: int, batch: int) -> str:
    size = f"image_size: {side}   # whole images, resized"
    if starter.crops:
        size = f"crop_size: {min(side, starter.size[0])}   # parts of the crops at their own scale"
    return f"""segmentation:
  architecture: unet
  encoder: resnet18
  weights: none   # `imagenet` downloads; or the path of a local file
  {size}
  epochs: {epochs}
  batch_size: {batch}
  augment: {{horizontal_flip: true, color_jitter: {0.2 if _is_rgb(starter) else 0}}}"""


def _last(starter: Starter, splits: list[str]) -> str:
    truth = [split for split in starter.truth if split in splits]
    remark = "" if truth else "   # no masks, no figures"
    later = [split for split in truth if split != "train"] or truth
    return f"""evaluation: {{pseudo_masks: {flow(truth)}, segmentation: {flow(later)}}}{remark}
export: {{splits: {flow(splits[-1:])}}}"""
