"""Follows one image from the attention of every class token to the mask."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from wsss_toolkit.errors import UsageError, did_you_mean
from wsss_toolkit.explain.subject import Subject, as_batch
from wsss_toolkit.heads.classifier import Classifier
from wsss_toolkit.images.padding import pad_to_multiple
from wsss_toolkit.model.attention_maps import HeadMaps, head_maps
from wsss_toolkit.model.gate import FixedGates
from wsss_toolkit.pseudo_masks.assign import binarise, paint_rank
from wsss_toolkit.pseudo_masks.class_maps import chosen_maps
from wsss_toolkit.pseudo_masks.looks import source_of
from wsss_toolkit.pseudo_masks.mapper import Mapped, Mapper
from wsss_toolkit.runs.trained_run import TrainedRun

Floats = NDArray[np.float32]
NOBODY = -1
"""In `Heads.numbers`, a place that no head has; in `Explanation.paint_order`, a class that is not painted."""


@dataclass(frozen=True, slots=True)
class Heads:
    """The attention of class tokens in every layer that has any, of the image as it is: no mirror image, no other size.

    Layers may have lost different numbers of heads to pruning. Places are those before pruning where the model knows
    which heads are left; otherwise the first places are taken. Empty places hold NaN.
    """

    layers: NDArray[np.int64]
    """Indices of the blocks, `l`."""
    attention: Floats
    """Share of a token's attention that goes to each patch, `l a k gh gw`; sums to at most 1."""
    gates: Floats
    """Openness of each head in 0..1, `l a`; 1 where heads are not gated."""
    numbers: NDArray[np.int64]
    """Which head, counted before pruning, each place holds, int64 `l a`; `NOBODY` where none does."""
    numbered: bool
    """Whether these numbers are known; otherwise what is left is counted from 0."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """How one mask came to be; k classes are shown, of C."""

    heads: Heads
    making: tuple[int, ...]
    """Indices of the blocks whose attention becomes maps; empty where the maps have another source."""
    tokens: NDArray[np.int64]
    """The class tokens shown, int64 `k`."""
    logits: Floats
    """Image-level logits of all classes, `C`, averaged over views."""
    probabilities: Floats
    """Their sigmoids, `C`."""
    active: NDArray[np.bool_]
    """Which classes may appear in the mask, bool `C`."""
    from_labels: bool
    """Whether these are the image-level labels, and not the predicted classes."""
    maps: Floats
    """Final maps at the image's size, `k h w`: after source, layers, affinity, views and refinement."""
    thresholds: Floats
    """`k`, in the maps' units."""
    claimed: NDArray[np.bool_]
    """The binary maps, bool `k h w`."""
    paint_order: NDArray[np.int64]
    """Place of each class in the order of painting, int64 `k`: 0 is painted first; `NOBODY` for classes that are not
    active."""
    mask: NDArray[np.uint8]
    """Mask values and 255, uint8 `h w`."""
    confidence: Floats
    """0..1, `h w`."""
    seen: tuple[int, int]
    """Height and width in pixels at which the classifier saw the image, without padding."""
    patch_size: int
    """Side of a patch there."""


@torch.no_grad()
def explain_image(run: TrainedRun, mapper: Mapper, subject: Subject, classes: Sequence[str] | None) -> Explanation:
    """Explain how the pseudo-mask of an image comes to be.

    The mask is the one that the stage `pseudo_masks` writes for this image. `classes` names those to show; None shows
    those that may appear in the mask.

    Raises:
        UsageError: If a name is not that of a class with a token.
    """
    asked = _asked_tokens(classes, run.classes.label_names)
    labels = None
    mapper = mapper if subject.split is None else mapper.of_split(subject.split)
    if mapper.section.classes == "labels" and subject.labels is not None:
        labels = torch.tensor(subject.labels, device=mapper.device)[None].float()
    elif mapper.section.classes == "labels":  # as for scenes and exported images
        mapper = mapper.without_labels()
    model, section = mapper.model, mapper.section
    image, valid, present = (part.to(mapper.device) for part in as_batch(subject, run))
    found = mapper.maps(image, valid, present, labels=labels, reference=subject.reference)
    mask, confidence = mapper.assign(found, valid)
    active = torch.zeros_like(found.scores[0], dtype=torch.bool)
    active[found.tokens] = found.active[0]
    tokens = asked if asked is not None else active.nonzero().flatten().tolist()
    seen, seen_valid = mapper.as_seen(image, valid, subject.reference)
    maps, coverage = _final_maps(mapper, found, tokens, (seen, seen_valid, present), image.shape[-2:])
    # As `assign` does.
    threshold, _, claimed = binarise(maps, None if bool(valid.all()) else valid, section, coverage)
    order = torch.full_like(active, NOBODY, dtype=torch.int64)
    order[found.tokens] = torch.where(found.active, paint_rank(found.logits), NOBODY)[0]
    scores = found.scores[0].double()
    return Explanation(
        heads=read_heads(model, seen, seen_valid, present, tokens),
        making=tuple(source_of(section).reads(model)),
        tokens=np.array(tokens, np.int64),
        logits=_floats(scores),
        probabilities=_floats(scores.sigmoid()),
        active=active.cpu().numpy(),
        from_labels=labels is not None,
        maps=_floats(maps[0]),
        thresholds=_floats(threshold[0]),
        claimed=claimed[0].cpu().numpy(),
        paint_order=order[tokens].cpu().numpy(),
        mask=mask[0].cpu().numpy(),
        confidence=_floats(confidence[0]),
        seen=(seen.shape[-2], seen.shape[-1]),
        patch_size=model.backbone.patch_size,
    )


