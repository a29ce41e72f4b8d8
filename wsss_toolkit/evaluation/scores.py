"""Scores against ground truth: one confusion matrix summed over a split, and image-level scores."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wsss_toolkit.domain import IGNORE_INDEX, ClassTable
from wsss_toolkit.errors import DataError


@dataclass(frozen=True, slots=True)
class WithoutBackground:
    """Scores of a domain with a background class when that class is left out."""

    miou: float | None
    """Mean IoU over the other classes that occur; None where none does."""
    pixel_accuracy: float | None
    """Share of the pixels whose truth is one of them that are predicted rightly."""


@dataclass(frozen=True, slots=True)
class Scores:
    """How well masks agree with ground truth over a split; every share lies in 0..1."""

    images: int
    """Number of images compared."""
    classes: int
    """Number of classes that occur in truth or prediction: the mean is over these."""
    miou: float | None
    """Mean of `iou` over the classes that occur; None where no pixel is labelled."""
    pixel_accuracy: float | None
    """Share of the labelled pixels that are predicted rightly."""
    iou: dict[str, float | None]
    """Intersection over union by class name; None for a class in neither truth nor prediction."""
    without_background: WithoutBackground | None
    """The same without the background class; None in domains that have none."""

    def to_json(self) -> dict[str, Any]:
        """Return plain values for `report.json`; `without_background` only in domains with a background."""
        report = asdict(self)
        if self.without_background is None:
            del report["without_background"]
        return report


def evaluate(
    pairs: Iterable[tuple[NDArray[np.uint8] | Tensor, NDArray[np.uint8] | Tensor]], classes: ClassTable
) -> Scores:
    """Score predicted masks against ground truth.

    Pixels whose truth is 255 count for nothing. A prediction of 255 on a labelled pixel is an answer withheld: it
    counts as wrong, as a miss of the true class and as no class's false alarm. Otherwise a method could raise its score
    by ignoring what is difficult.

    ``IoU_c = TP_c / (TP_c + FP_c + FN_c)`` from the matrix summed over all images, not a mean over images.

    Args:
        pairs: Prediction and truth of each image: integer `h w`, or batches `b h w`, of class indices and 255.
        classes: The domain's classes.

    Raises:
        DataError: If a pair differs in size or holds a value that is no class and not 255.

    >>> classes = ClassTable(("land", "water"), ((0, 0, 0), (0, 0, 255)))
    >>> truth, prediction = np.array([[0, 0, 1, 255]], np.uint8), np.array([[0, 1, 1, 1]], np.uint8)
    >>> found = evaluate([(prediction, truth)], classes)
    >>> found.iou, round(found.pixel_accuracy, 3)
    ({'land': 0.5, 'water': 0.5}, 0.667)
    """
    count = len(classes.names)
    matrix = np.zeros((count + 1, count + 1), dtype=np.int64)
    images = 0
    for prediction, truth in pairs:
        matrix += confusion_matrix(prediction, truth, classes)
        images += 1 if truth.ndim == 2 else len(truth)
    return score_matrix(matrix, classes, images)


def check_masks(prediction: NDArray[np.uint8] | Tensor, truth: NDArray[np.uint8] | Tensor, classes: ClassTable) -> None:
    """Refuse a pair of masks that cannot be compared; the arguments are those of `confusion_matrix`.

    Raises:
        DataError: If the shapes differ or a value is no class and not 255.

    >>> classes = ClassTable(("land", "water"), ((0, 0, 0), (0, 0, 255)))
    >>> confusion_matrix(np.array([0, 1, 255], np.uint8), np.array([0, 0, 1], np.uint8), classes).tolist()
    [[1, 1, 0], [0, 0, 1], [0, 0, 0]]
    """
    count = len(classes.names)
    prediction, truth = _tensor(prediction).long(), _tensor(truth).long()
    if prediction.shape != truth.shape:
        raise DataError(f"a prediction of {tuple(prediction.shape)} pixels has a ground truth of {tuple(truth.shape)}")
    for name, mask in (("prediction", prediction), ("ground truth", truth)):
        unknown = mask[((mask < 0) | (mask >= count)) & (mask != IGNORE_INDEX)]
        if len(unknown):
            values = sorted(set(unknown.tolist()))
            raise DataError(
                f"a {name} mask holds {', '.join(map(str, values[:5]))}",
                fix=f"masks hold 0 to {count - 1} and {IGNORE_INDEX}",
            )


def confusion_matrix(
    prediction: NDArray[np.uint8] | Tensor, truth: NDArray[np.uint8] | Tensor, classes: ClassTable
) -> NDArray[np.int64]:
    """Count pixels by truth (rows) and prediction (columns); the last column counts predictions of 255.

    Args:
        prediction: Integer array of any shape, class indices and 255.
        truth: The same shape; pixels of 255 are not counted.
        classes: The domain's classes.

    Returns:
        int64 ``(classes + 1) (classes + 1)``. The last row stays 0.

    Raises:
        DataError: If the shapes differ or a value is no class and not 255.
    """
    check_masks(prediction, truth, classes)
    count = len(classes.names)
    prediction, truth = _tensor(prediction).long(), _tensor(truth).long()
    known = truth != IGNORE_INDEX
    withheld = prediction.masked_fill(prediction == IGNORE_INDEX, count)
    # numpy counts, because where torch is deterministic torchmetrics compares every pixel with every cell of the
    # matrix: 16 GB for one image of 640 x 480 pixels and 80 classes.
    cells = (truth * (count + 1) + withheld)[known].numpy()
    return np.bincount(cells, minlength=(count + 1) ** 2).reshape(count + 1, count + 1).astype(np.int64)


def score_matrix(matrix: NDArray[np.int64], classes: ClassTable, images: int) -> Scores:
    """Turn a matrix of `confusion_matrix`, summed over the images of a split, into scores."""
    count = len(classes.names)
    hits = np.diag(matrix)[:count]
    truths = matrix.sum(axis=1)[:count]
    union = truths + matrix.sum(axis=0)[:count] - hits
    iou = [float(hit / joined) if joined else None for hit, joined in zip(hits, union, strict=True)]
    without = None
    if classes.background is not None:
        rest = list(classes.labelled)
        without = WithoutBackground(
            miou=_mean([iou[index] for index in rest]), pixel_accuracy=_share(hits[rest].sum(), truths[rest].sum())
        )
    return Scores(
        images=images,
        classes=sum(value is not None for value in iou),
        miou=_mean(iou),
        pixel_accuracy=_share(hits.sum(), truths.sum()),
        iou=dict(zip(classes.names, iou, strict=True)),
        without_background=without,
    )


def classifier_scores(
    probabilities: NDArray[np.floating[Any]] | Tensor, labels: NDArray[Any] | Tensor
) -> dict[str, float | None]:
    """Score image-level predictions: mean average precision and macro F1 over the classes that occur.

    A class that no image has is left out of both means: it has no average precision, and its F1 would only
    say whether it was never predicted.

    Args:
        probabilities: ``n c`` in 0..1: the sigmoid of the logits.
        labels: ``n c``, not 0 where the class is present.

    Returns:
        `map` (area under the precision-recall curve, by its steps) and `f1` (predicted from a probability of
        0.5 on), both None where no class occurs.

    Raises:
        ValueError: If the shapes differ or a probability lies outside 0..1, as logits would.

    >>> classifier_scores(np.array([[0.9], [0.2]]), np.array([[1], [0]]))
    {'map': 1.0, 'f1': 1.0}
    """
    from torchmetrics.functional.classification import binary_average_precision, binary_f1_score  # slow

    probabilities, labels = _tensor(probabilities).double(), (_tensor(labels) > 0).long()
    if probabilities.shape != labels.shape:
        raise ValueError(f"probabilities {tuple(probabilities.shape)}, but labels {tuple(labels.shape)}")
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise ValueError("probabilities must lie in 0..1; apply the sigmoid to logits first")
    occurring = labels.any(dim=0).nonzero().flatten().tolist() if len(labels) else []
    precisions = [float(binary_average_precision(probabilities[:, c], labels[:, c])) for c in occurring]
    f1 = [float(binary_f1_score((probabilities[:, c] >= 0.5).long(), labels[:, c])) for c in occurring]
    return {"map": _mean(precisions), "f1": _mean(f1)}


def _tensor(values: NDArray[Any] | Tensor) -> Tensor:
    """Return the values on the CPU; arrays are copied, because torch warns about those that are read-only."""
    return values.detach().cpu() if isinstance(values, Tensor) else torch.from_numpy(values.copy())


def _mean(values: Iterable[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return sum(present) / len(present) if present else None


def _share(part: np.int64, whole: np.int64) -> float | None:
    return float(part / whole) if whole else None
