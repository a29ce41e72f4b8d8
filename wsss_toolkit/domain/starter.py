"""What an adapter sees in a folder that nobody has written a recipe for yet: `wsss init` makes a recipe of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class Starter:
    """A `data` section for a folder, and what a first recipe depends on."""

    found: tuple[str, ...]
    """Sentences about what lies there."""
    data: Mapping[str, Any]
    """The `data` section without `adapter`, as plain YAML values, in the order to write them."""
    comments: Mapping[str, str]
    """A remark on keys of `data`, by key."""
    scales: Mapping[str, Literal["imagenet", "zscore"]]
    """`channels.SENSOR.scale` of each sensor."""
    labels: Literal["dataset", "mask_coverage"]
    """`labels.source`."""
    splits: Mapping[str, int]
    """Number of training images in each split."""
    size: tuple[int, int]
    """Height and width in pixels of a typical image."""
    same_size: bool
    """Whether all images have that size."""
    crops: bool
    """Whether images are crops of larger ones, which are labelled at their own scale."""
    classes: tuple[str, ...]
    """Names of the classes that have a label."""
    background: bool
    """Whether there is a class for what is none of them."""
    per_image: float | None
    """Mean number of classes that an image is said to show; None where that is unknown."""
    truth: tuple[str, ...]
    """Splits in which every image has a mask."""


@runtime_checkable
class StarterAdapter(Protocol):
    """An adapter that can look at a folder without a recipe."""

    @classmethod
    def starter(cls, folder: Path, masks: Path | None) -> Starter:
        """Look at a folder and propose a `data` section.

        Args:
            folder: The folder, as the user named it: `data.root` of the recipe.
            masks: The folder of the masks, if the user named one.

        Raises:
            WsssError: If no recipe can be made of it; one line that says what to mend.
        """