def read_heads(model: Classifier, images: Tensor, valid: Tensor, present: Tensor, tokens: Sequence[int]) -> Heads:
    """Return the attention of class tokens per layer and head, for one image `1 k h w` of any size.

    Where class tokens do not read each other, only those asked for are computed.
    """
    backbone = model.backbone
    padded = pad_to_multiple(images, backbone.patch_size)
    extra = [whole - part for whole, part in zip(padded.shape[-2:], valid.shape[-2:], strict=True)]
    alone = bool(tokens) and model.selects_classes
    output = backbone(
        padded,
        present=present,
        valid=F.pad(valid, (0, extra[1], 0, extra[0]), value=False),
        classes=tokens if alone else None,
        read=dict.fromkeys(backbone.class_layers, head_maps),
    )
    found: list[HeadMaps] = [output.read[index] for index in backbone.class_layers]
    gates = [backbone.block(index).attn.gate for index in backbone.class_layers]
    fixed = [gate for gate in gates if isinstance(gate, FixedGates)]
    numbered = all(gate.heads is not None or len(gate.values) == gate.total for gate in fixed)
    count = max(layer.maps.shape[1] for layer in found)
    places = max([count, *(gate.total for gate in fixed)])
    shape = (len(gates), places)
    attention = np.full((*shape, len(tokens), *found[0].maps.shape[-2:]), np.nan, np.float32)
    openness, numbers = np.full(shape, np.nan, np.float32), np.full(shape, NOBODY, np.int64)
    for layer, ((maps, values), gate) in enumerate(zip(found, gates, strict=True)):
        if maps.shape[2] == 1 < model.classes:  # one token for all classes: its map is every class's
            maps = maps.expand(-1, -1, len(tokens) if alone else model.classes, -1, -1)
        known = gate.heads if isinstance(gate, FixedGates) and gate.heads is not None else range(len(values))
        heads = list(known)
        attention[layer, heads] = _floats(maps[0] if alone else maps[0, :, list(tokens)])
        openness[layer, heads] = _floats(values)
        numbers[layer, heads] = heads
    return Heads(np.array(backbone.class_layers, np.int64), attention, openness, numbers, numbered)


def _asked_tokens(names: Sequence[str] | None, known: Sequence[str]) -> list[int] | None:
    if names is None:
        return None
    for name in names:
        if name not in known:
            raise UsageError(f"no class token is called {name!r}", fix=did_you_mean(name, known))
    return sorted({known.index(name) for name in names})


def _final_maps(
    mapper: Mapper, found: Mapped, tokens: Sequence[int], seen: tuple[Tensor, Tensor, Tensor], size: Sequence[int]
) -> tuple[Tensor, Tensor | None]:
    """Return the final maps of the tokens `1 k h w`, and their coverage `1 k` where maps are made of windows.

    Those that take no part in the mask are computed for this, of what the classifier sees: images, valid pixels and
    present sensors.
    """
    model, (images, valid, present) = mapper.model, seen
    places = {token: place for place, token in enumerate(found.tokens.tolist())}
    others = [token for token in tokens if token not in places]
    maps, coverage = found.maps, found.coverage
    if others:
        # The softmax over classes, which windows count by, needs all of them.
        chosen = others if model.selects_classes and not mapper.exclusive else None
        picked = torch.tensor(others, device=mapper.device)
        more = chosen_maps(
            model,
            images,
            mapper.section,
            present=present,
            valid=valid,
            classes=chosen,
            choose=None if chosen is not None else lambda _: picked,
            exclusive=mapper.exclusive,
        )
        added = more.maps
        if added.shape[-2:] != tuple(size):
            added = F.interpolate(added, tuple(size), mode="bilinear", align_corners=False)
        places |= {token: maps.shape[1] + place for place, token in enumerate(others)}
        maps = torch.cat((maps, added), 1)
        if coverage is not None and more.coverage is not None:
            coverage = torch.cat((coverage, more.coverage), 1)
    order = [places[token] for token in tokens]
    return maps[:, order].float(), None if coverage is None else coverage[:, order]


def _floats(values: Tensor) -> Floats:
    return values.detach().float().cpu().numpy()
