"""Scores that are too many for report.json: confusion matrices and scores by image, as CSV."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wsss_toolkit.errors import DataError
from wsss_toolkit.files import cell_text, safe_cell, write_text

SCORE_AGAIN = "run the stage again: --stages evaluation --overwrite"
"""What to do about a file of the evaluation stage that is missing or damaged."""

WITHHELD = "(withheld)"
"""The column of a confusion matrix that counts predictions of 255."""


class ImageScore(NamedTuple):
    """How well one mask agrees with ground truth."""

    key: str
    labelled_pixels: int
    """Pixels whose truth is a class."""
    miou: float | None
    """Mean IoU in this image alone, over the classes of its truth; None where no pixel is labelled."""
    pixel_accuracy: float | None
    """Share of the labelled pixels that are right."""


class Confusion(NamedTuple):
    """Pixels of a split by class."""

    names: tuple[str, ...]
    counts: NDArray[np.int64]
    """int64 `n (n + 1)`, rows truth, columns prediction, the last withheld."""


def confusion_file(folder: Path, masks: str, split: str) -> Path:
    """Return where the evaluation stage keeps the confusion matrix of `pseudo_masks` or `segmentation` on a split."""
    return folder / f"{masks}.{split}.confusion.csv"


def image_scores_file(folder: Path, masks: str, split: str) -> Path:
    """Return where the evaluation stage keeps the scores of each image of a split."""
    return folder / f"{masks}.{split}.images.csv"


def write_confusion(path: Path, names: Sequence[str], matrix: NDArray[np.int64]) -> None:
    """Write the matrix ``(classes + 1) (classes + 1)`` of `evaluation.confusion_matrix`; its last row is all 0."""
    rows = [[name, *counts] for name, counts in zip(names, matrix.tolist(), strict=False)]
    _write(path, ["truth", *names, WITHHELD], rows)


def read_confusion(path: Path) -> Confusion:
    """Read what `write_confusion` wrote; DataError if the file is missing or damaged."""
    header, rows = _read(path)
    try:
        counts = np.array([row[1:] for row in rows], np.int64).reshape(len(rows), len(rows) + 1)
        if (counts < 0).any():
            raise ValueError("counts below 0")
    except (ValueError, OverflowError) as error:
        raise damaged(path) from error
    names = tuple(row[0] for row in rows)
    if list(names) != header[1:-1]:
        raise damaged(path)
    return Confusion(names, counts)


def write_image_scores(path: Path, scores: Iterable[ImageScore]) -> None:
    """Write one row for each image; a score that is not defined is empty."""
    _write(path, ImageScore._fields, [["" if value is None else value for value in row] for row in scores])


def read_image_scores(path: Path) -> list[ImageScore]:
    """Read what `write_image_scores` wrote; DataError if the file is missing or damaged."""
    try:
        return [
            ImageScore(key, int(pixels), *(float(value) if value else None for value in shares))
            for key, pixels, *shares in _read(path)[1]
        ]
    except (TypeError, ValueError) as error:
        raise damaged(path) from error


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(safe_cell, header))
    writer.writerows([safe_cell(cell) if isinstance(cell, str) else cell for cell in row] for row in rows)
    write_text(path, text.getvalue())


def _read(path: Path) -> tuple[list[str], list[list[str]]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            header, *rows = ([cell_text(cell) for cell in row] for row in csv.reader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise damaged(path) from error
    return header, rows


def damaged(path: Path) -> DataError:
    """Return the error of a file of the evaluation stage that is missing or damaged."""
    return DataError("missing or damaged", where=str(path), fix=SCORE_AGAIN)
