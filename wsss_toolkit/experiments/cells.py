"""What an experiment consists of: rows of its table, and one cell per row and seed."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from wsss_toolkit.experiments.grid import CASE, Axis, Combination
from wsss_toolkit.recipe import Recipe

Supervised = Literal["supervised_unet", "supervised_head", "supervised_vit"]
"""The rows that are trained on ground-truth masks."""

SUPERVISED_STAGES = ("supervised_training", "supervised_evaluation")
"""The stages of their cells."""

LONGEST_NAME = 100
"""Characters of a row's name, so that it fits any file system."""


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    """Safe as a folder's name."""
    values: Mapping[str, str]
    """What tells the row from others, by axis, as it is shown."""
    recipe: Recipe
    """What is run, with the first seed."""
    supervised: Supervised | None = None
    """How it is trained on ground-truth masks; None for the rows that are runs of the recipe."""
    numbers: Mapping[str, float] = field(default_factory=dict)
    """The values that are numbers, for curves."""


@dataclass(frozen=True)
class Cell:
    """A row with one seed: an ordinary run."""

    row: Row
    seed: int

    @property
    def name(self) -> str:
        """The name of its folder."""
        return f"{self.row.name}__seed-{self.seed}"

    @property
    def recipe(self) -> Recipe:
        """The row's recipe with the cell's seed."""
        return self.row.recipe.model_copy(update={"seed": self.seed})


def cells_of(rows: Sequence[Row], seeds: int) -> list[Cell]:
    """Return the cells in the order in which they are carried out.

    Seeds come one after the other, each row's own first, so that a whole table of one seed is there early. Within a
    seed, cells that share a training stand together, then those that share pseudo-masks, in the order of the rows.
    """
    trainings = _ranks(training_key(row) for row in rows)
    masks = _ranks((training_key(row), row.recipe.pseudo_masks.model_dump_json()) for row in rows)
    order = sorted(range(len(rows)), key=lambda index: (trainings[index], masks[index], index))
    return [Cell(rows[index], rows[index].recipe.seed + step) for step in range(seeds) for index in order]


TRAINED_BY = ("channels", "model", "heads", "objective")
"""Sections that say what is trained, beside `train`."""


def training_key(row: Row) -> str:
    """Return a text that is the same for rows that train the same classifier."""
    sections = row.recipe.model_dump(mode="json", include={"seed", "data", "labels", "train", *TRAINED_BY})
    return json.dumps([row.supervised, sections])


def _ranks(keys: Iterable[object]) -> list[int]:
    first: dict[object, int] = {}
    return [first.setdefault(key, len(first)) for key in keys]


def grid_row(axes: Sequence[Axis], combination: Combination, recipe: Recipe) -> Row:
    """Return the row of one combination of a grid."""
    keys = [axis.name for axis in axes]
    chosen = dict(zip(keys, combination, strict=True))
    name = "__".join(
        safe_name(choice.shown) if key == CASE else f"{safe_name(label)}-{safe_name(choice.shown)}"
        for label, (key, choice) in zip(short_names(keys), chosen.items(), strict=True)
    )
    values = {key: choice.shown for key, choice in chosen.items()}
    numbers = {key: choice.number for key, choice in chosen.items() if choice.number is not None}
    return Row(shorten(name) or "recipe", values, recipe, numbers=numbers)


def short_names(keys: Sequence[str]) -> list[str]:
    """Return the shortest end of each dotted key that no other key ends with."""
    names = []
    for key in keys:
        parts = key.split(".")
        ends = [".".join(parts[-length:]) for length in range(1, len(parts) + 1)]
        others = [other for other in keys if other != key]
        names.append(next((end for end in ends if not any(f".{other}".endswith(f".{end}") for other in others)), key))
    return names


def safe_name(text: str) -> str:
    """Return a text as part of a file name; where more than spaces are lost, a digest keeps texts apart."""
    spaced = "-".join(text.split())
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", spaced).strip("-.")
    return safe if safe == spaced else f"{safe}-{_digest(text)}".lstrip("-")


def shorten(name: str) -> str:
    """Return a name of at most `LONGEST_NAME` characters; a digest keeps long names apart."""
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 7].rstrip('-._')}-{_digest(name)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:6]
