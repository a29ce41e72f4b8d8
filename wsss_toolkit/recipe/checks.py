"""Checks that look at several parts of a recipe."""

import re
from collections.abc import Iterator
from typing import Any

from wsss_toolkit.errors import UsageError, did_you_mean
from wsss_toolkit.recipe.consensus_checks import check_consensus
from wsss_toolkit.recipe.messages import Finding
from wsss_toolkit.recipe.parts import Part, select_layers
from wsss_toolkit.recipe.schema import Channels, Model, Recipe
from wsss_toolkit.recipe.segmentation_checks import check_segmentation

# Blocks of the sizes that timm names; other backbones are asked through timm itself.
_DEPTHS = {"tiny": 12, "small": 12, "medium": 12, "base": 12, "large": 24, "huge": 32}
_NAME = re.compile(r"(?:vit|deit|deit3)_(tiny|small|medium|base|large|huge)_(?:distilled_)?patch(\d+)_(?!\d+x\d)")


def backbone_shape(backbone: str) -> tuple[int, int]:
    """Return the patch size in pixels and the number of blocks of a timm Vision Transformer.

    Raises:
        UsageError: If timm has no such model, or it is not a plain Vision Transformer.
    """
    known = _NAME.match(backbone)
    if known:
        return int(known[2]), _DEPTHS[known[1]]
    import timm  # slow, and most recipes do not need it
    import torch

    try:
        with torch.device("meta"):
            model: Any = timm.create_model(backbone, pretrained=False)
        (patch, *_), blocks = model.patch_embed.patch_size, len(model.blocks)
    except (RuntimeError, AttributeError, TypeError, ValueError) as error:
        if timm.is_model(backbone.split(".")[0]):
            raise UsageError(f"timm's {backbone!r} is not a plain Vision Transformer") from error
        hint = did_you_mean(backbone, timm.list_models("vit_*"), "for example vit_base_patch16_224")
        raise UsageError(f"timm has no model {backbone!r}", fix=hint) from error
    return int(patch), int(blocks)


def check_recipe(recipe: Recipe) -> Iterator[Finding]:
    """Yield what is wrong between the parts of a recipe, without looking at any data."""
    try:
        patch, blocks = backbone_shape(recipe.model.backbone)
    except UsageError as error:
        yield Finding(("model", "backbone"), str(error))
        yield from check_segmentation(recipe, None)
        yield from check_consensus(recipe, None)
    else:
        yield from _check_model(recipe, recipe.model.patch_size or patch, blocks)
        depth = min(recipe.model.depth or blocks, blocks)
        yield from check_segmentation(recipe, depth)
        yield from check_consensus(recipe, depth)
    yield from _check_frozen(recipe)
    yield from _check_bands(recipe.channels)
    yield from _check_parts(recipe)
    yield from _check_pseudo_masks(recipe)
    yield from _check_split_lists(recipe)


def _check_model(recipe: Recipe, patch: int, blocks: int) -> Iterator[Finding]:
    model: Model = recipe.model
    size, enter_at = model.image_size, model.class_tokens.enter_at
    backbone, undivided = ("model", "backbone"), f"is not divisible by the patch size {patch}"
    of_patch = (backbone, ("model", "patch_size"))
    if size % patch:
        low, high = size // patch * patch, (size // patch + 1) * patch
        nearest = f"{low} or {high}" if low else str(high)
        yield Finding(("model", "image_size"), f"{size} {undivided}; the nearest are {nearest}", reads=of_patch)
    window = recipe.pseudo_masks.window
    if isinstance(window, int) and window % patch:
        yield Finding(("pseudo_masks", "window"), f"{window} {undivided}", reads=of_patch)
    if model.depth is not None and model.depth > blocks:
        yield Finding(("model", "depth"), f"{model.backbone} has {blocks} blocks, got {model.depth}", reads=(backbone,))
    depth = min(model.depth or blocks, blocks)
    reads = (backbone, ("model", "depth"), ("model", "class_tokens"))
    if enter_at >= depth:
        message = f"must be below the number of blocks, {depth}, got {enter_at}"
        yield Finding(("model", "class_tokens", "enter_at"), message, reads=reads[:2])
        return
    for path, part in parts_of(recipe).items():
        needs, where = part.needs(), (*path, "layers")
        try:
            if needs.layers is not None:
                select_layers(needs.layers, enter_at, depth)
        except UsageError as error:
            yield Finding(where, str(error).removeprefix("layers: "), reads=reads)
        if isinstance(needs.layers, tuple) and len(set(needs.layers)) < len(needs.layers):
            yield Finding(where, f"name each block once, got {list(needs.layers)}")
        missing = [block for block in needs.blocks if not -depth <= block < depth]
        if missing:
            yield Finding(path, f"needs block {missing[0]}, and the model has blocks 0 to {depth - 1}", reads=reads)
        frozen = [
            block for block in needs.blocks if block not in missing and block % depth < recipe.training.freeze_below
        ]
        if frozen:
            message = f"needs block {frozen[0]}, and the outputs of blocks below train.freeze_below alone are kept"
            yield Finding(path, message, reads=(*reads, ("train", "freeze_below")))


