"""The classifier as Lightning trains it: a thin shell around model, objective and schedule."""

import lightning as L
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.classification import MultilabelAveragePrecision, MultilabelStatScores

from wsss_toolkit.heads.classifier import IMAGE_HEAD, Classifier
from wsss_toolkit.images.augment import apply_symmetry, color_jitter
from wsss_toolkit.images.dataset import Item
from wsss_toolkit.model.attention import Attending
from wsss_toolkit.model.gate import expected_open_gates, open_gates
from wsss_toolkit.model.output import Output
from wsss_toolkit.model.token_masking import absent_tokens
from wsss_toolkit.objective.objective import Objective
from wsss_toolkit.objective.step import Step
from wsss_toolkit.recipe.schema import Train
from wsss_toolkit.training.optimizer import transformer_optimizer


class ClassifierTask(L.LightningModule):
    """Trains a classifier on image-level labels.

    Everything random depends on the seed and the step, never on what ran before, so that a run that was killed and
    resumed equals one that was not.

    `exclusive` says whether each training image has exactly one class; `sensor_dropout` is the probability that an
    image loses one of its sensors. With `grid`, the patches along height and width of a training image, batches hold
    the tokens of frozen blocks; with None they hold images.
    """

    def __init__(  # noqa: PLR0913  # what changes a step, seed included
        self,
        model: Classifier,
        objective: Objective,
        train: Train,
        *,
        seed: int,
        exclusive: bool,
        sensor_dropout: float,
        steps_per_epoch: int,
        grid: tuple[int, int] | None,
    ) -> None:
        super().__init__()
        self.model, self.objective, self.train_section = model, objective, train
        self.seed, self.exclusive, self.sensor_dropout = seed, exclusive, sensor_dropout
        self.steps_per_epoch, self.grid = steps_per_epoch, grid
        # torchmetrics wants two labels at least; a second one that never occurs counts for nothing.
        labels = max(2, model.classes)
        self.average_precision = MultilabelAveragePrecision(labels, average="none")
        self.occurrences = MultilabelStatScores(labels, average="none")

    def training_step(self, batch: Item, batch_idx: int) -> Tensor:
        """Return the loss: what the heads make of the tokens, some absent classes' masked, term by term."""
        step_seed = (self.seed * 1_000_003 + self.global_step * 257 + self.global_rank) % 2**63
        torch.manual_seed(step_seed)  # gates and drop path draw from the global generator
        generator = torch.Generator(self.device).manual_seed(step_seed + 1)
        output = self._tokens(self._changed(batch, generator) if self.grid is None else batch)
        # The paper's token masking: at the output of the last layer, after the norm.
        masked = absent_tokens(batch["labels"], self.model.backbone.section.token_masking, generator)
        step = self._step(batch, output, masked, generator)
        loss: Tensor
        loss, terms = self.objective(step)
        self.log("train/loss", loss.detach(), on_step=False, on_epoch=True, prog_bar=True, sync_dist=True)
        for name, value in terms.items():
            self.log(f"train/{name}", value.detach(), on_step=False, on_epoch=True, sync_dist=True)
        return loss

    def _changed(self, batch: Item, generator: torch.Generator) -> Item:
        """Turn, mirror and recolour the images at random, and take sensors from some."""
        images = apply_symmetry(batch["image"], batch["code"])
        return {
            **batch,
            "image": color_jitter(images, self.train_section.augment.color_jitter, generator),
            "valid": apply_symmetry(batch["valid"], batch["code"]),
            "present": drop_sensors(batch["present"], self.sensor_dropout, generator),
        }

    def _tokens(self, batch: Item, *, training: bool = True) -> Output:
        """Return the backbone's tokens of a batch of images, or of tokens that left the frozen blocks."""
        backbone, blocks = self.model.backbone, self.objective.blocks if training else ()
        read = dict.fromkeys(self.objective.attention if training else (), _as_it_is)
        whole = self.model.reads_patches or bool(blocks)
        if self.grid is not None:
            tokens, visible = batch["image"], batch["valid"]
            return backbone.forward_from(tokens, self.grid, visible=visible, read=read, keep=blocks, whole=whole)
        images, valid, present = batch["image"], batch["valid"], batch["present"]
        found: Output = backbone(images, present=present, valid=valid, read=read, keep=blocks, whole=whole)
        return found

    def _step(self, batch: Item, output: Output, masked: Tensor | None, generator: torch.Generator) -> Step:
        layout = output.layout
        others = layout.patches + layout.registers  # what follows the class tokens, of which lower blocks have none
        return Step(
            labels=batch["labels"],
            exclusive=self.exclusive,
            visible=layout.visible,
            scores=self.model.score(output, masked=masked),
            class_tokens={block: tokens[:, :-others] for block, tokens in output.after.items()},
            patches={block: tokens[:, -others:][:, : layout.patches] for block, tokens in output.after.items()},
            attention=output.read,
            open_gates=expected_open_gates(self.model),
            epoch=self.global_step / self.steps_per_epoch,
            generator=generator,
        )

    def on_train_epoch_end(self) -> None:
        """Log how many heads are open."""
        opened, total = open_gates(self.model)
        if total:
            self.log("gates/open", float(opened), prog_bar=True, sync_dist=True)

    def validation_step(self, batch: Item, batch_idx: int) -> None:
        """Collect logits for the validation mAP."""
        # Probabilities, because torchmetrics takes logits that happen to lie in 0..1 for probabilities.
        scores = self.model.score(self._tokens(batch, training=False))[IMAGE_HEAD].logits.float().sigmoid()
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
        gate_lr, others = self.model.backbone.section.gates.lr, self.objective.parameters()
        return transformer_optimizer(
            self.model, self.train_section, gate_lr=gate_lr, steps_per_epoch=self.steps_per_epoch, others=others
        )


def _as_it_is(attending: Attending) -> Attending:
    return attending


def drop_sensors(present: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Take one sensor, chosen evenly among those present, bool `b s`, from a share of the images with at least two.

    >>> drop_sensors(torch.tensor([[True, True], [True, False]]), 1.0, torch.Generator()).sum(dim=1)
    tensor([1, 1])
    """
    if not probability:
        return present
    scores = torch.rand(present.shape, generator=generator, device=present.device).masked_fill(~present, -1.0)
    chosen = torch.zeros_like(present).scatter(1, scores.argmax(dim=1, keepdim=True), True)
    drop = torch.rand(len(present), 1, generator=generator, device=present.device) < probability
    return present & ~(chosen & drop & (present.sum(dim=1, keepdim=True) > 1))
