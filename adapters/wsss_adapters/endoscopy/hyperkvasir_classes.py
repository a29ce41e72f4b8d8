"""The classes of HyperKvasir, and which of the many spellings of a class is meant."""

import re
import unicodedata
from collections.abc import Iterable, Mapping

from wsss_adapters.class_options import parse_color
from wsss_toolkit.domain import ClassTable, Code
from wsss_toolkit.errors import close_names

_POLYP = Code("68496003", "SCT", "Polyp of colon")
_COLITIS = Code("64766004", "SCT", "Ulcerative colitis")

LOWER_GI: Mapping[str, tuple[str, Code | None]] = {
    "cecum": ("#1f77b4", Code("32713005", "SCT", "Cecum structure")),
    "ileum": ("#aec7e8", Code("34516001", "SCT", "Ileum structure")),
    "retroflex-rectum": ("#17becf", Code("34402009", "SCT", "Rectum structure")),
    "hemorrhoids": ("#9467bd", Code("70153002", "SCT", "Hemorrhoids")),
    "polyps": ("#d62728", _POLYP),
    "ulcerative-colitis-grade-0-1": ("#ffe0b2", _COLITIS),
    "ulcerative-colitis-grade-1": ("#ffcc80", _COLITIS),
    "ulcerative-colitis-grade-1-2": ("#ffb74d", _COLITIS),
    "ulcerative-colitis-grade-2": ("#ff9800", _COLITIS),
    "ulcerative-colitis-grade-2-3": ("#ef6c00", _COLITIS),
    "ulcerative-colitis-grade-3": ("#bf360c", _COLITIS),
    "bbps-0-1": ("#8c564b", None),
    "bbps-2-3": ("#c49c94", None),
    "impacted-stool": ("#5d4037", None),
    "dyed-lifted-polyps": ("#3949ab", None),
    "dyed-resection-margins": ("#00acc1", None),
}
"""The 16 classes of the lower gastrointestinal tract: colour, and SNOMED CT's concept where there is one for sure."""

UPPER_GI = frozenset(
    {"barretts", "barretts-short-segment", "esophagitis-a", "esophagitis-b-d", "pylorus", "retroflex-stomach", "z-line"}
)
"""The other 7 classes of the data set: known, and left out unless a recipe names them."""

ALIASES: Mapping[str, str] = {
    "polyp": "polyps",
    "colon-polyp": "polyps",
    "colon-polyps": "polyps",
    "caecum": "cecum",
    "normal-cecum": "cecum",
    "terminal-ileum": "ileum",
    "retroflexed-rectum": "retroflex-rectum",
    "rectum-retroflexed": "retroflex-rectum",
    "hemorrhoid": "hemorrhoids",
    "haemorrhoids": "hemorrhoids",
    "dyed-lifted-polyp": "dyed-lifted-polyps",
    "dyed-resection-margin": "dyed-resection-margins",
    "stool": "impacted-stool",
    "normal-z-line": "z-line",
    "normal-pylorus": "pylorus",
    "barrett-s": "barretts",
    "barrett-s-short-segment": "barretts-short-segment",
    **{f"ulcerative-colitis-{grade}": f"ulcerative-colitis-grade-{grade}" for grade in ("0-1", "1-2", "2-3", "1", "2")},
    "ulcerative-colitis-3": "ulcerative-colitis-grade-3",
}
"""Spellings in other releases (Kvasir v2, EndoTect) and in tables, in the form that `normal` gives them."""


def hyperkvasir_table(names: Iterable[str] = tuple(LOWER_GI)) -> ClassTable:
    """Return background and some of the 16 lower-GI classes: HyperKvasir has all, Kvasir-SEG polyps alone."""
    chosen = {name: LOWER_GI[name] for name in names}
    colors = ((0, 0, 0), *(parse_color(color) for color, _ in chosen.values()))
    return ClassTable(("background", *chosen), colors, background=0, codes=(None, *(c for _, c in chosen.values())))


def normal(name: str) -> str:
    """Return a name in lower case, its words joined by ``-``: ``Ulcerative colitis grade 2`` as in folder names.

    Letters of all scripts are letters.
    """
    return re.sub(r"[\W_]+", "-", unicodedata.normalize("NFC", name).casefold()).strip("-")


class ClassNames:
    """Finds the class, or the kind of negative image, that a folder or a table names.

    Args:
        classes: The classes of the recipe.
        negatives: Names of images that show none of them.
        aliases: The recipe's own spellings.
        known: Further names that are no mistake; images so called are left out.
    """

    def __init__(
        self,
        classes: ClassTable,
        negatives: Iterable[str] = (),
        aliases: Mapping[str, str] | None = None,
        known: Iterable[str] = (),
    ) -> None:
        self._aliases = dict(ALIASES)
        self._aliases |= {normal(one): self._spelled(other) for one, other in (aliases or {}).items()}
        self._labels = {self._spelled(name): name for name in classes.label_names}
        self._labels |= {normal(name): name for name in classes.label_names}  # the exact name wins over an alias
        self._negatives = {self._spelled(name) for name in negatives}
        self._known = set(known)

    def find(self, name: str) -> tuple[str, tuple[str, ...]] | None:
        """Return what a name stands for and the labels of its images, or None if these are left out.

        Raises:
            KeyError: If nothing is called so; its argument is the name that comes nearest, or "".
        """
        for spelled in (normal(name), self._spelled(name)):
            if spelled in self._labels:
                return self._labels[spelled], (self._labels[spelled],)
        if spelled in self._negatives:
            return spelled, ()
        if spelled in self._known:
            return None
        choices = [*self._labels, *self._negatives, *self._known, *self._aliases]
        close = close_names(spelled, choices)
        raise KeyError(self._spelled(close[0]) if close else "")

    def leaves_out(self, name: str) -> bool:
        """Return whether images so called are known and left out."""
        try:
            return self.find(name) is None
        except KeyError:
            return False

    def labels(self, name: str) -> tuple[str, ...]:
        """Return the labels of the images that a name stands for; empty if it is no class of the recipe."""
        try:
            found = self.find(name)
        except KeyError:
            return ()
        return found[1] if found else ()

    def _spelled(self, name: str) -> str:
        spelled = normal(name)
        return self._aliases.get(spelled, spelled)
