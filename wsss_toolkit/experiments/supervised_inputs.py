"""What the supervised rows of `wsss compare` read of a recipe; reading it loads no torch."""

from dataclasses import asdict

from wsss_toolkit.domain import Adapter, Changes
from wsss_toolkit.domain.fingerprint import as_fingerprint, settings
from wsss_toolkit.experiments.cells import SUPERVISED_STAGES, Supervised
from wsss_toolkit.recipe import Recipe
from wsss_toolkit.recipe.checks import backbone_shape
from wsss_toolkit.recipe.schema import ClassifierEncoder, Segmentation, SegmentationAugment, SelfTraining
from wsss_toolkit.runs.folder import digest
from wsss_toolkit.runs.pipeline import MODEL, sections_of

REVISION = 5
"""Raised when the same inputs come to give another result."""

MOST_EPOCHS = 40
"""What supervised rows train at most, and over which their learning rate falls; more where the recipe has more."""
PATIENCE = 8
"""They stop after so many epochs in which the mIoU on the validation split's masks has not risen."""


def stage_digests(recipe: Recipe, kind: Supervised, adapter: Adapter) -> dict[str, str]:
    """Return the digest of everything that each stage's result depends on."""
    data = asdict(as_fingerprint(adapter.fingerprint()))
    trained: list[object] = [kind, REVISION, data, recipe.seed, settings(recipe.channels)]
    section = None if kind == "supervised_vit" else network_section(recipe, kind)
    if section is not None:
        trained.append(settings(section))
    if section is None or section.encoder == "classifier":
        trained.append(sections_of(recipe, (*MODEL, "train")))
    training = digest(trained)
    scored: list[object] = [training, list(scored_splits(recipe))]
    if section is not None:
        scored.append(settings(section, frozenset({Changes.PREDICTIONS})))
    return dict(zip(SUPERVISED_STAGES, (training, digest(scored)), strict=True))


def scored_splits(recipe: Recipe) -> tuple[str, ...]:
    """Return the splits on which a supervised network is scored: those of the recipe's network, if it has one."""
    return recipe.evaluation.pseudo_masks if recipe.segmentation is None else recipe.evaluation.segmentation


def network_section(recipe: Recipe, kind: Supervised) -> Segmentation:
    """Return the network of a row that is not the Vision Transformer's own: `segmentation`, or the head on tokens.

    It has neither rounds, which need pseudo-masks, nor a trained classifier's patch scores. The head is the same for
    all recipes but for batches, size, weight decay, Dice and refinement, which are the section's, or the defaults.
    """
    section = recipe.segmentation or Segmentation()
    if kind == "supervised_unet":
        classifier = section.classifier.model_copy(update={"patch_scores": False})
        return section.model_copy(update={"self_training": SelfTraining(), "classifier": classifier})
    depth = recipe.model.depth or backbone_shape(recipe.model.backbone)[1]
    blocks = tuple(sorted({round(depth * 2 / 3), depth - 1}))
    changes = {
        "architecture": "unet",
        "encoder": "classifier",
        "weights": "none",
        "classifier": ClassifierEncoder(decoder="head", blocks=blocks),
        "input_scale": 2,
        "crop_size": None,  # tokens are computed once, so nothing may move images
        "class_balance": 0.0,
        "lr": 3e-3,
        "self_training": SelfTraining(),
        "augment": SegmentationAugment(horizontal_flip=False, domain=False),
    }
    return section.model_copy(update=changes)


def with_epochs(recipe: Recipe) -> Recipe:
    """Return a recipe whose trainings may take `MOST_EPOCHS`."""
    sections = {"train": recipe.train, "segmentation": recipe.segmentation or Segmentation()}
    changes = {
        name: section.model_copy(update={"epochs": max(MOST_EPOCHS, section.epochs)})
        for name, section in sections.items()
        if section is not None
    }
    return recipe.model_copy(update=changes)
