"""Where image-level labels and ground-truth masks of the same images contradict each other, class by class."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from wsss_toolkit.domain import IGNORE_INDEX, ClassTable

MOST = 0.5
"""Share of contradicting images from which labels and masks are probably not of the same classes."""

WORTH_A_WORD = 0.1
"""Share of contradicting images below which nothing is said: annotators differ."""


@dataclass
class Contradictions:
    """Counts, for images that have both, how labels that do not come from masks fit the masks.

    >>> found = Contradictions(ClassTable(("none", "cat"), ((0, 0, 0), (255, 0, 0)), 0))
    >>> found.look("a", (True,), np.array([[0, 255]], np.uint8))
    >>> found.counts()
    {'cat': {'tagged': 1, 'lacking': 1, 'untagged': 0, 'shown': 0}}
    """

    classes: ClassTable
    _images: dict[str, tuple[tuple[bool, ...], tuple[bool, ...]]] = field(default_factory=dict)
    """Per image and class, whether it is tagged and whether the mask shows it."""

    def look(self, key: str, present: Sequence[bool] | None, truth: NDArray[np.uint8]) -> None:
        """Take an image's labels and its mask `h w`; one without labels, or without a labelled pixel, says nothing."""
        if present is None or key in self._images:
            return
        there = np.bincount(truth.ravel(), minlength=IGNORE_INDEX + 1) > 0
        if there[:IGNORE_INDEX].any():
            self._images[key] = tuple(present), tuple(bool(there[index]) for index in self.classes.labelled)

    def counts(self) -> dict[str, dict[str, int]]:
        """Return counts of the classes with contradictions.

        They are images `tagged`, those of them whose mask is `lacking` the class, images `untagged`, and those of them
        whose mask has `shown` it.
        """
        found = {}
        for place, name in enumerate(self.classes.label_names):
            pairs = [(tags[place], shown[place]) for tags, shown in self._images.values()]
            counts = {
                "tagged": sum(tagged for tagged, _ in pairs),
                "lacking": sum(tagged and not shown for tagged, shown in pairs),
                "untagged": sum(not tagged for tagged, _ in pairs),
                "shown": sum(shown and not tagged for tagged, shown in pairs),
            }
            if counts["lacking"] or counts["shown"]:
                found[name] = counts
        return found

    def sentences(self) -> list[str]:
        """Return a warning for each class whose masks contradict the labels in most images, and one for the others."""
        found, some = [], []
        for name, counts in self.counts().items():
            parts, worst = [], 0.0
            for part, whole, words in (
                ("lacking", "tagged", "of {} masks of images that show it lack it"),
                ("shown", "untagged", "of {} masks of images that do not show it have it"),
            ):
                share = counts[part] / max(counts[whole], 1)
                worst = max(worst, share)
                if counts[part]:
                    parts.append(f"{counts[part]} {words.format(counts[whole])}")
            sentence = f"class {name!r}: {', '.join(parts)}"
            if worst >= MOST:
                found.append(
                    f"masks contradict the labels of {sentence}; its figures mean nothing until the values of masks "
                    "are those of the classes (their order, or data.codes)"
                )
            elif worst >= WORTH_A_WORD:
                some.append(sentence)
        return found + ([f"masks and labels differ in some images: {'; '.join(some)}"] if some else [])
