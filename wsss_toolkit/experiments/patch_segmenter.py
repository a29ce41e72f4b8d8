"""A Vision Transformer with a linear head on its patch tokens, as a segmentation network: the supervised ViT's row."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import lightning as L
import numpy as np
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from wsss_toolkit.compute import Device
from wsss_toolkit.domain import IGNORE_INDEX, Adapter, ChannelTable
from wsss_toolkit.heads.classifier import IMAGE_HEAD, Classifier, Seen, build_classifier
from wsss_toolkit.heads.kinds import Linear
from wsss_toolkit.heads.saved import MODEL_FILE, save_model
from wsss_toolkit.images.augment import apply_symmetry, color_jitter, symmetries
from wsss_toolkit.images.dataset import ImageDataset, Item, batches_with_keys, loader
from wsss_toolkit.images.padding import pad_to_multiple
from wsss_toolkit.images.scaling import Preprocessing
from wsss_toolkit.model.weights import load_weights
from wsss_toolkit.recipe import Recipe
from wsss_toolkit.recipe.checks import backbone_shape
from wsss_toolkit.recipe.schema import ClassTokens, Gates, Model, Train
from wsss_toolkit.segmentation.objective import segmentation_loss
from wsss_toolkit.segmentation.train import Masked
from wsss_toolkit.training.fit import Monitor, fit
from wsss_toolkit.training.optimizer import transformer_optimizer


def patch_section(section: Model) -> Model:
    """Return the recipe's `model` as a plain Vision Transformer with a linear head on its patches.

    Backbone, weights, sizes and registers are the recipe's. The core wants a class token: there is one, which joins the
    last block and which no patch reads, so that it changes no mask.
    """
    blocks = section.depth or backbone_shape(section.backbone)[1]
    tokens, gates = ClassTokens(enter_at=blocks - 1, shared=True), Gates(enabled=False)
    changes = {"attention": "asymmetric", "token_masking": 0.0, "class_tokens": tokens, "gates": gates}
    return section.model_copy(update=changes)


def build_segmenter(recipe: Recipe, channels: ChannelTable, classes: int) -> Classifier:
    """Build the network with its starting weights, frozen as far as the recipe says; deterministic given torch's seed.

    `classes` is the number of a mask's values, the background's included.
    """
    section, heads = patch_section(recipe.model), {"class": Linear(kind="linear")}
    frozen = recipe.training.freeze_below
    model = build_classifier(section, heads, channels, recipe.channels.fusion, classes, frozen_below=frozen)
    load_weights(model.backbone, section.weights, channels)
    model.backbone.freeze(frozen)
    return model


def segment(model: Classifier, images: Tensor, *, valid: Tensor, present: Tensor) -> Tensor:
    """Return the logits `b c h w` of scaled images `b k h w` of any size: those of the patches, upsampled bilinearly.

    `valid` says which pixels hold data, bool `b h w`, and `present` which sensors each image has, bool `b s`.
    """
    height, width = images.shape[-2:]
    padded = pad_to_multiple(images, model.backbone.patch_size)
    beyond = (0, padded.shape[-1] - width, 0, padded.shape[-2] - height)
    known = F.pad(valid, beyond, value=False)
    maps = cast(Seen, model(padded, present=present, valid=known)).scores[IMAGE_HEAD].maps
    assert maps is not None  # the head reads patches
    logits = F.interpolate(maps.float(), padded.shape[-2:], mode="bilinear", align_corners=False)
    return logits[..., :height, :width]


class PatchTask(L.LightningModule):
    """Trains the network on masks as the recipe's `train` section trains the classifier."""

    def __init__(self, model: Classifier, train: Train, *, seed: int, steps_per_epoch: int) -> None:
        super().__init__()
        self.model, self.train_section = model, train
        self.seed, self.steps_per_epoch = seed, steps_per_epoch

    def _loss(self, logits: Tensor, masks: Tensor, valid: Tensor) -> Tensor:
        return segmentation_loss(logits, masks.masked_fill(~valid, IGNORE_INDEX), dice_weight=1.0)

    def training_step(self, batch: Item, batch_idx: int) -> Tensor:
        """Return cross-entropy and Dice on the turned images and masks."""
        step_seed = (self.seed * 1_000_003 + self.global_step * 257 + self.global_rank) % 2**63
        torch.manual_seed(step_seed)  # stochastic depth
        generator = torch.Generator(self.device).manual_seed(step_seed + 1)
        images, masks, valid = (apply_symmetry(batch[name], batch["code"]) for name in ("image", "mask", "valid"))
        images = color_jitter(images, self.train_section.augment.color_jitter, generator)
        loss = self._loss(segment(self.model, images, valid=valid, present=batch["present"]), masks, valid)
        self.log("train/loss", loss.detach(), on_step=False, on_epoch=True, prog_bar=True, sync_dist=True)
        return loss

    def validation_step(self, batch: Item, batch_idx: int) -> Tensor:
        """Log the loss against the validation split's masks, and return the network's masks `b h w`."""
        logits = segment(self.model, batch["image"], valid=batch["valid"], present=batch["present"])
        loss = self._loss(logits, batch["mask"], batch["valid"])
        self.log("val/loss", loss, prog_bar=True, sync_dist=True)
        return logits.argmax(dim=1)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW with warm-up and cosine decay, per step, as for the classifier."""
        train, steps = self.train_section, self.steps_per_epoch
        return transformer_optimizer(self.model, train, gate_lr=train.lr, steps_per_epoch=steps)  # there are no gates


def train_segmenter(  # noqa: PLR0913  # the recipe, the data and two places
    recipe: Recipe,
    adapter: Adapter,
    channels: ChannelTable,
    prepare: Preprocessing,
    training: Masked,
    validation: Masked | None,
    *,
    folder: Path,
    device: Device,
    monitor: Monitor | None,
) -> dict[str, Any]:
    """Train the network on masks, save it as ``model.safetensors``, and return plain values for the report.

    The recipe's seed and its sections model, train and machine say how. The folder also gets checkpoints and logs.
    `monitor` tells the best epoch from the masks of the validation images; without it, training goes on to the end.
    """
    section, machine, seed = recipe.training, recipe.machine, recipe.seed
    crop, resize = recipe.model.crop, recipe.model.resize
    dataset = partial(ImageDataset, adapter, prepare=prepare, crop=crop, resize=resize, seed=seed)
    codes, memory_mb, augment = symmetries(section.augment), machine.images_in_memory_mb, section.augment.domain
    trainset = dataset(training[0], masks=training[1], codes=codes, memory_mb=memory_mb, augment=augment)
    batches = loader(trainset, section.batch_size, shuffle_seed=seed, workers=machine.workers)
    val_batches = None
    if validation is not None:
        valset = dataset(validation[0], masks=validation[1])
        val_batches = loader(valset, section.batch_size, workers=machine.workers)
    torch.manual_seed(seed)
    model = build_segmenter(recipe, channels, len(adapter.classes.names))
    epochs = fit(
        PatchTask(model, section, seed=seed, steps_per_epoch=max(1, -(-len(batches) // device.world))),
        batches,
        val_batches,
        folder=folder,
        epochs=section.epochs,
        clip_norm=section.clip_norm,
        device=device,
        monitor=monitor,
        use="best",
    )
    save_model(model.cpu(), folder / MODEL_FILE, {"wsss_trained_on": "ground-truth masks"})
    return {"epochs": epochs, "parameters": sum(parameter.numel() for parameter in model.parameters())}


def predict_segments(
    model: Classifier,
    dataset: ImageDataset,
    *,
    resize: int | None,
    batch_size: int,
    workers: int,
    device: torch.device,
    title: str,
) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Yield key and mask `h w` of every whole image, 255 where it holds no data.

    `resize` is the side in pixels at which the network saw training images; None shows images as they are.
    """
    model.to(device).eval()
    keys: Sequence[str]
    for keys, batch in batches_with_keys(dataset, batch_size, workers, title):
        with torch.inference_mode():
            images, valid, present = (batch[name].to(device) for name in ("image", "valid", "present"))
            size = images.shape[-2:]
            if resize is not None:
                images = F.interpolate(images, (resize, resize), mode="bilinear", align_corners=False, antialias=True)
                valid = F.interpolate(valid[:, None].float(), (resize, resize), mode="nearest-exact")[:, 0] > 0.5
            logits = segment(model, images, valid=valid, present=present)
            if resize is not None:
                logits = F.interpolate(logits, size, mode="bilinear", align_corners=False)
            mask = logits.argmax(dim=1).cpu().masked_fill(~batch["valid"], IGNORE_INDEX).byte()
        yield from zip(keys, mask.numpy(), strict=True)
