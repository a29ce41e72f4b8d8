"""Runs a trained classifier over whole splits and writes their pseudo-masks."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor
from torch.nn import functional as F

from wsss_toolkit.data import ImageDataset, Item, same_size_batches
from wsss_toolkit.domain import Adapter, ClassTable
from wsss_toolkit.model.vit import MultiTokenViT
from wsss_toolkit.pseudo_masks.assign import active_classes, assign, used_tokens
from wsss_toolkit.pseudo_masks.class_maps import class_maps
from wsss_toolkit.recipe.schema import PseudoMasks
from wsss_toolkit.run_folder import file_for, write_json


def write_pseudo_masks(
    model: MultiTokenViT,
    adapter: Adapter,
    datasets: Mapping[str, ImageDataset],
    section: PseudoMasks,
    *,
    resize: int | None,
    exclusive: bool,
    folder: Path,
    device: torch.device,
    batch_size: int,
    workers: int,
    tags: Mapping[str, str],
) -> dict[str, int]:
    """Write one mask per image, an index of the files, and the predicted probabilities of each split.

    Args:
        model: The trained classifier.
        adapter: Writes the masks in its own format.
        datasets: Whole images by split, with image-level labels where `section.classes` is ``labels``.
        section: The recipe's `pseudo_masks`.
        resize: Side in pixels at which the classifier sees training images; None shows images as they are.
        exclusive: Whether the classifier was trained for exactly one class per image.
        folder: Gets ``<split>/<key>.*``, ``<split>.scores.csv`` and ``index.json``.
        device: Where to compute.
        batch_size: Images at a time.
        workers: Data-loading processes.
        tags: Provenance to store in each file.

    Returns:
        The number of images of each split.
    """
    model.to(device).eval()
    index: dict[str, dict[str, str]] = {}
    for split, dataset in datasets.items():
        index[split] = {}
        (folder / split).mkdir(parents=True, exist_ok=True)
        scores: list[NDArray[np.float64]] = []
        for keys, batch in progress(dataset, batch_size, workers, f"pseudo-masks {split}"):
            masks, levels, logits = label_batch(
                model, batch, section, adapter.classes, resize=resize, exclusive=exclusive, device=device
            )
            scores.append(logits.double().sigmoid().cpu().numpy())
            for key, mask, level in zip(keys, masks, levels, strict=True):
                beside = level if section.confidence else None
                written = adapter.write_mask(file_for(folder / split, key), key, mask, beside, tags)
                index[split][key] = str(written.relative_to(folder))
        _write_scores(folder / f"{split}.scores.csv", adapter.classes.label_names, dataset.keys, np.concatenate(scores))
    write_json(folder / "index.json", index)
    return {split: len(files) for split, files in index.items()}


def predict_pseudo_masks(
    model: MultiTokenViT,
    dataset: ImageDataset,
    section: PseudoMasks,
    classes: ClassTable,
    *,
    resize: int | None,
    reference: tuple[int, int] | None,
    exclusive: bool,
    device: torch.device,
    batch_size: int,
    workers: int,
    title: str,
) -> Iterator[tuple[str, NDArray[np.uint8], NDArray[np.uint8]]]:
    """Yield key, mask `h w` and confidence `h w` (0..255) of every image.

    The arguments are `write_pseudo_masks`'s, and `reference`: height and width of the training images where these are
    crops of the images at hand; the scale at which the classifier saw the crops is then kept.
    """
    model.to(device).eval()
    for keys, batch in progress(dataset, batch_size, workers, title):
        masks, levels, _ = label_batch(
            model, batch, section, classes, resize=resize, reference=reference, exclusive=exclusive, device=device
        )
        yield from zip(keys, masks, levels, strict=True)


def label_batch(
    model: MultiTokenViT,
    batch: Item,
    section: PseudoMasks,
    classes: ClassTable,
    *,
    resize: int | None,
    exclusive: bool,
    device: torch.device,
    reference: tuple[int, int] | None = None,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], Tensor]:
    """Turn one batch of images into masks.

    Returns:
        Mask values with 255 for ignore, uint8 `b h w`; confidence in 0..255, uint8 `b h w`; logits `b k`.
    """
    labels = batch["labels"].to(device) if section.classes == "labels" else None
    mask, confidence, logits = label_images(
        model,
        batch["image"].to(device),
        batch["valid"].to(device),
        batch["present"].to(device),
        section,
        classes,
        labels=labels,
        resize=resize,
        reference=reference,
        exclusive=exclusive,
    )
    return mask.cpu().numpy(), (confidence * 255).round().byte().cpu().numpy(), logits


class Mapped(NamedTuple):
    """What an image shows and where, before pixels are assigned.

    Attributes:
        maps: Final class maps at the images' size, `b t h w`.
        logits: Their classes' image-level logits, `b t`: the order of painting.
        active: Which of these classes may appear in each mask, bool `b t`.
        tokens: The class tokens that the maps belong to, int64 `t`, ascending: those active in any image.
        scores: Image-level logits of all classes, `b k`.
    """

    maps: Tensor
    logits: Tensor
    active: Tensor
    tokens: Tensor
    scores: Tensor


@torch.no_grad()
def label_images(
    model: MultiTokenViT,
    images: Tensor,
    valid: Tensor,
    present: Tensor,
    section: PseudoMasks,
    classes: ClassTable,
    *,
    labels: Tensor | None = None,
    resize: int | None,
    reference: tuple[int, int] | None,
    exclusive: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Turn images on the model's device into masks.

    Args:
        model: The trained classifier, in evaluation mode.
        images: Scaled, missing pixels 0, `b k h w`.
        valid: Pixels that hold data, bool `b h w`.
        present: Sensors that each image has, bool `b s`.
        section: The recipe's `pseudo_masks`.
        classes: The domain's classes.
        labels: Image-level labels `b k`, where `section.classes` is ``labels``.
        resize: Side in pixels at which the classifier sees training images; None shows images as they are.
        reference: Height and width of the training images where `images` are of another size; the scale at which the
            classifier saw those is then kept.
        exclusive: Whether the classifier was trained for exactly one class per image.

    Returns:
        Mask values with 255 for ignore, uint8 `b h w`; confidence in 0..1, float32 `b h w`; logits `b k`.
    """
    found = map_images(
        model, images, valid, present, section, labels=labels, resize=resize, reference=reference, exclusive=exclusive
    )
    maps, logits, active, tokens, scores = found
    mask, confidence = assign(maps, logits, active, section, classes, valid=valid, tokens=tokens)
    return mask, confidence, scores


