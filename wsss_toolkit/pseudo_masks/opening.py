"""Opens what makes the masks of a run."""

from pathlib import Path

import torch

from wsss_toolkit.domain import ClassTable
from wsss_toolkit.heads.saved import MODEL_FILE, load_trained
from wsss_toolkit.pseudo_masks.consensus.mapper import ConsensusMapper
from wsss_toolkit.pseudo_masks.consensus.model import load_consensus
from wsss_toolkit.pseudo_masks.mapper import Mapper
from wsss_toolkit.recipe.schema import Recipe


def open_mapper(
    run: Path,
    recipe: Recipe,
    classes: ClassTable,
    device: torch.device,
    *,
    exclusive: bool,
    kept: bool = False,
) -> Mapper:
    """Open the classifier of a run, or its consensus, as its recipe uses it.

    Args:
        run: The folder of the run, whose stages `train` and, where the recipe has one, `consensus` have finished.
        recipe: The run's recipe.
        classes: The domain's classes.
        device: Where to compute.
        exclusive: Whether every training image had exactly one class; the stage's record says so.
        kept: Whether a consensus keeps the tokens that it reads on disk.

    Raises:
        DataError: If a model's file is missing or damaged.
    """
    trained, fitted = run / "train", run / "consensus"
    model = load_trained(fitted if recipe.consensus is not None and (fitted / MODEL_FILE).exists() else trained)
    model = model.to(device).eval()
    settings = (recipe.pseudo_masks, classes, recipe.model.resize, exclusive, device)
    batches = (recipe.training.batch_size, recipe.machine.workers)
    if recipe.consensus is None:
        return Mapper(model, *settings, *batches)
    consensus = load_consensus(fitted, model.backbone, kept=kept).to(device)
    return ConsensusMapper(model, *settings, *batches, consensus=consensus)
