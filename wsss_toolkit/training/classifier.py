"""The classifier as Lightning trains it: a thin shell around the model, the losses and the schedule."""

from typing import cast

import lightning as L
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.classification import MultilabelAveragePrecision, MultilabelStatScores

from wsss_toolkit.images.augment import apply_symmetry, color_jitter
from wsss_toolkit.images.dataset import Item
from wsss_toolkit.model.gate import expected_open_gates, open_gates
from wsss_toolkit.model.output import Output
from wsss_toolkit.model.vit import MultiTokenViT
from wsss_toolkit.recipe.schema import Model, Train
from wsss_toolkit.training.objective import classification_loss, diversity_loss
from wsss_toolkit.training.optimizer import transformer_optimizer


class Classifier(L.LightningModule):
    """Trains a `MultiTokenViT` on image-level labels.

    Everything random depends on the seed and the step, never on what ran before, so that a run that
    was killed and resumed equals one that was not.

    Args:
        model: The network.
        section: The recipe's `model`.
        train: The recipe's `train`.
        seed: The recipe's seed.
        exclusive: Whether each training image has exactly one class.
        sensor_dropout: Probability that an image loses one of its sensors.
        steps_per_epoch: Optimiser steps per epoch.
        grid: Patches along height and width of a training image; batches then hold the tokens of frozen
            blocks. None where batches hold images.
    """

    def __init__(
        self,
        model: MultiTokenViT,
        section: Model,
        train: Train,
        *,
        seed: int,
        exclusive: bool,
        sensor_dropout: float,
        steps_per_epoch: int,
        grid: tuple[int, int] | None,
    ) -> None:
        super().__init__()
        self.model = model
        self.section, self.train_section = section, train
        self.seed, self.exclusive, self.sensor_dropout = seed, exclusive, sensor_dropout
        self.steps_per_epoch, self.grid = steps_per_epoch, grid
        # torchmetrics wants two labels at least; a second one that never occurs counts for nothing.
        labels = max(2, model.classes)
        self.average_precision = MultilabelAveragePrecision(labels, average="none")
        self.occurrences = MultilabelStatScores(labels, average="none")

    def _forward(self, batch: Item, generator: torch.Generator | None) -> Output:
        labels = batch["labels"] if generator is not None else None
        layers = (len(self.model.blocks) - 1,) if generator is not None and self.section.diversity_weight else ()
        if self.grid is not None:
            return self.model.forward_from(
                batch["image"],
                self.grid,
                visible=batch["valid"],
                labels=labels,
                generator=generator,
                layers=layers,
            )
        images, valid, present = batch["image"], batch["valid"], batch["present"]
        if generator is not None:
            images, valid = apply_symmetry(images, batch["code"]), apply_symmetry(valid, batch["code"])
            images = color_jitter(images, self.train_section.augment.color_jitter, generator)
            present = drop_sensors(present, self.sensor_dropout, generator)
        return cast(
            Output,
            self.model(images, present=present, valid=valid, labels=labels, generator=generator, layers=layers),
        )

    def training_step(self, batch: Item, batch_idx: int) -> Tensor:
        """Return the loss: classification + patch classifier + expected open gates + diversity, as weighted."""
        step_seed = (self.seed * 1_000_003 + self.global_step * 257 + self.global_rank) % 2**63
        torch.manual_seed(step_seed)  # gates and drop path draw from the global generator
        generator = torch.Generator(self.device).manual_seed(step_seed + 1)
        out = self._forward(batch, generator)
        labels = batch["labels"]
        classification = classification_loss(out.logits, labels, exclusive=self.exclusive)
        loss = classification
        if out.patch_logits is not None:
            patch = classification_loss(out.patch_logits, labels, exclusive=self.exclusive)
            loss = loss + self.section.patch_classifier.weight * patch
        if self.section.gates.enabled:
            loss = loss + self.section.gates.l0_weight * expected_open_gates(self.model)
        if out.class_maps is not None and self.section.diversity_weight:
            loss = loss + self.section.diversity_weight * diversity_loss(out.class_maps[:, -1])
        self.log("train/loss", loss.detach(), on_step=False, on_epoch=True, prog_bar=True, sync_dist=True)
        self.log("train/classification", classification.detach(), on_step=False, on_epoch=True, sync_dist=True)
        return loss

    def on_train_epoch_end(self) -> None:
        """Log how many heads are open."""
        if self.section.gates.enabled:
            self.log("gates/open", float(open_gates(self.model)[0]), prog_bar=True, sync_dist=True)

    def validation_step(self, batch: Item, batch_idx: int) -> None:
        """Collect logits for the validation mAP."""
        # Probabilities, because torchmetrics takes logits that happen to lie in 0..1 for probabilities.
        scores = self._forward(batch, None).logits.float().sigmoid()
        missing = self.average_precision.num_labels - scores.shape[1]
        scores, labels = F.pad(scores, (0, missing)), F.pad(batch["labels"].int(), (0, missing))
        self.average_precision.update(scores, labels)
        self.occurrences.update(scores, labels)

    def on_validation_epoch_end(self) -> None:
        """Log the mean average precision over the classes that occur in the validation split."""
        values: Tensor = self.average_precision.compute()
        support: Tensor = self.occurrences.compute()[:, -1]
        self.average_precision.reset()
        self.occurrences.reset()
        self.log("val/map", values[support > 0].mean().nan_to_num(0.0), prog_bar=True, sync_dist=True)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW with warm-up and cosine decay, per step."""
        return transformer_optimizer(
            self.model, self.train_section, gate_lr=self.section.gates.lr, steps_per_epoch=self.steps_per_epoch
        )


def drop_sensors(present: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Take one sensor, chosen evenly among those present, from a share of the images that have at least two.

    Args:
        present: bool `b s`.
        probability: Share of images that lose a sensor.
        generator: On the tensor's device.
    """
    if not probability:
        return present
    scores = torch.rand(present.shape, generator=generator, device=present.device).masked_fill(~present, -1.0)
    chosen = torch.zeros_like(present).scatter(1, scores.argmax(dim=1, keepdim=True), True)
    drop = torch.rand(len(present), 1, generator=generator, device=present.device) < probability
    return present & ~(chosen & drop & (present.sum(dim=1, keepdim=True) > 1))
