"""What the supervised rows of `wsss compare` read of a recipe; reading it loads no torch."""

from dataclasses import asdict

from wsss_toolkit.domain import Adapter, Changes
from wsss_toolkit.domain.fingerprint import as_fingerprint, settings
from wsss_toolkit.experiments.cells import SUPERVISED_STAGES, Supervised
from wsss_toolkit.recipe import Recipe
from wsss_toolkit.recipe.schema import Segmentation, SelfTraining
from wsss_toolkit.runs.folder import digest
from wsss_toolkit.runs.pipeline import MODEL, sections_of

REVISION = 2
"""Raised when the same inputs come to give another result."""


def stage_digests(recipe: Recipe, kind: Supervised, adapter: Adapter) -> dict[str, str]:
    """Return the digest of everything that each stage's result depends on."""
    section = recipe.segmentation
    data = asdict(as_fingerprint(adapter.fingerprint()))
    trained: list[object] = [kind, REVISION, data, recipe.seed, settings(recipe.channels)]
    if kind == "supervised_unet" and section is not None:
        trained.append(settings(section))
    if kind == "supervised_vit" or (section is not None and section.encoder == "classifier"):
        trained.append(sections_of(recipe, (*MODEL, "train")))
    training = digest(trained)
    scored: list[object] = [training, list(scored_splits(recipe))]
    if kind == "supervised_unet" and section is not None:
        scored.append(settings(section, frozenset({Changes.PREDICTIONS})))
    return dict(zip(SUPERVISED_STAGES, (training, digest(scored)), strict=True))


def scored_splits(recipe: Recipe) -> tuple[str, ...]:
    """Return the splits on which a supervised network is scored: those of the recipe's network, if it has one."""
    return recipe.evaluation.pseudo_masks if recipe.segmentation is None else recipe.evaluation.segmentation


def unet_section(recipe: Recipe) -> Segmentation:
    """Return `segmentation` without rounds, which need pseudo-masks, and a trained classifier's patch scores."""
    section = recipe.segmentation
    assert section is not None
    classifier = section.classifier.model_copy(update={"patch_scores": False})
    return section.model_copy(update={"self_training": SelfTraining(), "classifier": classifier})
