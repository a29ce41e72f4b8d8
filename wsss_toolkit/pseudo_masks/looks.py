"""Shows the classifier the windows of a view, so many at a time, and makes the maps on their patch grids."""

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor

from wsss_toolkit.heads.classifier import Classifier, Seen
from wsss_toolkit.model.attention_maps import Reader, together
from wsss_toolkit.model.vit import Read
from wsss_toolkit.pseudo_masks.refiners.refiner import Refiner, refiners_of
from wsss_toolkit.pseudo_masks.sources.source import MapSource
from wsss_toolkit.pseudo_masks.views import Layout, View
from wsss_toolkit.recipe.schema import PseudoMasks


def source_of(section: PseudoMasks) -> MapSource:
    """Return the section's map source."""
    return cast(MapSource, section.source)


class Look(NamedTuple):
    """What the model said of the windows of one view."""

    layout: Layout
    logits: Tensor
    """``p b c``; -inf for windows without data."""
    areas: Tensor
    """Share of each image that each window answers for, ``p b``."""
    grids: Tensor | None
    """Maps on the patch grids ``p b c gh gw``; None where they are made later."""


def look_at(
    model: Classifier,
    view: View,
    section: PseudoMasks,
    *,
    present: Tensor | None,
    classes: Sequence[int] | None,
    batch_size: int,
) -> Look:
    """Show the model every window of a view that holds data, so many at a time."""
    source, refiners = source_of(section), refiners_of(section.refine, on_grid=True)
    made_now = not source.per_class
    worth = view.worth_seeing()
    pairs = worth.nonzero()
    logits, grids = [], []
    for some in torch.split(pairs, batch_size):
        seen = _show(model, view, some, present, classes, [source, *refiners] if made_now else [])
        logits.append(seen.logits.float())
        if made_now:
            grids.append(_spread(source.maps(seen), seen, refiners))
    return Look(
        view.layout,
        _in_place(torch.cat(logits), pairs, worth, -torch.inf),
        view.areas(),
        _in_place(torch.cat(grids), pairs, worth, 0.0) if grids else None,
    )


def _show(
    model: Classifier,
    view: View,
    pairs: Tensor,
    present: Tensor | None,
    classes: Sequence[int] | None,
    parts: Sequence[MapSource | Refiner],
) -> Seen:
    """Show the model some windows, and let parts of the recipe read its attention."""
    crops, valid = view.crops(pairs)
    wanted: dict[int, list[Reader]] = {}
    for part in parts:
        for block, reader in part.reads(model).items():
            wanted.setdefault(block, []).append(reader)
    read: Read = {block: together(readers) for block, readers in wanted.items()}
    shown = None if present is None else present[pairs[:, 1]]
    whole = any(isinstance(part, Refiner) for part in parts)
    found: Seen = model(crops, present=shown, valid=valid, classes=classes, read=read, whole=whole)
    return found


def _spread(maps: Tensor, seen: Seen, refiners: Sequence[Refiner]) -> Tensor:
    for refiner in refiners:
        maps = refiner.spread(maps, seen)
    return maps


def _in_place(values: Tensor, pairs: Tensor, worth: Tensor, rest: float) -> Tensor:
    """Return values ``n ...`` of windows that were seen as ``p b ...``, with `rest` for the others."""
    if len(pairs) == worth.numel():
        return values.reshape(*worth.shape, *values.shape[1:])
    placed = values.new_full((*worth.shape, *values.shape[1:]), rest)
    placed[pairs[:, 0], pairs[:, 1]] = values
    return placed


def grids_by_class(
    model: Classifier, view: View, section: PseudoMasks, present: Tensor | None, tokens: Tensor, batch_size: int
) -> Tensor:
    """Return maps that take work of their own, of the chosen classes on the patch grids, `p b k gh gw`."""
    source, refiners = source_of(section), refiners_of(section.refine, on_grid=True)
    worth = view.worth_seeing()
    pairs = worth.nonzero()
    grids = []
    for some in torch.split(pairs, batch_size):
        crops, valid = view.crops(some)
        maps = source.maps_of(model, crops, None if present is None else present[some[:, 1]], valid, tokens.tolist())
        if refiners:
            maps = _spread(maps, _show(model, view, some, present, None, refiners), refiners)
        grids.append(maps)
    return _in_place(torch.cat(grids), pairs, worth, 0.0)
