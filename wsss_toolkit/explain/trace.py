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
from wsss_toolkit.images.padding import pad_to_multiple
from wsss_toolkit.model.gate import FixedGates
from wsss_toolkit.model.vit import MultiTokenViT
from wsss_toolkit.pseudo_masks.assign import assign, binarise, paint_rank
from wsss_toolkit.pseudo_masks.class_maps import chosen_maps, select_layers
from wsss_toolkit.pseudo_masks.label import Mapped, as_seen, map_images
from wsss_toolkit.recipe.schema import PseudoMasks
from wsss_toolkit.runs.trained_run import TrainedRun
from wsss_toolkit.training.train import image_geometry

Floats = NDArray[np.float32]
NOBODY = -1
"""In `Heads.numbers`, a place that no head has; in `Explanation.paint_order`, a class that is not painted."""


@dataclass(frozen=True, slots=True)
class Heads:
    """The attention of class tokens in every layer that has any, of the image as it is: no mirror image, no other size.

    Layers may have lost different numbers of heads to pruning. Places are those before pruning where the model knows
    which heads are left; otherwise the first places are taken. Empty places hold NaN.

    Attributes:
        layers: Indices of the blocks, `l`.
        attention: Share of a token's attention that goes to each patch, `l a k gh gw`; sums to at most 1.
        gates: Openness of each head in 0..1, `l a`; 1 where heads are not gated.
        numbers: Which head, counted before pruning, each place holds, int64 `l a`; `NOBODY` where none does.
        numbered: Whether these numbers are known; otherwise what is left is counted from 0.
    """

    layers: NDArray[np.int64]
    attention: Floats
    gates: Floats
    numbers: NDArray[np.int64]
    numbered: bool


@dataclass(frozen=True, slots=True)
class Explanation:
    """How one mask came to be; k classes are shown, of C.

    Attributes:
        heads: Attention and gates.
        making: Indices of the blocks whose attention becomes maps; empty where the maps have another source.
        tokens: The class tokens shown, int64 `k`.
        logits: Image-level logits of all classes, `C`, averaged over views.
        probabilities: Their sigmoids, `C`.
        active: Which classes may appear in the mask, bool `C`.
        from_labels: Whether these are the image-level labels, and not the predicted classes.
        maps: Final maps at the image's size, `k h w`: after source, layers, affinity, views and refinement.
        thresholds: `k`, in the maps' units.
        claimed: The binary maps, bool `k h w`.
        paint_order: Place of each class in the order of painting, int64 `k`: 0 is painted first; `NOBODY` for classes
            that are not active.
        mask: Mask values and 255, uint8 `h w`.
        confidence: 0..1, `h w`.
        seen: Height and width in pixels at which the classifier saw the image, without padding.
        patch_size: Side of a patch there.
    """

    heads: Heads
    making: tuple[int, ...]
    tokens: NDArray[np.int64]
    logits: Floats
    probabilities: Floats
    active: NDArray[np.bool_]
    from_labels: bool
    maps: Floats
    thresholds: Floats
    claimed: NDArray[np.bool_]
    paint_order: NDArray[np.int64]
    mask: NDArray[np.uint8]
    confidence: Floats
    seen: tuple[int, int]
    patch_size: int


@torch.no_grad()
def explain_image(
    run: TrainedRun, model: MultiTokenViT, subject: Subject, classes: Sequence[str] | None, device: torch.device
) -> Explanation:
    """Explain how the pseudo-mask of an image comes to be.

    The mask is the one that the stage `pseudo_masks` writes for this image.

    Args:
        run: The run.
        model: Its classifier, on the device, in evaluation mode.
        subject: The image.
        classes: Names of the classes to show; None shows those that may appear in the mask.
        device: Where to compute.

    Raises:
        UsageError: If a name is not that of a class with a token.
    """
    asked = _asked_tokens(classes, run.classes.label_names)
    section = run.recipe.pseudo_masks
    labels = None
    if section.classes == "labels" and subject.labels is not None:
        labels = torch.tensor(subject.labels, device=device)[None].float()
    elif section.classes == "labels":  # as for scenes and exported images
        section = section.model_copy(update={"classes": "predicted"})
    image, valid, present = (part.to(device) for part in as_batch(subject, run))
    resize = image_geometry(run.recipe.model)[1]
    found = map_images(
        model,
        image,
        valid,
        present,
        section,
        labels=labels,
        resize=resize,
        reference=subject.reference,
        exclusive=run.exclusive,
        batch_size=run.recipe.train.batch_size,
    )
    mask, confidence = assign(
        found.maps,
        found.logits,
        found.active,
        section,
        run.classes,
        valid=valid,
        tokens=found.tokens,
        coverage=found.coverage,
    )
    active = torch.zeros_like(found.scores[0], dtype=torch.bool)
    active[found.tokens] = found.active[0]
    tokens = asked if asked is not None else active.nonzero().flatten().tolist()
    seen, seen_valid = as_seen(image, valid, resize=resize, reference=subject.reference)
    maps, coverage = _final_maps(
        model, found, tokens, seen, seen_valid, present, section, image.shape[-2:], exclusive=run.exclusive
    )
    # As `assign` does.
    threshold, _, claimed = binarise(maps, None if bool(valid.all()) else valid, section, coverage)
    order = torch.full_like(active, NOBODY, dtype=torch.int64)
    order[found.tokens] = torch.where(found.active, paint_rank(found.logits), NOBODY)[0]
    scores = found.scores[0].double()
    return Explanation(
        heads=read_heads(model, seen, seen_valid, present, tokens),
        making=_making_layers(model, section),
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
        patch_size=model.patch_size,
    )


