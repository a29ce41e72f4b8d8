"""The patch tokens of a trained classifier at chosen blocks, as features for other networks."""

from collections.abc import Collection

import torch
from torch import Tensor

from wsss_toolkit.model.layout import visible_patches
from wsss_toolkit.model.vit import MultiTokenViT


def patch_features(
    model: MultiTokenViT,
    images: Tensor,
    blocks: Collection[int],
    *,
    present: Tensor | None = None,
    valid: Tensor | None = None,
) -> list[Tensor]:
    """Return the patch tokens after some blocks, as the classifier computes them; blocks above are not computed.

    `blocks` are indices from 0 on; the other arguments, and the errors, are those of `MultiTokenViT.forward`; gradients
    and the model's mode are the caller's. With asymmetric attention class tokens are left out: no patch reads them.

    Returns:
        One tensor `b n d` per block, in ascending order of the blocks; patches row by row.
    """
    visible = None if valid is None else visible_patches(valid, model.patch_size)
    grid = model.patch_embed.grid(images)
    joint = model.section.attention == "joint"
    tokens = model.embed(images, present)
    layout = model.layout(grid, visible)
    found = []
    for index in range(max(blocks) + 1):
        if joint and index == model.enter_at:
            tokens = torch.cat((model.enter(tokens.shape[0]).to(tokens.dtype), tokens), 1)
            layout = layout.with_classes(model.tokens)
        tokens, _ = model.block(index)(tokens, layout)
        if index in blocks:
            found.append(tokens[:, layout.classes : layout.classes + layout.patches])
    return found
