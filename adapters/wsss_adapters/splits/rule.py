"""How a recipe says which image is in which split: one rule for all data sets."""

import re
from pathlib import Path
from typing import Annotated, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
Share = Annotated[float, Field(gt=0.0, le=1.0)]
GROUPINGS = ("group_by", "group_pattern", "similarity")


class SplitRule(BaseModel):
    """How images are divided: exactly one of `counts`, `fractions`, `file` and `lists`."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    WAYS: ClassVar[tuple[str, ...]] = ("counts", "fractions", "file", "lists")

    counts: dict[Name, Annotated[int, Field(ge=1, le=10**9)]] | None = None
    """Number of images in each split, such as `{train: 650, val: 100, test: 250}`; what is left is in no split."""
    fractions: dict[Name, Share] | None = None
    """Share of the images in each split, together 1."""
    file: Path | None = None
    """A table below `root`: `image,split`, or HyperKvasir's official `file-name;class-name;split-index`. Images that it
    does not name are left out."""
    image_column: str | None = None
    """The column of `file`, and of `data.table`, that names the image; null looks for a usual name and takes the first
    column otherwise."""
    split_column: str | None = None
    """The column of `file` that names the split; null looks for `split`, `split-index` and `fold`."""
    folds: dict[Name, tuple[str, ...]] | None = None
    """Which values of the file's split column make each split, such as `{train: ["0"], test: ["1"]}`; null takes the
    values for the splits' names."""
    lists: dict[Name, Path | tuple[str, ...]] | None = None
    """Text files below `root` with one image name a line, such as `{train: train.txt, test: val.txt}`, or the names
    themselves. Images in no list are left out."""
    val_fraction: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Share of `train` of a file or of lists that becomes `val`: official folds have no split to choose by."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Draws the images for `counts`, `fractions` and `val_fraction`."""
    group_by: str | None = None
    """A column of the data set's table: images with the same value, such as the patient, the video or the orbit, stay
    in one split."""
    group_pattern: str | None = None
    """A regular expression with one group on the image's name without suffix: images for which the group is the
    same stay in one split, such as `^(patient\\d+)_`."""
    similarity: Annotated[float, Field(gt=0.5, le=1.0)] | None = None
    """Pictures whose grey thumbnails of 24 x 24 pixels correlate by this or more stay in one split, and so do chains of
    them: 0.98 for near-duplicates."""

    @property
    def grouping(self) -> str | None:
        """The key that says which images stay together, or None."""
        return next((name for name in GROUPINGS if getattr(self, name) is not None), None)

    @field_validator("group_pattern")
    @classmethod
    def _one_group(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            try:
                groups = re.compile(pattern).groups
            except re.error as error:
                raise ValueError(f"{pattern!r} is no regular expression: {error}") from error
            if groups != 1:
                raise ValueError(f"{pattern!r} has {groups} groups in parentheses, not 1")
        return pattern

    @field_validator("folds", mode="before")
    @classmethod
    def _numbers_are_texts(cls, folds: object) -> object:
        """Accept `[0]` for `["0"]`: in the file they are texts."""
        if not isinstance(folds, dict):
            return folds
        return {
            split: tuple(str(value) if type(value) is int else value for value in values)
            if isinstance(values, list | tuple)
            else values
            for split, values in folds.items()
        }

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = [name for name in self.WAYS if getattr(self, name)]
        if len(given) != 1:
            ways = f"{', '.join(self.WAYS[:-1])} and {self.WAYS[-1]}"
            raise ValueError(f"give one of {ways}, got {', '.join(given) or 'none'}")
        if self.fractions and abs(sum(self.fractions.values()) - 1) > 1e-6:
            raise ValueError(f"fractions sum to {sum(self.fractions.values()):g}, not 1")
        if (self.folds or self.split_column is not None) and not self.file:
            raise ValueError("folds and split_column belong to a file")
        if self.val_fraction and not (self.file or self.lists):
            raise ValueError("val_fraction belongs to file and lists; counts and fractions name `val` themselves")
        if self.val_fraction and "val" in {**(self.folds or {}), **(self.lists or {})}:
            raise ValueError("val_fraction would replace the `val` that folds or lists name")
        for what, named in (("fold", self.folds), ("image", self.lists)):
            values = [value for split in (named or {}).values() if isinstance(split, tuple) for value in split]
            twice = sorted({value for value in values if values.count(value) > 1})
            if twice:
                raise ValueError(f"{what} {twice[0]} is in two splits, or twice in one")
        return self

    @model_validator(mode="after")
    def _groups_have_an_effect(self) -> Self:
        grouped = [name for name in GROUPINGS if getattr(self, name) is not None]
        if len(grouped) > 1:
            raise ValueError(f"give one of {', '.join(GROUPINGS)}, got {', '.join(grouped)}")
        if grouped and not (self.counts or self.fractions or self.val_fraction):
            raise ValueError(f"{grouped[0]} has no effect where folders, a file or lists say the split of an image")
        return self


class FolderSplitRule(SplitRule):
    """How images are divided: exactly one of `folders`, `counts`, `fractions`, `file` and `lists`."""

    WAYS: ClassVar[tuple[str, ...]] = ("folders", *SplitRule.WAYS)

    folders: dict[Name, Name] | None = None
    """Folder of each split: what `{split}` in the paths stands for, such as `{train: train, val: val}`."""
