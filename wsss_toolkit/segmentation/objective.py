"""The loss of the segmentation network: cross-entropy and Dice over the pixels that have a pseudo-label."""

import torch
import torch.nn.functional as F
from segmentation_models_pytorch.losses import MULTICLASS_MODE, DiceLoss
from torch import Tensor

from wsss_toolkit.domain import IGNORE_INDEX


def segmentation_loss(logits: Tensor, masks: Tensor, *, dice_weight: float, weights: Tensor | None = None) -> Tensor:
    """Return ``CE + dice_weight * Dice``, both over pixels that are not 255.

    Cross-entropy is the weighted mean over those pixels, ``sum_i w_i CE_i / sum_i w_i``. Dice is
    ``1 - 2 |P T| / (|P| + |T|)`` per class over the whole batch, each sum over pixels weighted by w, 0 for classes that
    no mask of the batch has, then the mean over all classes.

    Args:
        logits: ``b c h w``.
        masks: Integer ``b h w``, class indices and 255.
        dice_weight: Weight of the Dice loss; 0 leaves it out.
        weights: Weight w of each pixel, not negative, ``b h w``; None weighs all alike.

    Returns:
        A scalar; 0 with zero gradients where no pixel counts.
    """
    logits, masks = logits.float(), masks.long()  # sums over pixels overflow half precision
    if weights is not None:
        return _weighted_loss(logits, masks, weights.float(), dice_weight)
    labelled = (masks != IGNORE_INDEX).sum()
    # The mean over no pixel would be 0 / 0 and turn the weights into NaN.
    loss = F.cross_entropy(logits, masks, ignore_index=IGNORE_INDEX, reduction="sum") / labelled.clamp_min(1)
    if dice_weight:
        dice: Tensor = DiceLoss(MULTICLASS_MODE, ignore_index=IGNORE_INDEX)(logits, masks)
        loss = loss + dice_weight * dice
    return loss


def _weighted_loss(logits: Tensor, masks: Tensor, weights: Tensor, dice_weight: float) -> Tensor:
    labelled = masks != IGNORE_INDEX
    weights = weights * labelled
    tiny = torch.finfo(weights.dtype).tiny
    entropy = F.cross_entropy(logits, masks, ignore_index=IGNORE_INDEX, reduction="none")
    loss = (entropy * weights).sum() / weights.sum().clamp_min(tiny)
    if dice_weight:
        truth = F.one_hot(masks.masked_fill(~labelled, 0), logits.shape[1]).movedim(-1, 1) * weights[:, None]
        probabilities = logits.softmax(dim=1)
        both = (probabilities * truth).sum(dim=(0, 2, 3))
        size = truth.sum(dim=(0, 2, 3))
        total = (probabilities * weights[:, None]).sum(dim=(0, 2, 3)) + size
        loss = loss + dice_weight * ((1 - 2 * both / total.clamp_min(tiny)) * (size > 0)).mean()
    return loss