def _check_frozen(recipe: Recipe) -> Iterator[Finding]:
    frozen, enter_at = recipe.training.freeze_below, recipe.model.class_tokens.enter_at
    if not frozen:
        return
    where = ("train", "freeze_below")
    if frozen > enter_at:
        message = f"blocks below {frozen} are computed once and cached, but class tokens join at block {enter_at}; "
        message += f"freeze at most {enter_at} or raise model.class_tokens.enter_at"
        yield Finding(where, message, reads=(("model", "class_tokens"),))
    changing = {
        ("model", "fit"): ("random crops (model.fit: crop)", recipe.model.fit == "crop"),
        ("train", "augment", "color_jitter"): ("colour jitter", recipe.training.augment.color_jitter > 0),
        ("channels", "sensor_dropout"): ("sensor dropout", recipe.channels.sensor_dropout > 0),
    }
    for path, (what, used) in changing.items():
        if used:
            message = f"the outputs of frozen blocks cannot be cached under {what}; turn one of the two off"
            yield Finding(where, message, reads=(path,))


def parts_of(recipe: Recipe) -> dict[tuple[str, ...], Part]:
    """Return every part that a recipe names, by its key."""
    parts: dict[tuple[str, ...], Part] = {("pseudo_masks", "source"): recipe.pseudo_masks.source}
    sections = {
        ("heads",): recipe.heads,
        ("objective",): recipe.objective,
        ("pseudo_masks", "refine"): recipe.pseudo_masks.refine,
    }
    if recipe.consensus is not None:
        parts["consensus", "seeds"] = recipe.consensus.seeds
    if recipe.segmentation is not None:
        sections["segmentation", "refine"] = recipe.segmentation.refine
    return parts | {(*path, name): part for path, found in sections.items() for name, part in found.items()}


def _check_parts(recipe: Recipe) -> Iterator[Finding]:
    """Compare what the parts of a recipe need with what it has."""
    if "class" not in recipe.heads:
        yield Finding(("heads",), "no head is called `class`, which says what an image shows; name one so")
    shared = recipe.model.class_tokens.shared
    trained: set[str] = set()
    for path, part in parts_of(recipe).items():
        needs = part.needs()
        trained |= set(needs.heads) if path[0] == "objective" else set()
        reader = (*path, "head") if hasattr(part, "head") else path
        for head in (*needs.heads, *needs.patch_heads):
            if head not in recipe.heads:
                message = f"needs a head {head!r}, {did_you_mean(head, recipe.heads)}"
                yield Finding(reader, f"{message}; add heads.{head}", reads=(("heads",),))
            elif head in needs.patch_heads and not recipe.heads[head].reads_patches:
                message = f"needs scores of patches, which head {head!r} does not give"
                yield Finding(reader, message, reads=(("heads",),))
        if needs.class_maps and shared:
            yield Finding(path, "needs a token for each class, but model.class_tokens.shared is true")
    for head in recipe.heads:
        if head not in trained:
            message = "no term of the objective trains this head; add one, such as {kind: presence, head: NAME}"
            yield Finding(("heads", head), message.replace("NAME", head), at_key=True, reads=(("objective",),))
    by_token = any(head.kind == "per_token" for head in recipe.heads.values())
    if shared and (by_token or recipe.model.token_masking):
        message = (
            "there is one token, which stands for no class: it goes with a head of kind concat and `token_masking: 0`"
        )
        yield Finding(("model", "class_tokens", "shared"), message, reads=(("heads",), ("model", "token_masking")))
    if recipe.segmentation is not None:
        for name, refiner in recipe.segmentation.refine.items():
            if getattr(refiner, "on_grid", False):
                message = f"{refiner.kind} works on the classifier's patches, which the network's scores have not"
                yield Finding(("segmentation", "refine", name), message, at_key=True)


