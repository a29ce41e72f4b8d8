"""The loss of the segmentation network: cross-entropy and Dice over the pixels that have a pseudo-label."""

import torch.nn.functional as F
from segmentation_models_pytorch.losses import MULTICLASS_MODE, DiceLoss
from torch import Tensor

from wsss_toolkit.domain import IGNORE_INDEX


def segmentation_loss(
    logits: Tensor, masks: Tensor, *, dice_weight: float, class_weights: Tensor | None = None
) -> Tensor:
    """Return ``CE + dice_weight * Dice``, both over pixels that are not 255.

    Cross-entropy is the mean over those pixels, each times the weight of its class. Dice is ``1 - 2 |P T| / (|P| +
    |T|)`` per class over the whole batch, 0 for classes that no mask of the batch has, then the mean over all classes.

    Args:
        logits: ``b c h w``.
        masks: Integer ``b h w``, class indices and 255.
        dice_weight: Weight of the Dice loss; 0 leaves it out.
        class_weights: float32 ``c``; None weighs all classes alike.

    Returns:
        A scalar; 0 with zero gradients where no pixel counts.
    """
    logits, masks = logits.float(), masks.long()  # sums over pixels overflow half precision
    labelled = (masks != IGNORE_INDEX).sum()
    # The mean over no pixel would be 0 / 0 and turn the weights into NaN.
    errors = F.cross_entropy(logits, masks, class_weights, ignore_index=IGNORE_INDEX, reduction="sum")
    loss = errors / labelled.clamp_min(1)
    if dice_weight:
        dice: Tensor = DiceLoss(MULTICLASS_MODE, ignore_index=IGNORE_INDEX)(logits, masks)
        loss = loss + dice_weight * dice
    return loss
