"""Shows the classifier the windows of a view, so many at a time, and makes the maps on their patch grids."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from wsss_toolkit.errors import UsageError
from wsss_toolkit.model.visibility import visible_patches
from wsss_toolkit.pseudo_masks.map_model import MapModel, MapOutput
from wsss_toolkit.pseudo_masks.refine import propagate
from wsss_toolkit.pseudo_masks.views import Layout, View
from wsss_toolkit.recipe.schema import PseudoMasks


class Look(NamedTuple):
    """What the model said of the windows of one view.

    Attributes:
        layout: Where the windows lie.
        logits: ``p b c``; -inf for windows without data.
        areas: Share of each image that each window answers for, ``p b``.
        grids: Maps on the patch grids ``p b c gh gw``; None where they are made later.
    """

    layout: Layout
    logits: Tensor
    areas: Tensor
    grids: Tensor | None


def look_at(
    model: MapModel,
    view: View,
    section: PseudoMasks,
    *,
    present: Tensor | None,
    layers: Sequence[int],
    classes: Sequence[int] | None,
    batch_size: int,
) -> Look:
    """Show the model every window of a view that holds data, so many at a time."""
    worth = view.worth_seeing()
    pairs = worth.nonzero()
    logits, grids = [], []
    for some in torch.split(pairs, batch_size):
        crops, valid = view.crops(some)
        output = model(
            crops,
            present=None if present is None else present[some[:, 1]],
            valid=valid,
            layers=layers,
            classes=classes,
            patch_maps=section.source in ("patch_classifier", "fused"),
            affinity=section.affinity.iterations > 0 and section.source != "gradcam",
        )
        logits.append(output.logits.float())
        if section.source != "gradcam":
            grids.append(_spread(_patch_grid_maps(output, section, valid, model.patch_size), output, section))
    return Look(
        view.layout,
        _in_place(torch.cat(logits), pairs, worth, -torch.inf),
        view.areas(),
        _in_place(torch.cat(grids), pairs, worth, 0.0) if grids else None,
    )


def _in_place(values: Tensor, pairs: Tensor, worth: Tensor, rest: float) -> Tensor:
    """Return values ``n ...`` of windows that were seen as ``p b ...``, with `rest` for the others."""
    if len(pairs) == worth.numel():
        return values.reshape(*worth.shape, *values.shape[1:])
    placed = values.new_full((*worth.shape, *values.shape[1:]), rest)
    placed[pairs[:, 0], pairs[:, 1]] = values
    return placed


def grad_cam_grids(
    model: MapModel, view: View, section: PseudoMasks, present: Tensor | None, tokens: Tensor, batch_size: int
) -> Tensor:
    """Return Grad-CAM of the chosen classes on the patch grids, ``p b k gh gw``: a backward pass for each class."""
    from wsss_toolkit.pseudo_masks.gradcam import grad_cam  # MONAI is slow to import

    worth = view.worth_seeing()
    pairs = worth.nonzero()
    grids = []
    for some in torch.split(pairs, batch_size):
        crops, valid = view.crops(some)
        shown = None if present is None else present[some[:, 1]]
        maps = grad_cam(model, crops, present=shown, valid=valid, classes=tokens.tolist())
        if section.affinity.iterations:
            maps = _spread(maps, model(crops, present=shown, valid=valid, affinity=True), section)
        grids.append(maps)
    return _in_place(torch.cat(grids), pairs, worth, 0.0)


def _patch_grid_maps(output: MapOutput, section: PseudoMasks, valid: Tensor | None, patch: int) -> Tensor:
    """Return the section's kind of map on the patch grid, ``b c h w``."""
    maps = None
    if section.source in ("attention", "fused"):
        assert output.class_maps is not None  # layers were asked for
        maps = mean_over_layers(output.class_maps.float(), output.layer_weights)
        patches = maps.shape[-2] * maps.shape[-1]
        if valid is None:
            maps = maps * patches
        else:
            readable = visible_patches(valid, patch).sum(dim=1)
            maps = maps * torch.where(readable == 0, patches, readable)[:, None, None, None]
    if section.source in ("patch_classifier", "fused"):
        if output.patch_maps is None:
            raise UsageError(
                f"pseudo_masks.source: {section.source} needs a patch classifier, and the model has none",
                fix="set model.patch_classifier.weight above 0 and train again",
            )
        scores = output.patch_maps.float().relu()
        maps = scores if maps is None else maps * scores
    assert maps is not None  # Grad-CAM is made elsewhere
    return maps


def _spread(maps: Tensor, output: MapOutput, section: PseudoMasks) -> Tensor:
    """Propagate maps ``b c h w`` along the patches' affinity, where the section asks for it."""
    if not section.affinity.iterations:
        return maps
    assert output.affinity is not None  # it was asked for
    return propagate(
        maps, output.affinity.float(), iterations=section.affinity.iterations, power=section.affinity.power
    )


def mean_over_layers(maps: Tensor, weights: Tensor | None = None) -> Tensor:
    """Average class maps over layers, leaving out layers whose heads are all closed.

    Args:
        maps: ``b l c h w``.
        weights: Not negative, ``l``; None weighs all layers alike.

    Returns:
        ``b c h w``; zeros where every weight is 0.
    """
    if weights is None:
        return maps.mean(dim=1)
    total = weights.sum().clamp_min(torch.finfo(weights.dtype).tiny)
    return torch.einsum("blchw,l->bchw", maps, (weights / total).to(maps))
