"""A trained classifier as one value: from images to class maps and masks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from wsss_toolkit.domain import ClassTable
from wsss_toolkit.heads.classifier import Classifier
from wsss_toolkit.images.dataset import ImageDataset, Item, batches_with_keys, part_of
from wsss_toolkit.pseudo_masks.assign import active_classes, assign, used_tokens
from wsss_toolkit.pseudo_masks.class_maps import chosen_maps
from wsss_toolkit.recipe.schema import PseudoMasks


class Mapped(NamedTuple):
    """What an image shows and where, before pixels are assigned."""

    maps: Tensor
    """Final class maps at the images' size, `b t h w`."""
    logits: Tensor
    """Their classes' image-level logits, `b t`: the order of painting."""
    active: Tensor
    """Which of these classes may appear in each mask, bool `b t`."""
    tokens: Tensor
    """The class tokens that the maps belong to, int64 `t`, ascending: those active in any image."""
    scores: Tensor
    """Image-level logits of all classes, `b k`: averaged over views, or where some tokens took part in one view only,
    that view's."""
    coverage: Tensor | None
    """The share of the image in whose windows each class is seen, `b t`; None without windows."""


class Labelled(NamedTuple):
    """The mask of one image."""

    key: str
    mask: NDArray[np.uint8]
    """Mask values with 255 for ignore, uint8 `h w`."""
    confidence: NDArray[np.uint8]
    """0..255, uint8 `h w`."""
    probabilities: NDArray[np.float64]
    """Of all classes, float64 `k`."""


@dataclass(frozen=True, slots=True)
class Mapper:
    """A trained classifier with all that its masks depend on."""

    model: Classifier
    """The classifier, on the device, in evaluation mode."""
    section: PseudoMasks
    classes: ClassTable
    resize: int | None
    """Side in pixels at which the classifier sees training images; None shows images as they are."""
    exclusive: bool
    """Whether the classifier was trained for exactly one class per image."""
    device: torch.device
    batch_size: int | None = None
    """Windows at a time; None takes as many as there are images."""
    workers: int = 0
    """Data-loading processes."""

    def without_labels(self) -> "Mapper":
        """Return the mapper for images without image-level labels: the predicted classes are used."""
        return replace(self, section=self.section.model_copy(update={"classes": "predicted"}))

    def of_split(self, split: str) -> "Mapper":
        """Return the mapper for images of a split of the data."""
        return replace(self, section=self.section.of_split(split))

    @torch.no_grad()
    def maps(
        self,
        images: Tensor,
        valid: Tensor,
        present: Tensor,
        *,
        labels: Tensor | None = None,
        reference: tuple[int, int] | None = None,
    ) -> Mapped:
        """Map the classes of images on the mapper's device.

        Where the labels are known and class tokens do not read each other, only the tokens of classes that some image
        of the batch shows are computed; the others take part in one view, for the scores. Maps of classes that no image
        of the batch shows are never brought to the images' size.

        Args:
            images: Scaled, missing pixels 0, `b k h w`.
            valid: Pixels that hold data, bool `b h w`.
            present: Sensors that each image has, bool `b s`.
            labels: Image-level labels `b k`, where `section.classes` is ``labels``.
            reference: Height and width of the training images where `images` are of another size; the scale at which
                the classifier saw those is then kept.
        """
        model, section, size = self.model, self.section, images.shape[-2:]
        seen, seen_valid = self.as_seen(images, valid, reference)
        allow_none = section.background != "none"

        def active(logits: Tensor) -> Tensor:
            return active_classes(logits, labels, section.classes, allow_none=allow_none)

        known = None
        if section.classes == "labels" and labels is not None and model.selects_classes and not self.exclusive:
            known = used_tokens(labels > 0).tolist()
        found = chosen_maps(
            model,
            seen,
            section,
            present=present,
            valid=seen_valid,
            classes=known,
            choose=(lambda logits: used_tokens(active(logits))) if known is None else None,
            scored=known is not None,
            exclusive=self.exclusive,
            batch_size=self.batch_size,
        )
        maps, tokens = found.maps, found.tokens
        if maps.shape[-2:] != size:
            maps = F.interpolate(maps, size, mode="bilinear", align_corners=False)
        return Mapped(maps, found.logits, active(found.scores)[:, tokens], tokens, found.scores, found.coverage)

    def assign(self, found: Mapped, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Return masks, uint8 `b h w`, and confidence in 0..1, float32 `b h w`, of mapped images."""
        return assign(
            found.maps,
            found.logits,
            found.active,
            self.section,
            self.classes,
            valid=valid,
            tokens=found.tokens,
            coverage=found.coverage,
        )

    @torch.no_grad()
    def masks(
        self,
        images: Tensor,
        valid: Tensor,
        present: Tensor,
        *,
        labels: Tensor | None = None,
        reference: tuple[int, int] | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Turn images into masks; the arguments are those of `maps`.

        Returns:
            Mask values with 255 for ignore, uint8 `b h w`; confidence in 0..1, float32 `b h w`; logits `b k`.
        """
        found = self.maps(images, valid, present, labels=labels, reference=reference)
        return (*self.assign(found, valid), found.scores)

    def over(self, dataset: ImageDataset, title: str, reference: tuple[int, int] | None = None) -> Iterator[Labelled]:
        """Yield the mask of every image of a data set, in order, under a progress bar.

        Args:
            dataset: Whole images, with image-level labels where `section.classes` is ``labels``.
            title: What the progress bar says.
            reference: As for `maps`.
        """
        for keys, batch in self.batches(dataset, title):
            valid = batch["valid"].to(self.device)
            masks, confidence, logits = self.masks(
                batch["image"].to(self.device),
                valid,
                batch["present"].to(self.device),
                labels=self.labels_of(batch),
                reference=reference,
            )
            levels = (confidence * 255).round().byte().cpu().numpy()
            probabilities = logits.double().sigmoid().cpu().numpy()
            yield from map(Labelled, keys, masks.cpu().numpy(), levels, probabilities)

    def labels_of(self, batch: Item) -> Tensor | None:
        """Return the batch's image-level labels `b k` where the section asks for them."""
        return batch["labels"].to(self.device) if self.section.classes == "labels" else None

    def batches(self, dataset: ImageDataset, title: str) -> Iterator[tuple[Sequence[str], Item]]:
        """Yield the keys and batches of images of one size each, in order, under a progress bar.

        With windows, of larger images fewer are worked on at once: their maps have no more pixels than those of a batch
        of training images.
        """
        size = self.batch_size or 1
        for keys, batch in batches_with_keys(dataset, size, self.workers, title):
            count, (height, width) = len(keys), batch["image"].shape[-2:]
            if self.section.window != "none":
                count = max(1, size * self.model.backbone.image_size**2 // (height * width))
            for start in range(0, len(keys), count):
                some = slice(start, start + count)
                yield keys[some], part_of(batch, some)

    def as_seen(self, images: Tensor, valid: Tensor, reference: tuple[int, int] | None = None) -> tuple[Tensor, Tensor]:
        """Return images and their valid pixels at the size that the classifier sees; see `maps`."""
        size = images.shape[-2:]
        if self.resize is None:
            return images, valid
        wanted = tuple(round(side * self.resize / known) for side, known in zip(size, reference or size, strict=True))
        if wanted == tuple(size):
            return images, valid
        seen = F.interpolate(images, wanted, mode="bilinear", align_corners=False, antialias=True)
        return seen, F.interpolate(valid[:, None].float(), wanted, mode="nearest-exact")[:, 0] > 0.5
