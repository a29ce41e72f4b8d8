"""Checks of the recipe's `consensus`, and of a recipe that trains no classifier."""

from collections.abc import Iterator

from pydantic import BaseModel

from wsss_toolkit.recipe.messages import Finding
from wsss_toolkit.recipe.schema import Recipe

UNREAD = ("source", "assign", "normalize", "threshold", "fill", "flips", "scales", "window", "window_overlap")
"""Keys of `pseudo_masks` that say how the classifier's own maps become masks."""


def check_consensus(recipe: Recipe, depth: int | None) -> Iterator[Finding]:
    """Yield what is wrong between `consensus` and the rest of a recipe.

    Args:
        recipe: The recipe.
        depth: Blocks of the backbone; None where they are not known.
    """
    section, masks = recipe.consensus, recipe.pseudo_masks
    if section is None:
        if recipe.train is None:
            yield Finding(("train",), "null trains no classifier, and without `consensus` nothing else makes masks")
        if masks.source.kind == "contrast" and getattr(masks.source, "head", None) is None:
            message = (
                "contrast takes the scores of a trained head here; add `head: patch`, or use it in consensus.seeds"
            )
            yield Finding(("pseudo_masks", "source"), message)
        return
    for key in UNREAD:
        if _is_set(masks, key):
            message = "is not read with `consensus`, which makes the maps; leave it out"
            yield Finding(("pseudo_masks", key), message, at_key=True, reads=(("consensus",),))
    if masks.background != "residual" or masks.residual.peak is not None:
        message = "with `consensus`, maps are probabilities: use background: residual and residual: {peak: null}"
        yield Finding(("pseudo_masks", "background"), message, reads=(("consensus",), ("pseudo_masks", "residual")))
    for block in section.blocks:
        if depth is not None and not -depth <= block < depth:
            message = f"there is no block {block}; the backbone has blocks 0 to {depth - 1}"
            yield Finding(("consensus", "blocks"), message, reads=(("model", "backbone"), ("model", "depth")))
    if section.tokens == "frozen" and recipe.model.weights == "none":
        message = "tokens of a backbone without weights say nothing; give model.weights, or use tokens: trained"
        yield Finding(("consensus", "tokens"), message, reads=(("model", "weights"),))
    if recipe.train is None:
        yield from _check_untrained(recipe)


def _check_untrained(recipe: Recipe) -> Iterator[Finding]:
    section, reads = recipe.consensus, (("train",),)
    if section is not None and section.tokens == "trained":
        message = "no classifier is trained (train: null); use frozen"
        yield Finding(("consensus", "tokens"), message, reads=reads)
    if section is not None and not section.own_seeds:
        message = (
            f"no classifier is trained (train: null), so there are no maps of kind {section.seeds.kind}; use contrast"
        )
        yield Finding(("consensus", "seeds"), message, reads=reads)
    if recipe.segmentation is not None and recipe.segmentation.encoder == "classifier":
        message = "no classifier is trained (train: null); name an encoder"
        yield Finding(("segmentation", "encoder"), message, reads=reads)
    for key in ("heads", "objective"):
        if _is_set(recipe, key):
            yield Finding(
                (key,), "is not read where nothing is trained (train: null); leave it out", at_key=True, reads=reads
            )
    if recipe.model.weights != "none" and recipe.model.class_tokens.enter_at == 0:
        message = "must be above 0 where nothing is trained, so that the checkpoint's own [CLS] stays among the tokens"
        yield Finding(("model", "class_tokens", "enter_at"), message, reads=reads)


def _is_set(section: BaseModel, key: str) -> bool:
    """Return whether a key differs from its default: the recipe that a run keeps names all keys."""
    default = type(section).model_fields[key].get_default(call_default_factory=True)
    return bool(getattr(section, key) != default)
