"""A first recipe for data that an adapter has looked at: small enough for a CPU, with remarks on what to change."""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from wsss_toolkit.domain.adapter import Starter
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

LABELS = {
    "dataset": "labels: {source: dataset}   # what tags or folders say; masks are not looked at",
    "mask_coverage": """\
labels:
  source: mask_coverage
  min_coverage: 0.02   # a class is present where it covers so much of an image; training sees no more of the masks""",
}
"""The section by `labels.source`."""

SCALES = {"imagenet": "red, green, blue in 0..255", "zscore": "mean and deviation measured on the training images"}
"""What each `channels.SENSOR.scale` is for."""

BACKGROUND = """\
  # Objects before something else: pixels below the threshold of every class are background. Where
  # classes cover the whole picture, as in landscapes: data.background: null, its line in data.classes
  # left out, and background: none here, without a threshold.
  background: threshold
  threshold: {method: otsu}"""

NO_BACKGROUND = """\
  # Every pixel belongs to a class. For objects before something else: name a class for the rest in
  # data.classes and data.background, and background: threshold here.
  background: none"""


def recipe_name(folder: Path) -> str:
    """Return a name for the runs on a folder, safe as a file name."""
    plain = unicodedata.normalize("NFKD", folder.resolve().name).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("-._")[:60] or "pictures"


def starter_recipe(starter: Starter, name: str, adapter: str, *, file: str) -> tuple[str, tuple[str, ...]]:
    """Return a recipe as YAML for what the adapter of a name saw, and sentences about what was decided.

    `file` is what the user will call the recipe on the command line, for the comment at its top.
    """
    train, (height, width) = starter.splits.get("train", 0), starter.size
    side = min(LARGEST_SIDE, max(4 * PATCH, min(height, width) // PATCH * PATCH))
    wide = -(-side // 32) * 32
    epochs = _between(5, round(SEEN / max(1, train)), 40)
    rounds = _between(3, round(SEEN / 2 / max(1, train)), 20)
    batch = _between(2, train // 4, 16)
    is_rgb = set(starter.scales.values()) == {"imagenet"}
    jitter = 0.2 if is_rgb else 0
    splits = [split for split, number in starter.splits.items() if number]
    truth = [split for split in starter.truth if split in splits]
    later = [split for split in truth if split != "train"] or truth
    shown = " ".join(file.split())  # a line's end in a name would end the comment
    data = "\n".join(_data_lines({"adapter": adapter, **starter.data}, starter.comments))
    channels = "\n".join(
        f"  {flow(sensor)}: {{bands: all, scale: {scale}}}   # {SCALES[scale]}"
        for sensor, scale in starter.scales.items()
    )
    size = f"image_size: {wide}   # whole images, resized"
    if starter.crops:
        size = f"crop_size: {min(wide, height)}   # parts of the crops at their own scale"
    text = f"""\
# Written by `wsss init`: a first recipe, not a tuned one. No figure was measured with it.
#
#   wsss check {shown}
#   wsss run {shown}
#
# What to try first when masks are poor: more pictures, pretrained weights (see `model`), a larger image_size.

name: {flow(name)}
seed: 0

data:
{data}

channels:
{channels}

{LABELS[starter.labels]}

{PRETRAINED if is_rgb else FROM_SCRATCH}
model:
  backbone: vit_tiny_patch16_224
  weights: none
  patch_size: {PATCH}
  depth: 4
  image_size: {side}   # images of {"" if starter.same_size else "about "}{height} x {width} pixels are resized to \
this square
  attention: asymmetric
  token_masking: 0.5
  class_tokens: {{enter_at: 3}}
  gates: {{enabled: false}}

heads:
  class: {{kind: per_token}}   # which classes an image shows, class by class
  patch: {{kind: linear}}      # the same from its patches: where they are

objective:
  presence: {{head: class}}
  patch: {{kind: presence, head: patch}}

train:
  epochs: {epochs}   # of {train} images
  batch_size: {batch}
  lr: 1.0e-3
  warmup_epochs: 1
  augment: {{horizontal_flip: true, vertical_flip: false, color_jitter: {jitter}}}

pseudo_masks:
  splits: {flow(splits)}
  classes: predicted
  source: {{kind: fused, layers: last}}
  assign: argmax
  flips: true
{BACKGROUND if starter.background else NO_BACKGROUND}

segmentation:
  architecture: unet
  encoder: resnet18
  weights: none   # `imagenet` downloads; or the path of a local file
  {size}
  epochs: {rounds}
  batch_size: {batch}
  augment: {{horizontal_flip: true, color_jitter: {jitter}}}

evaluation: {{pseudo_masks: {flow(truth)}, segmentation: {flow(later)}}}{"" if truth else "   # no masks, no figures"}
export: {{splits: {flow(splits[-1:])}}}
"""
    kind = "a background besides them: pixels below a class's threshold"
    return text, (
        f"classes: {', '.join(starter.classes)}",
        kind if starter.background else "no background: every pixel belongs to a class",
        f"splits: {', '.join(f'{split} {number}' for split, number in starter.splits.items())}",
        f"a small network from scratch on {side} x {side} pixels, {epochs} epochs; then a U-Net, {rounds} epochs",
    )


def _between(low: int, value: int, high: int) -> int:
    return max(low, min(value, high))


def _data_lines(values: Mapping[str, Any], comments: Mapping[str, str]) -> Iterator[str]:
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
