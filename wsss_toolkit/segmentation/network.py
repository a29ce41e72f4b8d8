"""The segmentation network as Lightning trains it: on pseudo-masks, never on ground truth."""

from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from wsss_toolkit.domain import IGNORE_INDEX
from wsss_toolkit.images.augment import apply_symmetry
from wsss_toolkit.images.dataset import Item
from wsss_toolkit.recipe.schema import Segmentation
from wsss_toolkit.segmentation.classifier_encoder import ClassifierNetwork
from wsss_toolkit.segmentation.objective import segmentation_loss
from wsss_toolkit.segmentation.strong_augment import Batch, strong_augment
from wsss_toolkit.segmentation.unet import predict
from wsss_toolkit.training.optimizer import with_warmup_cosine


class SegmentationTask(L.LightningModule):
    """Trains a segmentation network, from `build_network`, on pseudo-masks with cross-entropy and Dice.

    `class_weights`, float32 `c`, are the classes' weights in the cross-entropy; None weighs all alike.
    """

    class_weights: Tensor | None

    def __init__(
        self,
        network: nn.Module,
        section: Segmentation,
        *,
        seed: int,
        steps_per_epoch: int,
        class_weights: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.register_buffer("class_weights", class_weights, persistent=False)
        # Convolutions are faster with channels last in memory: by a third on a CPU, and on GPUs too.
        self.network = network.to(memory_format=torch.channels_last)
        self.section, self.seed, self.steps_per_epoch = section, seed, steps_per_epoch

    def _logits(self, images: Tensor, valid: Tensor, present: Tensor, features: Tensor | None) -> Tensor:
        laid_out = images.contiguous(memory_format=torch.channels_last)
        return predict(self.network, laid_out, valid=valid, present=present, features=features)

    def _loss(self, logits: Tensor, masks: Tensor) -> Tensor:
        return segmentation_loss(logits, masks, dice_weight=self.section.dice_weight, class_weights=self.class_weights)

    def training_step(self, batch: Item, batch_idx: int) -> Tensor:
        """Return the loss on the randomly changed images and masks."""
        step_seed = (self.seed * 1_000_003 + self.global_step * 257 + self.global_rank) % 2**63
        torch.manual_seed(step_seed)  # dropout in the decoder
        generator = torch.Generator(self.device).manual_seed(step_seed + 1)
        planes = (batch["image"], _targets(batch), batch["valid"])
        images, masks, valid = (apply_symmetry(plane, batch["code"]) for plane in planes)
        turned = Batch(images, masks, valid, batch["present"])
        seen = strong_augment(turned, self.section.augment, generator)
        loss = self._loss(self._logits(seen.images, seen.valid, seen.present, batch.get("features")), seen.masks)
        self.log("train/loss", loss.detach(), on_step=False, on_epoch=True, prog_bar=True, sync_dist=True)
        return loss

    def validation_step(self, batch: Item, batch_idx: int) -> Tensor:
        """Log the loss against the validation split's pseudo-masks, and return the network's masks `b h w`."""
        logits = self._logits(batch["image"], batch["valid"], batch["present"], batch.get("features"))
        self.log("val/loss", self._loss(logits, _targets(batch)), prog_bar=True, sync_dist=True)
        return logits.argmax(dim=1)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW with one epoch of warm-up, then cosine decay, per step; a classifier learns at its own rate."""
        section, steps = self.section, self.steps_per_epoch
        optimizer = torch.optim.AdamW(self._parameter_groups(), lr=section.lr, weight_decay=section.weight_decay)
        return with_warmup_cosine(optimizer, warmup=steps, total=section.epochs * steps)

    def _parameter_groups(self) -> list[dict[str, Any]]:
        encoder = list(self.network.encoder_parameters()) if isinstance(self.network, ClassifierNetwork) else []
        slow = {id(parameter) for parameter in encoder}
        learning = [value for value in self.network.parameters() if value.requires_grad and id(value) not in slow]
        groups: list[dict[str, Any]] = [{"params": learning}]
        if encoder:
            groups.append({"params": encoder, "lr": self.section.classifier.learning_rate})
        return groups


def _targets(batch: Item) -> Tensor:
    """Return the masks to learn, 255 where nothing is to be learned."""
    return batch["mask"].masked_fill(~batch["valid"], IGNORE_INDEX)
