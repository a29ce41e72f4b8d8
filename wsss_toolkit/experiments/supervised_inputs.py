"""What the supervised rows of `wsss compare` read of a recipe; reading it loads no torch."""

from pydantic import BaseModel

from wsss_toolkit.domain import Adapter
from wsss_toolkit.experiments.cells import SUPERVISED_STAGES, Supervised
from wsss_toolkit.recipe import Recipe
from wsss_toolkit.recipe.schema import PREDICTION_ONLY, Segmentation, SelfTraining
from wsss_toolkit.runs.folder import digest, file_identity

REVISION = 1
"""Raised when the same inputs come to give another result."""


def stage_digests(recipe: Recipe, kind: Supervised, adapter: Adapter) -> dict[str, str]:
    """Return the digest of everything that each stage's result depends on."""
    section = recipe.segmentation
    trained: list[object] = [kind, REVISION, adapter.fingerprint(), recipe.seed, recipe.channels]
    if kind == "supervised_unet" and section is not None:
        trained += [section.model_dump(mode="json", exclude=PREDICTION_ONLY), file_identity(section.weights)]
    if kind == "supervised_vit" or (section is not None and section.encoder == "classifier"):
        train = recipe.train.model_dump(mode="json", exclude={"cache", "workers", "images_in_memory_mb"})
        trained += [recipe.model, file_identity(recipe.model.weights), train]
    training = digest([part.model_dump(mode="json") if isinstance(part, BaseModel) else part for part in trained])
    scored: list[object] = [training, list(scored_splits(recipe))]
    if kind == "supervised_unet" and section is not None and section.refine:
        scored.append(section.model_dump(mode="json", include=PREDICTION_ONLY))
    return dict(zip(SUPERVISED_STAGES, (training, digest(scored)), strict=True))


def scored_splits(recipe: Recipe) -> tuple[str, ...]:
    """Return the splits on which a supervised network is scored: those of the recipe's network, if it has one."""
    return recipe.evaluation.pseudo_masks if recipe.segmentation is None else recipe.evaluation.segmentation


def unet_section(recipe: Recipe) -> Segmentation:
    """Return the recipe's `segmentation` without what needs pseudo-masks or a classifier that was trained on labels.

    That is further rounds and patch scores.
    """
    section = recipe.segmentation
    assert section is not None
    changes = {
        "self_training": SelfTraining(),
        "classifier": section.classifier.model_copy(update={"patch_scores": False}),
    }
    return section.model_copy(update=changes)
