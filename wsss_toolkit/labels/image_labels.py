"""Image-level labels: derived once, from masks or a tag file, and kept with their provenance."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wsss_toolkit.domain import IGNORE_INDEX, Adapter, ClassTable, LabelledAdapter
from wsss_toolkit.errors import DataError, blamed_on
from wsss_toolkit.labels.ground_truth import NoGroundTruth, read_truth
from wsss_toolkit.labels.tag_file import read_tags
from wsss_toolkit.recipe.schema import Labels

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True, slots=True)
class ImageLabels:
    """Which classes each image shows."""

    classes: tuple[str, ...]
    """Names in the order of class tokens: `ClassTable.label_names`."""
    splits: Mapping[str, tuple[str, ...]]
    """The image keys of every labelled split, with and without classes."""
    present: Mapping[str, tuple[bool, ...]]
    """Per key, whether each class is present."""
    provenance: Mapping[str, Any]
    """Where the labels come from: source, threshold or file and its digest, adapter, and as `negatives` whether an
    image without any class is an example (in domains with a background) or useless."""

    @property
    def negatives(self) -> bool:
        """Whether "none of the classes" is a label that can be learned from: the domain has a background."""
        return bool(self.provenance.get("negatives", False))

    def with_a_class(self, split: str) -> tuple[str, ...]:
        """Return the images of a split that show at least one class."""
        return tuple(key for key in self.splits[split] if any(self.present[key]))

    def usable(self, split: str) -> tuple[str, ...]:
        """Return the images of a split that training can learn from: all where negatives count, else `with_a_class`."""
        return self.splits[split] if self.negatives else self.with_a_class(split)

    def matrix(self, keys: tuple[str, ...]) -> NDArray[np.float32]:
        """Return the labels of images as 0 and 1, `n c`."""
        rows = [self.present[key] for key in keys]
        return np.array(rows, dtype=np.float32).reshape(len(keys), len(self.classes))

    def counts(self, split: str) -> dict[str, int]:
        """Return the number of images of a split that show each class."""
        sums = self.matrix(self.splits[split]).sum(axis=0)
        return {name: int(count) for name, count in zip(self.classes, sums, strict=True)}


def derive_labels(
    adapter: Adapter, section: Labels, *, progress: Callable[[int, int], None] | None = None
) -> ImageLabels:
    """Label every image of every split; masks are read here, once, and nowhere before evaluation.

    A split other than `train` without any ground truth (or without any entry in the tag file) is left out.

    Args:
        adapter: The data, prepared.
        section: The recipe's `labels`.
        progress: Called with the number of images done and their total.

    Raises:
        DataError: If an image that should have a label has none, a mask or tag file cannot be read, or no classifier
            could learn anything from the labels (see `check_trainable`).
    """
    classes = adapter.classes
    splits = adapter.splits()
    name, negatives = type(adapter).__name__, classes.background is not None
    provenance: dict[str, Any] = {"source": section.source, "adapter": name, "negatives": negatives}
    if section.tag_file is not None:
        path = Path(section.tag_file)
        known = {key for keys in splits.values() for key in keys}
        columns = section.image_column, section.classes_column
        present = read_tags(path, classes.label_names, known, columns)
        provenance |= {"tag_file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        labelled = _covered_splits(splits, present, str(path))
    elif section.source == "dataset":
        present = _from_data_set(adapter, splits, progress)
        labelled = _covered_splits(splits, present, f"adapter {name}")
    else:
        provenance["min_coverage"] = section.min_coverage
        labelled, present = _from_masks(adapter, section.min_coverage, progress)
    used = {key: present[key] for keys in labelled.values() for key in keys}
    labels = ImageLabels(classes.label_names, labelled, used, provenance)
    check_trainable(labels)
    return labels


def coverage(mask: NDArray[np.uint8], classes: ClassTable) -> NDArray[np.float64]:
    """Return the share of an image's labelled pixels that each class covers, by its mask uint8 `h w`.

    Pixels of value 255 are not labelled. Background pixels are labelled, but are no class.

    Returns:
        float64 `c` in 0..1, in the order of `classes.labelled`; zeros where no pixel is labelled.

    Raises:
        ValueError: If the mask holds a value that is neither a class nor 255.

    >>> classes = ClassTable(("land", "water"), ((0, 0, 0), (0, 0, 255)))
    >>> coverage(np.array([[0, 0, 0, 1, 255]], np.uint8), classes).tolist()
    [0.75, 0.25]
    """
    counts = np.bincount(mask.ravel(), minlength=IGNORE_INDEX + 1)
    unknown = [int(v) for v in np.flatnonzero(counts) if v != IGNORE_INDEX and v >= len(classes.names)]
    if unknown:
        raise ValueError(f"mask values {unknown} are neither one of {len(classes.names)} classes nor {IGNORE_INDEX}")
    counts = counts[:IGNORE_INDEX]
    shares: NDArray[np.float64] = counts[list(classes.labelled)] / max(int(counts.sum()), 1)
    return shares


def _from_masks(
    adapter: Adapter, min_coverage: float, progress: Callable[[int, int], None] | None
) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[bool, ...]]]:
    classes, splits = adapter.classes, adapter.splits()
    total, done = sum(len(keys) for keys in splits.values()), 0
    labelled: dict[str, tuple[str, ...]] = {}
    present: dict[str, tuple[bool, ...]] = {}
    for split, keys in splits.items():
        for number, key in enumerate(keys):
            try:
                shares = coverage(read_truth(adapter, key), classes)
            except NoGroundTruth:
                if number == 0 and split != "train":
                    done += len(keys)
                    break  # a split without ground truth, such as a benchmark's hidden test set
                raise
            except ValueError as error:
                raise DataError(str(error), where=f"mask of image {key!r}") from error
            # A class with no pixel is absent even where min_coverage is 0.
            present[key] = tuple(bool(share > 0 and share >= min_coverage) for share in shares)
            done += 1
            if progress is not None:
                progress(done, total)
        else:
            labelled[split] = tuple(keys)
    return labelled, present


def _from_data_set(
    adapter: Adapter, splits: Mapping[str, tuple[str, ...]], progress: Callable[[int, int], None] | None
) -> dict[str, tuple[bool, ...]]:
    """Return what the data set says of its images; those it says nothing of are left out."""
    if not isinstance(adapter, LabelledAdapter):
        raise DataError(
            f"adapter {type(adapter).__name__} knows no image-level labels",
            fix="set labels.source to mask_coverage or tag_file",
        )
    names = adapter.classes.label_names
    keys = [key for split in splits.values() for key in split]
    present: dict[str, tuple[bool, ...]] = {}
    for number, key in enumerate(keys, start=1):
        with blamed_on(f"labels of image {key!r}"):
            shown = adapter.image_labels(key)
        if shown is not None:
            unknown = sorted(set(shown) - set(names))
            if unknown:
                raise DataError(f"the label {unknown[0]!r} is none of the classes {', '.join(names)}", where=key)
            present[key] = tuple(name in shown for name in names)
        if progress is not None:
            progress(number, len(keys))
    return present


def _covered_splits(
    splits: Mapping[str, tuple[str, ...]], present: Mapping[str, tuple[bool, ...]], where: str
) -> dict[str, tuple[str, ...]]:
    labelled = {}
    for split, keys in splits.items():
        missing = [key for key in keys if key not in present]
        if split != "train" and len(missing) == len(keys):
            continue
        if missing:
            names = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
            raise DataError(
                f"{len(missing)} of {len(keys)} images of the split {split!r} have no entry: {names}",
                where=where,
                fix="add one for each; leave its classes empty where it shows none",
            )
        labelled[split] = tuple(keys)
    return labelled


def check_trainable(labels: ImageLabels) -> None:
    """Raise DataError where there are no training images, none shows a class, or all show the same classes."""
    images = labels.splits.get("train", ())
    if not images:
        raise DataError("the split 'train' is empty", fix="check the data folder and the recipe's data section")
    shown = {labels.present[key] for key in labels.usable("train")}
    if not any(map(any, shown)):
        fix = "check the tag file"
        if "min_coverage" in labels.provenance:
            fix = f"lower labels.min_coverage, which is {labels.provenance['min_coverage']:g}"
        raise DataError(f"none of {len(images)} training images shows a class", fix=fix)
    if len(shown) == 1:
        same = ", ".join(name for name, there in zip(labels.classes, shown.pop(), strict=True) if there)
        raise DataError(
            f"every training image that shows a class shows the same: {same}; there is nothing to tell apart",
            fix="train on images that differ in their classes" + ", or add some that show none" * labels.negatives,
        )


LISTED = 5
"""Classes that never occur, up to which each has a warning of its own."""


def label_warnings(labels: ImageLabels) -> list[str]:
    """Return sentences about labels that are usable but probably not what was meant."""
    sentences = []
    counts = labels.counts("train")
    never = [name for name in labels.classes if counts[name] == 0]
    if len(never) > LISTED:
        shown = f"{', '.join(map(repr, never[:LISTED]))}, ..."
        what = f"{len(never)} of {len(labels.classes)} classes never occur in the split 'train'"
        sentences.append(f"{what}: they cannot be learned: {shown}")
    for name in labels.classes:
        if name in never and len(never) <= LISTED:
            sentences.append(f"class {name!r} never occurs in the split 'train': it cannot be learned")
        elif name not in never and counts[name] == len(labels.usable("train")):
            sentences.append(f"class {name!r} occurs in every training image: its absence cannot be learned")
    for split, keys in labels.splits.items():
        empty = len(keys) - len(labels.with_a_class(split))
        if empty and not labels.negatives:
            kept_out = " and are kept out of training" if split == "train" else ""
            sentences.append(f"{empty} of {len(keys)} images of the split {split!r} show no class{kept_out}")
    return sentences


def frequency_table(labels: ImageLabels) -> "Table":
    """Return a table of how many images of each split show each class, for a terminal."""
    from rich.table import Table

    table = Table(title="Images per class")
    table.add_column("class")
    for split in labels.splits:
        table.add_column(split, justify="right")
    columns = [labels.counts(split) for split in labels.splits]
    for name in labels.classes:
        table.add_row(name, *(str(column[name]) for column in columns))
    empty = [len(keys) - len(labels.with_a_class(split)) for split, keys in labels.splits.items()]
    table.add_section()
    table.add_row("no class", *map(str, empty))
    table.add_row("images", *(str(len(keys)) for keys in labels.splits.values()))
    return table
