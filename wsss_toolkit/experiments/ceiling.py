"""How long the rows `supervised_...` train, and which epoch they keep: masks of the validation split decide.

What they reach is called a ceiling, so they get the epochs that they need. No run of a recipe comes here:
its best epoch is chosen without masks.
"""

from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from wsss_toolkit.domain import IGNORE_INDEX, ClassTable
from wsss_toolkit.evaluation.scores import confusion_matrix, score_matrix
from wsss_toolkit.experiments.supervised_inputs import PATIENCE
from wsss_toolkit.images.dataset import Item
from wsss_toolkit.training.fit import Monitor


def by_validation_masks(classes: ClassTable) -> Monitor:
    """Return what keeps the epoch with the best mIoU on the validation split's masks, and stops when none is better."""
    return Monitor("val/miou", "max", PATIENCE, ValidationMiou(classes))


class ValidationMiou(Callback):
    """Logs ``val/miou``, from the masks `b h w` that `validation_step` returns and those of the batch.

    One confusion matrix is summed over the split and over all processes, as for a report; images are as the network
    sees them, cropped or resized.

    Args:
        classes: The domain's classes.
    """

    def __init__(self, classes: ClassTable) -> None:
        self.classes = classes
        self.matrix = np.zeros(0, np.int64)

    def on_validation_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Begin with an empty matrix."""
        self.matrix = np.zeros((len(self.classes.names) + 1,) * 2, np.int64)

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Item,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Count a batch's pixels."""
        masks: Tensor = batch["mask"].masked_fill(~batch["valid"], IGNORE_INDEX)
        self.matrix += confusion_matrix(outputs.cpu(), masks.cpu(), self.classes)

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Log the mean over classes; 0 where no pixel has a class."""
        counted = trainer.strategy.reduce(torch.from_numpy(self.matrix).to(pl_module.device), reduce_op="sum")
        miou = score_matrix(counted.cpu().numpy(), self.classes, images=0).miou
        pl_module.log("val/miou", miou or 0.0, prog_bar=True)
