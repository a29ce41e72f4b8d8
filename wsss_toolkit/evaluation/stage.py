"""The evaluation stage: with label derivation the only place where ground-truth masks are read."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from wsss_toolkit.domain import Adapter, ChannelTable, read_sample
from wsss_toolkit.evaluation.scores import classifier_scores, confusion_matrix, score_matrix
from wsss_toolkit.evaluation.stopwatch import Stopwatch
from wsss_toolkit.images.dataset import read_pseudo_mask
from wsss_toolkit.labels.contradictions import Contradictions
from wsss_toolkit.labels.ground_truth import keys_with_truth, read_truth
from wsss_toolkit.labels.image_labels import ImageLabels
from wsss_toolkit.pseudo_masks.shown_maps import ClassMaps
from wsss_toolkit.pseudo_masks.write import read_scores
from wsss_toolkit.recipe import Recipe
from wsss_toolkit.report.gallery import GalleryImage, Masks, ShownMap, choose_by_score, choose_evenly, write_gallery
from wsss_toolkit.report.preview import PreviewRow, draw_preview, natural_colors
from wsss_toolkit.report.score_files import (
    ImageScore,
    confusion_file,
    image_scores_file,
    write_confusion,
    write_image_scores,
)
from wsss_toolkit.segmentation.predict import Prediction

PREVIEW_IMAGES = 4
"""Images in ``preview.png``."""

GALLERY_IMAGES = 24
"""Images in ``gallery/`` and so in report.html."""

GALLERY_FOLDER = "gallery"

Scored = Mapping[tuple[Masks, str], Sequence[ImageScore]]
"""The scores of each image, by kind of mask and split."""


@dataclass(frozen=True, slots=True)
class EvaluationWork:
    """What the stage works with."""

    recipe: Recipe
    adapter: Adapter
    channels: ChannelTable
    """The bands that the recipe selects."""
    splits: Mapping[str, tuple[str, ...]]
    """Image keys by split."""
    labels: ImageLabels
    pseudo_masks: Path
    """Folder of the stage that wrote the pseudo-masks."""
    pseudo_mask_files: Mapping[str, Mapping[str, Path]]
    """Those masks by split and key."""
    predict: Callable[[Sequence[str], str], Iterator[Prediction]]
    """Predicts masks of images with the segmentation network, or where there is none with the classifier, under a
    title."""
    map_classes: Callable[[Sequence[str], str], Iterator[ClassMaps]]
    """Gives the class maps of images of a split."""

    @property
    def network_splits(self) -> tuple[str, ...]:
        """Splits on which the segmentation network is scored; none where there is no network."""
        return () if self.recipe.segmentation is None else self.recipe.evaluation.segmentation


def evaluate_run(work: EvaluationWork, path: Path, result: dict[str, Any]) -> None:
    """Score pseudo-masks, the segmentation network and the classifier, and draw images for people to look at.

    Args:
        work: What to score.
        path: Gets a confusion matrix and the scores of each image for every kind of mask and split, ``preview.png``
            and ``gallery/``.
        result: Gets the figures of report.json, and where labels and masks contradict each other.
    """
    section, labels = work.recipe.evaluation, work.labels
    result["classifier"] = {
        split: classifier_scores(
            torch.from_numpy(read_scores(work.pseudo_masks / f"{split}.scores.csv")),
            torch.from_numpy(labels.matrix(labels.splits[split])),
        )
        for split in work.recipe.pseudo_masks.splits
        if split in labels.splits
    }
    known = {
        split: keys_with_truth(work.adapter, work.splits[split])
        for split in dict.fromkeys([*section.pseudo_masks, *work.network_splits])
    }
    scored: dict[tuple[Masks, str], Sequence[ImageScore]] = {}
    found = Contradictions(work.adapter.classes)
    result["pseudo_masks"] = {}
    for split in section.pseudo_masks:
        files = work.pseudo_mask_files[split]
        masks = ((key, read_pseudo_mask(files[key])) for key in known[split])
        figures, scored["pseudo_masks", split] = _score(work, "pseudo_masks", split, masks, path, found)
        result["pseudo_masks"][split] = figures
    _preview(work, path / "preview.png", known)
    if work.recipe.segmentation is not None:
        result["segmentation"], watch = {}, Stopwatch()
        for split in work.network_splits:
            predictions = watch.over(work.predict(known[split], f"evaluation {split}"))
            masks = ((key, mask) for key, mask, _ in predictions)
            figures, scored["segmentation", split] = _score(work, "segmentation", split, masks, path, found)
            result["segmentation"][split] = figures
        result["seconds_per_image"] = watch.per_item()
    result["contradictions"], result["warnings"] = found.counts(), found.sentences()
    _gallery(work, path / GALLERY_FOLDER, scored)


def _score(
    work: EvaluationWork,
    kind: Masks,
    split: str,
    masks: Iterable[tuple[str, NDArray[np.uint8]]],
    path: Path,
    found: Contradictions,
) -> tuple[dict[str, Any], list[ImageScore]]:
    """Score masks `h w` by image against ground truth, and count the split's images that have none.

    Where ground truth contradicts labels that do not come from it, `found` is told.
    """
    classes = work.adapter.classes
    present = {} if work.recipe.labels.source == "mask_coverage" else work.labels.present
    total = np.zeros((len(classes.names) + 1,) * 2, np.int64)
    images: list[ImageScore] = []
    for key, mask in masks:
        truth = read_truth(work.adapter, key)
        found.look(key, present.get(key), truth)
        score, matrix = _score_image(work, key, mask, truth)
        total += matrix
        images.append(score)
    write_confusion(confusion_file(path, kind, split), classes.names, total)
    write_image_scores(image_scores_file(path, kind, split), images)
    scores = score_matrix(total, classes, len(images))
    return {**scores.to_json(), "without_truth": len(work.splits[split]) - len(images)}, images


def _score_image(
    work: EvaluationWork, key: str, mask: NDArray[np.uint8], truth: NDArray[np.uint8]
) -> tuple[ImageScore, NDArray[np.int64]]:
    """Return the scores of one mask, and its confusion matrix.

    Its mIoU is the mean over the classes of its truth: with those that only the mask has, a few stray pixels of one
    image would halve it. In the figures of a split, where every class has its share of pixels, such classes count.
    """
    matrix = confusion_matrix(mask, truth, work.adapter.classes)
    scores, pixels = score_matrix(matrix, work.adapter.classes, 1), matrix.sum(axis=1)
    true = [iou for index, iou in enumerate(scores.iou.values()) if pixels[index] and iou is not None]
    miou = sum(true) / len(true) if true else None
    return ImageScore(key, int(matrix.sum()), miou, scores.pixel_accuracy), matrix


def _picture(work: EvaluationWork, key: str) -> NDArray[np.uint8]:
    """Return an image in natural colours; pictures of 8 bits as they are, other bands stretched."""
    sensors = work.recipe.channels.sensors
    as_they_are = {name for name, sensor in sensors.items() if sensor.scale in ("imagenet", "symmetric")}
    return natural_colors(read_sample(work.adapter, key, work.channels), work.channels.sensors, as_they_are)


def _preview(work: EvaluationWork, path: Path, known: Mapping[str, Sequence[str]]) -> None:
    """Draw the first of the `known` images of the last split that is scored, beside ground truth and masks."""
    section = work.recipe.segmentation
    splits = work.recipe.evaluation.pseudo_masks if section is None else work.network_splits
    if not splits:
        return
    files = work.pseudo_mask_files.get(splits[-1], {})
    rows = []
    for key, mask, _ in work.predict(known[splits[-1]][:PREVIEW_IMAGES], "preview"):
        pseudo_mask = read_pseudo_mask(files[key]) if key in files else None
        rows.append(PreviewRow(_picture(work, key), (read_truth(work.adapter, key), pseudo_mask, mask)))
    titles = (
        f"{splits[-1]} image", "ground truth", "pseudo-mask", "classifier" if section is None else section.architecture
    )  # fmt: skip
    draw_preview(rows, titles, work.adapter.classes, " ".join(work.adapter.notices)).save(path, optimize=True)


def _gallery(work: EvaluationWork, folder: Path, scored: Scored) -> None:
    """Draw images over the whole range of scores of the split that was scored last; of one without truth, evenly."""
    keys: list[str]
    if scored:
        (ranked_by, split), scores = list(scored.items())[-1]
        keys, of = choose_by_score(scores, GALLERY_IMAGES), len(scores)
    else:
        ranked_by, split = None, (work.recipe.pseudo_masks.splits or ("train",))[-1]
        keys, of = choose_evenly(work.splits[split], GALLERY_IMAGES), len(work.splits[split])
    about = {
        "split": split,
        "of": of,
        "ranked_by": ranked_by,
        "pseudo_masks_written": split in work.pseudo_mask_files,
        "architecture": work.recipe.segmentation and work.recipe.segmentation.architecture,
    }
    write_gallery(folder, _gallery_images(work, keys, split, bool(scored)), work.adapter.classes, about)


def _gallery_images(work: EvaluationWork, keys: Sequence[str], split: str, with_truth: bool) -> Iterator[GalleryImage]:
    """Yield what is drawn of each image; a split without pseudo-masks gets those that the classifier would make."""
    files, names = work.pseudo_mask_files.get(split, {}), work.adapter.classes.label_names
    network = iter(work.predict(keys, "gallery")) if work.recipe.segmentation is not None else None
    for found in work.map_classes(keys, split):
        masks: dict[Masks, NDArray[np.uint8]] = {
            "pseudo_masks": read_pseudo_mask(files[found.key]) if found.key in files else found.mask
        }
        if network is not None:
            key, masks["segmentation"], _ = next(network)
            assert key == found.key
        truth = read_truth(work.adapter, found.key) if with_truth else None
        yield GalleryImage(
            key=found.key,
            picture=_picture(work, found.key),
            truth=truth,
            masks=masks,
            maps=[
                ShownMap(names[token], probability, values)
                for token, probability, values in zip(found.tokens, found.probabilities, found.maps, strict=True)
            ],
            maps_left_out=found.left_out,
            scores={
                kind: _score_image(work, found.key, mask, truth)[0] for kind, mask in masks.items() if truth is not None
            },
        )
