"""Runs a trained classifier over whole splits and writes their pseudo-masks."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wsss_toolkit.domain import Adapter, ClassTable
from wsss_toolkit.domain.progress import counted
from wsss_toolkit.files import file_for, write_json
from wsss_toolkit.images.dataset import ImageDataset, Item, same_size_batches
from wsss_toolkit.model.vit import MultiTokenViT
from wsss_toolkit.pseudo_masks.label import label_images
from wsss_toolkit.recipe.schema import PseudoMasks


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
                model,
                batch,
                section,
                adapter.classes,
                resize=resize,
                exclusive=exclusive,
                device=device,
                batch_size=batch_size,
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
            model,
            batch,
            section,
            classes,
            resize=resize,
            reference=reference,
            exclusive=exclusive,
            device=device,
            batch_size=batch_size,
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
    batch_size: int,
    reference: tuple[int, int] | None = None,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], Tensor]:
    """Turn one batch of images into masks.

    The arguments are `label_images`'s. With windows, of larger images fewer are worked on at once: their maps have no
    more pixels than those of a batch of training images.

    Returns:
        Mask values with 255 for ignore, uint8 `b h w`; confidence in 0..255, uint8 `b h w`; logits `b k`.
    """
    count, (height, width) = len(batch["image"]), batch["image"].shape[-2:]
    if section.window != "none":
        count = max(1, batch_size * model.image_size**2 // (height * width))
    masks, levels, logits = [], [], []
    for start in range(0, len(batch["image"]), count):
        some = slice(start, start + count)
        mask, confidence, found = label_images(
            model,
            batch["image"][some].to(device),
            batch["valid"][some].to(device),
            batch["present"][some].to(device),
            section,
            classes,
            labels=batch["labels"][some].to(device) if section.classes == "labels" else None,
            resize=resize,
            reference=reference,
            exclusive=exclusive,
            batch_size=batch_size,
        )
        masks.append(mask.cpu().numpy())
        levels.append((confidence * 255).round().byte().cpu().numpy())
        logits.append(found)
    return np.concatenate(masks), np.concatenate(levels), torch.cat(logits)


def progress(dataset: ImageDataset, batch_size: int, workers: int, title: str) -> Iterator[tuple[Sequence[str], Item]]:
    """Yield the keys and the batches of a data set under a progress bar that counts images."""
    batches = same_size_batches(dataset, batch_size, workers)
    start = 0
    with_keys: list[str] = list(dataset.keys)
    for batch in counted(batches, title, len(dataset), lambda batch: len(batch["index"])):
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
