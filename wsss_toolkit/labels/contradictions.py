"""Where ground-truth masks cannot mean what they should: they contradict labels, or lack what all masks have."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from wsss_toolkit.domain import IGNORE_INDEX, ClassTable

MOST = 0.5
"""Share of contradicting images from which labels and masks are probably not of the same classes."""

SEVERAL = 3
"""Contradicted classes up to which each has a warning of its own."""

MEANINGLESS = "mean nothing until the values of masks are those of the classes (their order, or data.codes)"

FEWEST = 4
"""Masks from which a background that none of them has is missed."""

WORTH_A_WORD = 0.1
"""Share of contradicting images below which nothing is said: annotators differ."""


@dataclass
class Contradictions:
    """Counts, for images that have both, how labels that do not come from masks fit the masks.

    It also counts masks without a labelled pixel and masks with background.

    >>> found = Contradictions(ClassTable(("none", "cat"), ((0, 0, 0), (255, 0, 0)), 0))
    >>> found.look("a", (True,), np.array([[0, 255]], np.uint8))
    >>> found.counts()
    {'cat': {'tagged': 1, 'lacking': 1, 'untagged': 0, 'shown': 0}}
    """

    classes: ClassTable
    _masks: dict[str, tuple[bool, bool]] = field(default_factory=dict)
    """Per image, whether its mask has a labelled pixel, and background."""
    _images: dict[str, tuple[tuple[bool, ...], tuple[bool, ...]]] = field(default_factory=dict)
    """Per image and class, whether it is tagged and whether the mask shows it."""

    def look(self, key: str, present: Sequence[bool] | None, truth: NDArray[np.uint8]) -> None:
        """Take an image's mask `h w` and its labels, if there are any that do not come from masks."""
        if key in self._masks:
            return
        there = np.bincount(truth.ravel(), minlength=IGNORE_INDEX + 1) > 0
        background = self.classes.background
        labelled = bool(there[:IGNORE_INDEX].any())
        self._masks[key] = labelled, background is not None and bool(there[background])
        if labelled and present is not None:
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
        """Return what is to be said of the masks.

        That is a warning for each class whose masks contradict the labels in most images, one for all of these if they
        are many, and one for the other classes; without any of these one where no mask can be right.
        """
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
                found.append(sentence)
            elif worst >= WORTH_A_WORD:
                some.append(sentence)
        warnings = [f"masks contradict the labels of {sentence}; its figures {MEANINGLESS}" for sentence in found]
        if len(found) > SEVERAL:
            shown = "; ".join(found[:SEVERAL])
            warnings = [
                f"masks contradict the labels of {len(found)} classes, whose figures {MEANINGLESS}: {shown}; ..."
            ]
        warnings += [f"masks and labels differ in some images: {'; '.join(some)}"] if some else []
        return warnings or self._lacking()

    def _lacking(self) -> list[str]:
        """Return a warning where no mask has a labelled pixel, or none has background."""
        labelled = [there for any_label, there in self._masks.values() if any_label]
        background = self.classes.background
        number = len(self._masks)
        if number > 1 and not labelled:
            return [f"none of {number} masks holds a labelled pixel, so that nothing is scored; check their values"]
        if len(labelled) >= FEWEST and background is not None and not any(labelled):
            return [
                f"none of {len(labelled)} masks holds the background, {self.classes.names[background]!r}: what lies "
                "beside objects is not scored; check which value means it, and which are left out"
            ]
        return []