@torch.no_grad()
def map_images(
    model: MultiTokenViT,
    images: Tensor,
    valid: Tensor,
    present: Tensor,
    section: PseudoMasks,
    *,
    labels: Tensor | None = None,
    resize: int | None,
    reference: tuple[int, int] | None,
    exclusive: bool,
) -> Mapped:
    """Map the classes of images; the arguments are those of `label_images`."""
    size = images.shape[-2:]
    seen, seen_valid = as_seen(images, valid, resize=resize, reference=reference)
    maps, logits = class_maps(model, seen, section, present=present, valid=seen_valid)
    if exclusive:
        logits = softmax_log_odds(logits)
    active = active_classes(logits, labels, section.classes, allow_none=section.background != "none")
    tokens = used_tokens(active)
    maps, active = maps[:, tokens], active[:, tokens]
    if maps.shape[-2:] != size:
        maps = F.interpolate(maps, size, mode="bilinear", align_corners=False)
    return Mapped(maps, logits[:, tokens], active, tokens, logits)


def as_seen(
    images: Tensor, valid: Tensor, *, resize: int | None, reference: tuple[int, int] | None
) -> tuple[Tensor, Tensor]:
    """Return images and their valid pixels at the size that the classifier sees; see `label_images`."""
    size = images.shape[-2:]
    if resize is None:
        return images, valid
    wanted = tuple(round(side * resize / known) for side, known in zip(size, reference or size, strict=True))
    if wanted == tuple(size):
        return images, valid
    seen = F.interpolate(images, wanted, mode="bilinear", align_corners=False, antialias=True)
    return seen, F.interpolate(valid[:, None].float(), wanted, mode="nearest-exact")[:, 0] > 0.5


def softmax_log_odds(logits: Tensor) -> Tensor:
    """Return values whose sigmoid is the softmax of the logits, `b k`: log p - log(1 - p).

    A classifier trained with cross-entropy for exactly one class per image is calibrated in the softmax; everything
    after it reads probabilities by the sigmoid.
    """
    log_p = logits.double().log_softmax(dim=1)
    rest = torch.log1p(-log_p.exp().clamp(max=1 - 1e-15))
    return (log_p - rest).to(logits.dtype)


def progress(dataset: ImageDataset, batch_size: int, workers: int, title: str) -> Iterator[tuple[Sequence[str], Item]]:
    """Yield the keys and the batches of a data set under a progress bar that counts images."""
    batches = same_size_batches(dataset, batch_size, workers)
    start = 0
    with_keys: list[str] = list(dataset.keys)
    for batch in track(batches, title, total=None, transient=True):
        stop = start + len(batch["index"])
        yield with_keys[start:stop], batch
        start = stop


def _write_scores(path: Path, names: Sequence[str], keys: Sequence[str], scores: NDArray[np.float64]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", *names])
        writer.writerows([key, *map(float, row)] for key, row in zip(keys, scores, strict=True))


def read_scores(path: Path) -> NDArray[np.float64]:
    """Read the probabilities `n k` that `write_pseudo_masks` wrote for a split."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))[1:]
    return np.array([row[1:] for row in rows], np.float64)
