"""The `data` section of a recipe for endoscopic frames."""

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from wsss_toolkit.domain import AdapterOptions, ClassTable, Code

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
Share = Annotated[float, Field(gt=0.0, le=1.0)]
Layout = Literal["hyperkvasir", "kvasir_seg", "frames"]


class Part(BaseModel):
    """A part of the section: frozen, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class CodeEntry(Part):
    """A concept of a terminology."""

    value: Annotated[str, Field(min_length=1)]
    """The concept's code, such as `68496003`."""
    scheme: Annotated[str, Field(min_length=1)] = "SCT"
    """The terminology's designator in DICOM: `SCT` is SNOMED CT."""
    meaning: Annotated[str, Field(min_length=1)]
    """The concept in words, such as `Polyp of colon`."""


class ClassEntry(Part):
    """One class."""

    name: Annotated[str, Field(min_length=1)]
    """Name of the class."""
    color: Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")]
    """Colour in masks and figures, `#rrggbb`."""
    code: CodeEntry | None = None
    """What DICOM-SEG calls the class."""


class SplitRule(Part):
    """How frames are divided: exactly one of `counts`, `fractions` and `file`."""

    counts: dict[Name, Annotated[int, Field(ge=1)]] | None = None
    """Number of frames in each split, such as `{train: 650, val: 100, test: 250}`; what is left is in no split."""
    fractions: dict[Name, Share] | None = None
    """Share of the frames in each split, together 1."""
    file: Path | None = None
    """A CSV file with the columns `image` and `split`, below `root`; frames that it does not name are left out."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Draws the frames for `counts` and `fractions`."""
    group_pattern: str | None = None
    """A regular expression with one group on the frame's file name without suffix: frames for which the group is the
    same (a patient, a video) stay in one split, such as `^(patient\\d+)_`."""
    similarity: Annotated[float, Field(gt=0.5, le=1.0)] | None = None
    """Frames whose grey thumbnails correlate by this or more stay in one split, such as 0.98 for near-duplicates."""

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

    @model_validator(mode="after")
    def _exactly_one(self) -> "SplitRule":
        given = [name for name in ("counts", "fractions", "file") if getattr(self, name)]
        if len(given) != 1:
            raise ValueError(f"give one of counts, fractions and file, got {', '.join(given) or 'none'}")
        if self.fractions and abs(sum(self.fractions.values()) - 1) > 1e-6:
            raise ValueError(f"fractions sum to {sum(self.fractions.values()):g}, not 1")
        grouped = [name for name in ("group_pattern", "similarity") if getattr(self, name) is not None]
        if self.file and grouped:
            raise ValueError(f"{grouped[0]} has no effect where a file says which split a frame is in")
        return self


class HyperKvasirOptions(AdapterOptions):
    """The `data` section of a recipe for endoscopic frames."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    root: Path
    """The folder that all paths are relative to."""
    layout: Literal["auto"] | Layout = "auto"
    """What lies there; `auto` looks."""
    images: str = "images"
    """`layout: frames`: the folder of the frames."""
    masks: str | None = None
    """`layout: frames`: the folder of index masks or binary masks, named as the frames; null where there are none."""
    classes: tuple[ClassEntry, ...] | None = None
    """The classes in the order of mask values; needed by `layout: frames`, known for the others."""
    background: str | None = "background"
    """The class that means "none of the others"; null if there is none."""
    splits: SplitRule = SplitRule(fractions={"train": 0.7, "val": 0.1, "test": 0.2})
    """How frames are divided."""
    notice: str | None = None
    """A sentence that stands beside every figure of the run, such as "Research use only."."""

    def class_table(self) -> ClassTable:
        """Return the classes as the core wants them.

        Raises:
            ValueError: If names repeat or `background` is no class.
        """
        entries = self.classes or ()
        names = tuple(entry.name for entry in entries)
        if self.background is not None and self.background not in names:
            raise ValueError(f"background {self.background!r} is not one of {', '.join(names)}")
        codes = tuple(Code(e.code.value, e.code.scheme, e.code.meaning) if e.code else None for e in entries)
        return ClassTable(
            names,
            tuple((int(e.color[1:3], 16), int(e.color[3:5], 16), int(e.color[5:7], 16)) for e in entries),
            None if self.background is None else names.index(self.background),
            codes if any(codes) else (),
        )
