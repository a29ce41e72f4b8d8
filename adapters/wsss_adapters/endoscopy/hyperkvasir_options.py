"""The `data` section of a recipe for endoscopic frames."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, model_validator

from wsss_adapters.class_options import ClassEntry, Part, class_table
from wsss_adapters.endoscopy.hyperkvasir_classes import normal
from wsss_adapters.frames.scene import SegmentationType
from wsss_adapters.splits.rule import SplitRule
from wsss_toolkit.domain import AdapterOptions, ClassTable, Code
from wsss_toolkit.domain import Changes as Results

Layout = Literal["hyperkvasir", "kvasir_seg", "frames"]


class CodeEntry(Part):
    """A concept of a terminology."""

    value: Annotated[str, Field(min_length=1)]
    """The concept's code, such as `68496003`."""
    scheme: Annotated[str, Field(min_length=1)] = "SCT"
    """The terminology's designator in DICOM: `SCT` is SNOMED CT."""
    meaning: Annotated[str, Field(min_length=1)]
    """The concept in words, such as `Polyp of colon`."""


class CodedClassEntry(ClassEntry):
    """One class."""

    code: CodeEntry | None = None
    """What DICOM-SEG calls the class."""


class Changes(Part):
    """Random changes of training images, made by MONAI; each is off at 0."""

    rotate: Annotated[float, Field(ge=0.0, le=180.0)] = 0.0
    """Rotation by up to so many degrees either way."""
    zoom: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Zoom by a factor in 1 +- this."""
    elastic: Annotated[float, Field(ge=0.0, le=0.1)] = 0.0
    """Smooth shifts of up to so much of the longer side, with control points an eighth of it apart."""
    brightness: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Brightness times a factor in 1 +- this."""
    contrast: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Distance to the image's mean times a factor in 1 +- this."""
    gamma: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Exponent in 1 - this to 1 / (1 - this), on values in 0..1."""
    blur: Annotated[float, Field(ge=0.0, le=10.0)] = 0.0
    """Gaussian blur with a deviation of up to so many pixels."""
    noise: Annotated[float, Field(ge=0.0, le=64.0)] = 0.0
    """Gaussian noise with a deviation of up to this, in grey levels 0..255."""
    probability: Annotated[float, Field(gt=0.0, le=1.0)] = 0.5
    """Probability of each change."""

    @property
    def any(self) -> bool:
        """Whether there is a change at all."""
        return any(value for name, value in self if name != "probability")


class HyperKvasirOptions(AdapterOptions):
    """The `data` section of a recipe for endoscopic frames."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    root: Annotated[Path, Results.NOTHING]
    """The folder that all paths are relative to."""
    layout: Literal["auto"] | Layout = "auto"
    """What lies there; `auto` looks."""
    images: str = "images"
    """`layout: frames`: the folder of the frames, or of class folders with frames."""
    masks: str | None = None
    """`layout: frames`: the folder of the masks, named as the frames; null where there are none."""
    mask_class: str | None = None
    """The class that the masks outline, where they are black and white, or 0 and 1. Null: masks of
    `layout: frames` hold the indices of `classes` and 255, those of the other layouts outline polyps."""
    table: Path | None = None
    """A table below `root` with a row per frame, for `splits.group_by`; HyperKvasir brings its own."""
    classes: Annotated[tuple[CodedClassEntry, ...], Field(min_length=1)] | None = None
    """The classes in the order of mask values. Null: background and HyperKvasir's 16 lower-GI classes, or background
    and polyps for Kvasir-SEG."""
    background: str | None = "background"
    """The class that means "none of the others"; null if there is none."""
    aliases: dict[str, str] = Field(default_factory=dict)
    """Class of a folder's or a table's other names, such as `{adenoma: polyps}`; usual spellings are known."""
    negatives: tuple[str, ...] = ()
    """Folders of images that show none of the classes, such as `[cecum, ileum]`: their label is empty."""
    absent: tuple[str, ...] = ()
    """Classes and negatives whose images are known to show nothing that masks outline: without a mask, they count as
    all background. Any other image without a mask has a mask of unknown content."""
    borders: Literal["mask", "keep"] = "mask"
    """`mask` makes pixels outside the endoscope's field of view missing: the black frame, text, the position box."""
    splits: SplitRule = SplitRule(fractions={"train": 0.7, "val": 0.1, "test": 0.2})
    """How frames are divided."""
    cache: Annotated[Literal["none", "memory"], Results.NOTHING] = "none"
    """`memory` keeps decoded frames until `cache_mb` is full."""
    cache_mb: Annotated[int, Field(ge=1, le=2**24), Results.NOTHING] = 1024
    """What `cache: memory` may fill, in each process."""
    augment: Changes = Changes()
    """Random changes of training images."""
    segmentation_type: Annotated[SegmentationType, Results.NOTHING] = "binary"
    """What a DICOM-SEG holds: `binary`, which viewers read everywhere, or `labelmap`, which is smaller and newer."""
    notice: str | None = None
    """A sentence that stands beside every figure of the run, such as "Research use only."."""

    @model_validator(mode="after")
    def _parts_fit(self) -> "HyperKvasirOptions":
        if self.layout == "frames" and self.classes is None:
            raise ValueError("`layout: frames` needs `classes`")
        if self.masks is not None and self.layout in ("hyperkvasir", "kvasir_seg"):
            raise ValueError(f"`masks` belongs to `layout: frames`; {self.layout} knows where its masks lie")
        if self.classes is not None:
            try:
                table = self.given_table()
            except ValueError as error:
                raise ValueError(f"classes: {error}") from error
            self._check_names(table)
        return self

    def _check_names(self, table: ClassTable) -> None:
        """Check what names classes, as far as the recipe alone tells."""
        if self.mask_class is not None and self.mask_class not in table.label_names:
            raise ValueError(f"mask_class {self.mask_class!r} is not one of {', '.join(table.label_names)}")
        if (self.absent or self.mask_class or self.negatives) and table.background is None:
            raise ValueError("absent, mask_class and negatives need a background class")
        both = sorted({normal(name) for name in table.label_names} & {normal(name) for name in self.negatives})
        if both:
            raise ValueError(f"{both[0]!r} is a class, so its images are no negatives")

    def given_table(self) -> ClassTable:
        """Return the recipe's own classes as the core wants them.

        Raises:
            ValueError: If names repeat or `background` is no class.
        """
        entries = self.classes or ()
        codes = tuple(Code(e.code.value, e.code.scheme, e.code.meaning) if e.code else None for e in entries)
        return class_table(entries, self.background, codes if any(codes) else ())
