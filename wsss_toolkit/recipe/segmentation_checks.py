"""Checks of the recipe's `segmentation` that look at other parts of the recipe too."""

from collections.abc import Iterator

from wsss_toolkit.recipe.messages import Finding
from wsss_toolkit.recipe.schema import ClassifierEncoder, Recipe


def check_segmentation(recipe: Recipe, depth: int | None) -> Iterator[Finding]:
    """Yield what is wrong between `segmentation` and the rest of a recipe.

    `depth` is the number of the classifier's blocks; None where it is not known.
    """
    section, encoder = recipe.segmentation, ("segmentation", "encoder")
    if section is None:
        return
    if section.encoder != "classifier":
        if section.classifier != ClassifierEncoder():
            message = "is read with `segmentation.encoder: classifier` only; set that, or leave this out"
            yield Finding(("segmentation", "classifier"), message, at_key=True, reads=(encoder,))
        if section.input_scale != 1:
            message = "enlarges images for `segmentation.encoder: classifier` only; set that, or leave this out"
            yield Finding(("segmentation", "input_scale"), message, reads=(encoder,))
        return
    if section.architecture != "unet":
        message = f"the classifier as the encoder has a decoder of its own, not {section.architecture}; use unet"
        yield Finding(("segmentation", "architecture"), message, reads=(encoder,))
    if section.weights != "none":
        message = "the classifier as the encoder has its own trained weights; use none"
        yield Finding(("segmentation", "weights"), message, reads=(encoder,))
    patch = recipe.heads.get("patch")
    if section.classifier.patch_scores and (patch is None or not patch.reads_patches):
        message = "needs a head `patch` that scores patches; add heads.patch: {kind: linear}, or leave this out"
        where = ("segmentation", "classifier", "patch_scores")
        yield Finding(where, message, reads=(("heads",),))
    if depth is None:
        return
    blocks, where = section.classifier.blocks, ("segmentation", "classifier", "blocks")
    reads = (("model", "backbone"), ("model", "depth"))
    if isinstance(blocks, int):
        if blocks > depth:
            yield Finding(where, f"the classifier has {depth} blocks, got {blocks}", reads=reads)
    elif max(blocks) >= depth:
        wrong = ", ".join(str(block) for block in blocks if block >= depth)
        yield Finding(where, f"the classifier has blocks 0 to {depth - 1}, got {wrong}", reads=reads)
    elif len(set(blocks)) < len(blocks):
        yield Finding(where, f"name each block once, got {list(blocks)}")
