"""Writes the pseudo-masks of whole splits."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsss_toolkit.domain import Adapter
from wsss_toolkit.errors import blamed_on
from wsss_toolkit.files import file_for, safe_cell, write_json
from wsss_toolkit.images.dataset import ImageDataset
from wsss_toolkit.pseudo_masks.mapper import Mapper


def write_pseudo_masks(
    mapper: Mapper, adapter: Adapter, datasets: Mapping[str, ImageDataset], folder: Path, tags: Mapping[str, str]
) -> dict[str, int]:
    """Write one mask per image, an index of the files, and the predicted probabilities of each split.

    Args:
        mapper: The trained classifier.
        adapter: Writes the masks in its own format.
        datasets: Whole images by split, with image-level labels where the recipe's `pseudo_masks.classes` asks
            for them.
        folder: Gets ``<split>/<key>.*``, ``<split>.scores.csv`` and ``index.json``.
        tags: Provenance to store in each file.

    Returns:
        The number of images of each split.
    """
    index: dict[str, dict[str, str]] = {}
    for split, dataset in datasets.items():
        index[split] = {}
        (folder / split).mkdir(parents=True, exist_ok=True)
        scores: list[NDArray[np.float64]] = []
        for key, mask, level, probabilities in mapper.of_split(split).over(dataset, f"pseudo-masks {split}"):
            scores.append(probabilities)
            beside = level if mapper.section.confidence else None
            written = adapter.write_mask(file_for(folder / split, key), key, mask, beside, tags)
            index[split][key] = str(written.relative_to(folder))
        _write_scores(folder / f"{split}.scores.csv", adapter.classes.label_names, dataset.keys, np.stack(scores))
    write_json(folder / "index.json", index)
    return {split: len(files) for split, files in index.items()}


def _write_scores(path: Path, names: Sequence[str], keys: Sequence[str], scores: NDArray[np.float64]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", *map(safe_cell, names)])
        writer.writerows([safe_cell(key), *map(float, row)] for key, row in zip(keys, scores, strict=True))


def read_scores(path: Path) -> NDArray[np.float64]:
    """Read the probabilities `n k` that `write_pseudo_masks` wrote for a split."""
    with blamed_on(str(path), f"delete the folder {path.parent} and run the recipe again"):
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))[1:]
        scores = np.array([row[1:] for row in rows], np.float64)
        if scores.ndim != 2 or not np.isfinite(scores).all():
            raise ValueError("it holds no probabilities")
        return scores
