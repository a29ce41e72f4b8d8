"""From image-level labels and frozen tokens to a fitted consensus: the work of its stage."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from wsss_toolkit.errors import DataError
from wsss_toolkit.heads.classifier import Classifier, build_classifier
from wsss_toolkit.heads.saved import MODEL_FILE, load_trained, save_model
from wsss_toolkit.images.dataset import ImageDataset
from wsss_toolkit.model.weights import load_weights
from wsss_toolkit.pseudo_masks.consensus import instances
from wsss_toolkit.pseudo_masks.consensus.features import Standardise, TokenReader, measure, shown_size
from wsss_toolkit.pseudo_masks.consensus.groups import Group, collect, over, read_tokens
from wsss_toolkit.pseudo_masks.consensus.heads import ConvHead, LinearHead, fit_head, mean_logit
from wsss_toolkit.pseudo_masks.consensus.model import Consensus, save_consensus
from wsss_toolkit.pseudo_masks.consensus.regions import Regions, describe, fit_regions
from wsss_toolkit.pseudo_masks.consensus.seeds import ranks, seeds_by_rank, seeds_by_value
from wsss_toolkit.pseudo_masks.mapper import Mapper
from wsss_toolkit.recipe.checks import backbone_shape
from wsss_toolkit.recipe.schema import Consensus as Section
from wsss_toolkit.recipe.schema import Gates, Recipe

MEASURED_IMAGES = 200
"""Training images, evenly spaced, on which tokens are standardised."""
HEADS = 2
"""Convolutional heads that differ in their start, whose logits are averaged."""


def fit_consensus(
    images: ImageDataset,
    recipe: Recipe,
    folder: Path,
    device: torch.device,
    *,
    trained: Path | None,
    seeding: Mapper | None,
    tags: Mapping[str, str],
) -> dict[str, Any]:
    """Fit the consensus to the training images and save it; equations are in docs/method.md.

    Args:
        images: The training images, whole, with image-level labels.
        recipe: Says how: its sections channels, model and consensus, and its seed.
        folder: Gets the consensus and, unless it reads the trained classifier's tokens, the frozen backbone.
        device: Where tokens are computed; heads are fitted on the CPU.
        trained: Folder of the trained classifier whose tokens are read; None reads those of the starting weights.
        seeding: Makes class maps, the evidence for foreground; None takes the contrast of patch classifiers.
        tags: Provenance to store.

    Returns:
        Plain values for the report: which share of the patches seeded foreground and background.

    Raises:
        DataError: If no image that holds data shows any class.
    """
    section = recipe.consensus
    assert section is not None and images.labels is not None
    if trained is not None:
        model = load_trained(trained)
    else:
        model = build_frozen(recipe, images, section)
        save_model(model, folder / MODEL_FILE, tags)
    kept, workers = recipe.machine.cache == "disk", recipe.machine.workers
    reader = TokenReader(model.backbone.to(device), section.blocks, section.resolution, kept=kept)
    some = np.unique(np.linspace(0, len(images) - 1, MEASURED_IMAGES).round().astype(int))
    sampled = ImageDataset(images.adapter, [images.keys[place] for place in some], images.prepare)
    tokens = (found for found, _ in read_tokens(reader, sampled, workers, device, "tokens to standardise by"))
    standardise = measure(tokens, len(reader.blocks)).to(device)
    groups, evidence = collect(reader, standardise, images, workers, device, seeding)
    if not any(images.labels[group.places.numpy()].any() for group in groups):
        what = "no training image that holds data shows any class, so there is nothing to find"
        raise DataError(what, fix="look at the frequencies that the stage labels prints, and at the recipe's labels")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        fitted = fit_to(groups, torch.from_numpy(images.labels), evidence, standardise.cpu(), section, recipe.seed)
    save_consensus(Consensus(reader, standardise, fitted.heads, fitted.regions), folder, tags)
    return {"seeds": fitted.shares}


def build_frozen(recipe: Recipe, images: ImageDataset, section: Section) -> Classifier:
    """Build the classifier with its starting weights, its positions at the resolution of the consensus."""
    patch = recipe.model.patch_size or backbone_shape(recipe.model.backbone)[0]
    side = shown_size((1, 1), section.resolution, patch)[0]
    labels, channels = images.labels, images.prepare.channels
    assert labels is not None
    # Gates that nothing trains are not quite open, and would change the tokens.
    sized = recipe.model.model_copy(update={"image_size": side, "gates": Gates(enabled=False)})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        model = build_classifier(sized, recipe.heads, channels, recipe.channels.fusion, labels.shape[1])
    load_weights(model.backbone, sized.weights, channels)
    return model


class Fitted(NamedTuple):
    """What was fitted.

    Attributes:
        heads: Heads that find foreground.
        regions: Says which classes an image, and a patch, shows.
        shares: Which share of the patches seeded the heads, by name.
    """

    heads: nn.ModuleList
    regions: Regions
    shares: dict[str, float]


def fit_to(
    groups: Sequence[Group],
    labels: Tensor,
    evidence: Sequence[Tensor] | None,
    standardise: Standardise,
    section: Section,
    seed: int,
) -> Fitted:
    """Fit heads to the seeds of all images, and a classifier of the regions that they find to image-level labels.

    Args:
        groups: Features of the training images.
        labels: Which classes they show, 0 or 1, `n c` in the order of the data set.
        evidence: How much speaks for foreground at each patch, `m n` of each group; None takes the contrast of the
            patch classifiers.
        standardise: Of the features.
        section: The recipe's `consensus`.
        seed: The recipe's; torch's state decides the rest.
    """
    # An image that shows nothing is background everywhere; where all show something, there is none.
    empty = [~labels[group.places].bool().any(1) for group in groups]
    inner = [group.inner for group in groups]
    if evidence is None:
        found = instances.fit_instances(groups, labels, standardise, seed)

        def speaks(white: Tensor, seen: Tensor, grid: tuple[int, int]) -> Tensor:
            return instances.evidence(found, standardise.half_white(white), seen)

        seeds = seeds_by_value(list(over(groups, speaks)), inner, section.area, empty)
    else:
        # Maps of other sources have no scale that images share.
        ranked = [ranks(found, seen) for found, seen in zip(evidence, inner, strict=True)]
        seeds = [seeds_by_rank(found, section.area, none) for found, none in zip(ranked, empty, strict=True)]
    components = groups[0].white.shape[-1]
    linear = LinearHead(components)
    fit_head(linear, groups, seeds, epochs=3, lr=1e-2, seed=seed, what="linear head")
    heads = nn.ModuleList([linear])
    if section.head == "conv":
        logits = over(groups, lambda white, inner, grid: mean_logit([linear], white, grid))
        seeds = seeds_by_value([logit.sigmoid() for logit in logits], inner, section.area, empty)
        heads = nn.ModuleList(ConvHead(components) for _ in range(HEADS))
        for number, head in enumerate(heads):
            what = f"convolutional head {number + 1} of {HEADS}"
            fit_head(head, groups, seeds, epochs=4, lr=3e-3, seed=seed * HEADS + number, what=what)

    def described(white: Tensor, seen: Tensor, grid: tuple[int, int]) -> Tensor:
        return describe(standardise.half_white(white), mean_logit(heads, white, grid).sigmoid(), seen)

    regions = fit_regions(list(over(groups, described)), [labels[group.places] for group in groups])
    patches = sum(int(seen.sum()) for seen in inner)
    foreground = sum(int(part.foreground.sum()) for part in seeds) / patches
    background = sum(int((part.known & ~part.foreground).sum()) for part in seeds) / patches
    return Fitted(heads, regions, {"foreground": round(foreground, 4), "background": round(background, 4)})