def _check_bands(channels: Channels) -> Iterator[Finding]:
    for name, sensor in channels.sensors.items():
        where = ("channels", name, "bands")
        if sensor.bands == "all":
            continue
        if not sensor.bands:
            yield Finding(where, "needs at least 1 band, or leave the sensor out")
        for index, band in enumerate(sensor.bands):
            if band in sensor.bands[:index]:
                yield Finding((*where, index), f"band {band} is given twice")
        if sensor.scale == "imagenet" and len(sensor.bands) != 3:
            yield Finding(where, f"scale imagenet takes red, green and blue, got {len(sensor.bands)} bands")


def _check_pseudo_masks(recipe: Recipe) -> Iterator[Finding]:
    section, scored = recipe.pseudo_masks, recipe.evaluation.pseudo_masks
    by_labels = [split for split in scored if section.of_split(split).classes == "labels"]
    if by_labels and recipe.labels.source == "mask_coverage":
        message = "labels derived from masks must not choose the classes of pseudo-masks that are scored on these "
        message += f"masks; use classes: predicted, a tag file, or leave {', '.join(by_labels)} out of "
        message += "evaluation.pseudo_masks"
        reads = (("labels",), ("evaluation", "pseudo_masks"))
        yield Finding(("pseudo_masks", "classes"), message, reads=reads)


def _check_split_lists(recipe: Recipe) -> Iterator[Finding]:
    written = recipe.pseudo_masks.splits
    scored = ("evaluation", "pseudo_masks")
    reads = (("pseudo_masks", "splits"),)
    for split in recipe.evaluation.pseudo_masks:
        if split not in written:
            message = f"no pseudo-masks are written for {split!r}; add it to pseudo_masks.splits"
            yield Finding(scored, message, reads=reads)
    if recipe.segmentation is not None and "train" not in written:
        message = "the segmentation network trains on the pseudo-masks of 'train'; add it or set segmentation: null"
        yield Finding(("pseudo_masks", "splits"), message, reads=(("segmentation",),))
    if recipe.segmentation is None:
        # The defaults stand for a recipe with a network; only what was asked for can contradict its absence.
        if "segmentation" in recipe.evaluation.model_fields_set and recipe.evaluation.segmentation:
            message = "there is no segmentation network to score (segmentation: null); use []"
            yield Finding(("evaluation", "segmentation"), message)
    for path, splits in split_lists(recipe).items():
        for split in dict.fromkeys(splits):
            if splits.count(split) > 1:
                yield Finding(path, f"split {split!r} is given twice")


def split_lists(recipe: Recipe) -> dict[tuple[str, str], tuple[str, ...]]:
    """Return every list of splits in a recipe by its key; those that an absent network is scored on are left out."""
    lists = {
        ("pseudo_masks", "splits"): recipe.pseudo_masks.splits,
        ("evaluation", "pseudo_masks"): recipe.evaluation.pseudo_masks,
        ("export", "splits"): recipe.export.splits,
    }
    if recipe.segmentation is not None:
        lists["evaluation", "segmentation"] = recipe.evaluation.segmentation
    return lists