def read_heads(model: MultiTokenViT, images: Tensor, valid: Tensor, present: Tensor, tokens: Sequence[int]) -> Heads:
    """Return the attention of class tokens per layer and head, for one image `1 k h w` of any size.

    Where class tokens do not read each other, only those asked for are computed.
    """
    padded = pad_to_multiple(images, model.patch_size)
    extra = [whole - part for whole, part in zip(padded.shape[-2:], valid.shape[-2:], strict=True)]
    alone = bool(tokens) and model.selects_classes
    output = model(
        padded,
        present=present,
        valid=F.pad(valid, (0, extra[1], 0, extra[0]), value=False),
        layers=model.class_layers,
        classes=tokens if alone else None,
        head_maps=True,
    )
    assert output.head_maps is not None and output.gates is not None  # they were asked for
    gates = [model.block(index).attn.gate for index in model.class_layers]
    fixed = [gate for gate in gates if isinstance(gate, FixedGates)]
    numbered = all(gate.heads is not None or len(gate.values) == gate.total for gate in fixed)
    count = max(len(maps[0]) for maps in output.head_maps)
    places = max([count, *(gate.total for gate in fixed)])
    shape = (len(gates), places)
    attention = np.full((*shape, len(tokens), *output.head_maps[0].shape[-2:]), np.nan, np.float32)
    openness, numbers = np.full(shape, np.nan, np.float32), np.full(shape, NOBODY, np.int64)
    for layer, (maps, values, gate) in enumerate(zip(output.head_maps, output.gates, gates, strict=True)):
        known = gate.heads if isinstance(gate, FixedGates) and gate.heads is not None else range(len(values))
        heads = list(known)
        attention[layer, heads] = _floats(maps[0] if alone else maps[0, :, list(tokens)])
        openness[layer, heads] = _floats(values)
        numbers[layer, heads] = heads
    return Heads(np.array(model.class_layers, np.int64), attention, openness, numbers, numbered)


def _asked_tokens(names: Sequence[str] | None, known: Sequence[str]) -> list[int] | None:
    if names is None:
        return None
    for name in names:
        if name not in known:
            raise UsageError(f"no class token is called {name!r}", fix=did_you_mean(name, known))
    return sorted({known.index(name) for name in names})


def _final_maps(
    model: MultiTokenViT,
    found: Mapped,
    tokens: Sequence[int],
    seen: Tensor,
    valid: Tensor,
    present: Tensor,
    section: PseudoMasks,
    size: Sequence[int],
    *,
    exclusive: bool,
) -> tuple[Tensor, Tensor | None]:
    """Return the final maps of the tokens `1 k h w`, and their coverage `1 k` where maps are made of windows.

    Those that take no part in the mask are computed for this.
    """
    places = {token: place for place, token in enumerate(found.tokens.tolist())}
    others = [token for token in tokens if token not in places]
    maps, coverage = found.maps, found.coverage
    if others:
        # The softmax over classes, which windows count by, needs all of them.
        chosen = others if model.selects_classes and not exclusive else None
        picked = torch.tensor(others, device=seen.device)
        more = chosen_maps(
            model,
            seen,
            section,
            present=present,
            valid=valid,
            classes=chosen,
            choose=None if chosen is not None else lambda _: picked,
            exclusive=exclusive,
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


def _making_layers(model: MultiTokenViT, section: PseudoMasks) -> tuple[int, ...]:
    if section.source not in ("attention", "fused"):
        return ()
    return select_layers(section.layers, model.enter_at, model.depth)


def _floats(values: Tensor) -> Floats:
    return values.detach().float().cpu().numpy()
