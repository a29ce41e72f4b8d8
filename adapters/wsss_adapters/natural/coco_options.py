"""The `data` section of a recipe for MS COCO and files in its format."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import model_validator

from wsss_adapters.natural.images import NaturalOptions
from wsss_adapters.splits.rule import Name, SplitRule
from wsss_toolkit.domain import Changes


class Division(SplitRule):
    """One image set that is divided: exactly one of `counts`, `fractions`, `file` and `lists`."""

    set: Name
    """The image set, such as `train2017`."""

    @model_validator(mode="after")
    def _no_table(self) -> "Division":
        if self.group_by is not None:
            raise ValueError("annotation files have no columns: use group_pattern or similarity instead of group_by")
        return self


class CocoOptions(NaturalOptions):
    """The `data` section of a recipe for MS COCO and files in its format."""

    root: Annotated[Path, Changes.NOTHING]
    """The folder of `annotations` and of the image sets' folders, such as `train2014`, or `images/train2014`."""
    year: Literal[2014, 2017] = 2014
    """Which release: `train` is the set `train2014` or `train2017`, `val` is `val2014` or `val2017`."""
    sets: dict[Name, Name] | None = None
    """The image set of each split in place of `year`, such as `{train: train2017, val: val2017}`: pictures in the
    folder of that name, annotations in `annotations/instances_NAME.json`. A set that has only
    `annotations/image_info_NAME.json` has neither labels nor masks."""
    divide: Division | None = None
    """Split one image set by a rule, in place of `year` and `sets`."""
    without_objects: Literal["skip_in_train", "skip", "keep"] = "skip_in_train"
    """What becomes of images without any object: left out of the split `train`, left out of all splits (as in
    published figures: 82,081 and 40,137 images of COCO 2014 remain), or kept as examples of absence."""
    categories: Literal["coco", "file"] = "coco"
    """`coco`: the 80 classes, and a file whose categories are others is refused. `file`: those of the annotation files,
    which must agree."""
    cache: Annotated[Path | None, Changes.NOTHING] = None
    """A folder for rasterised masks, as PNG; null rasterises them anew whenever they are read."""

    @model_validator(mode="after")
    def _one_rule(self) -> "CocoOptions":
        if self.sets is not None and self.divide is not None:
            raise ValueError("data.sets and data.divide exclude each other: give one of the two")
        if self.sets is not None and (not self.sets or len(set(self.sets.values())) < len(self.sets)):
            raise ValueError("data.sets names each image set once and at least one")
        return self

    @property
    def image_sets(self) -> dict[str, str | None]:
        """The image sets, and the split that each is; None where it is divided."""
        if self.divide is not None:
            return {self.divide.set: None}
        if self.sets is not None:
            return {name: split for split, name in self.sets.items()}
        return {f"{split}{self.year}": split for split in ("train", "val")}
