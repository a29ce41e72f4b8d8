"""The `data` section of a recipe for a folder of pictures."""

import colorsys
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from wsss_adapters.class_options import HexColor, Part, parse_color, place_of
from wsss_adapters.splits.rule import FolderSplitRule
from wsss_toolkit.domain import AdapterOptions, Changes, ClassTable

MaskValue = Annotated[int, Field(ge=0, le=255)] | HexColor
"""What a mask holds in a pixel."""


class ClassEntry(Part):
    """One class: its name alone, or with a colour."""

    name: Annotated[str, Field(min_length=1)]
    """Name of the class."""
    color: HexColor | None = None
    """Colour in masks and figures, `#rrggbb`; null takes one by the class's place in the list."""

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, value: object) -> object:
        """Accept `cat` for `{name: cat}`."""
        return {"name": value} if isinstance(value, str) else value

    @field_validator("name")
    @classmethod
    def _no_separator(cls, name: str) -> str:
        if name != name.strip() or ";" in name:
            raise ValueError(f"{name!r} begins or ends with a blank, or holds `;`, which separates classes")
        return name


class FolderOptions(AdapterOptions):
    """The `data` section of a recipe for a folder of pictures."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    root: Annotated[Path, Changes.NOTHING]
    """The folder that all paths are relative to."""
    images: str = "."
    """The folder of the pictures, with those below it, or a glob such as `photos/**/*.jpg`; `{split}` stands for the
    folders of `splits.folders`."""
    masks: Annotated[str | None, Changes.TRUTH] = None
    """The folder of index masks (one channel or a palette, each of its picture's size), for evaluation and for
    `labels: {source: mask_coverage}`: each lies and is named as its picture. Null where there are none."""
    mask_suffix: Annotated[str, Changes.TRUTH] = ""
    """What follows a picture's name in its mask's, such as `_mask`."""
    codes: Annotated[dict[MaskValue, str] | None, Changes.TRUTH] = None
    """Class of each value of the masks, such as `{0: background, 255: crack}`, or of each colour, such as
    `{"#000000": background, "#ff0000": crack}`; null: values are the places in `classes`, from 0."""
    ignore: Annotated[tuple[MaskValue, ...], Changes.TRUTH] = ()
    """Values, or colours, of the masks that are not labelled, such as void; the value 255 is one unless `codes` names
    it."""
    tags: Path | None = None
    """Image-level labels below `root`, for `labels: {source: dataset}`: a table (CSV, TSV, or XLSX with the extra
    `excel`) with the columns `image` and `classes`, or with a column of 0 and 1 for each class; or what an annotation
    program exports, see docs/your-own-pictures.md. Names may leave out suffix and folder; `{split}` stands for the
    folders of `splits.folders`."""
    image_column: str | None = None
    """The column of `tags` that names the picture; null looks for a usual name, such as `image` or `file`."""
    classes_column: str | None = None
    """The column of `tags` that names the classes; null looks for a usual name, such as `classes` or `label`."""
    untagged: Literal["refuse", "leave_out"] = "refuse"
    """What becomes of pictures without a row in `tags`."""
    class_folders: bool = False
    """Whether the first folder below `images` names the class of a picture, for `labels: {source: dataset}`."""
    negatives: tuple[str, ...] = ()
    """Class folders whose pictures show none of the classes, such as `[empty]`."""
    classes: Annotated[tuple[ClassEntry, ...], Field(min_length=1)] | None = None
    """The classes in the order of mask values; null: those of `tags` or the class folders, sorted, after
    `background`."""
    background: str | None = None
    """The class that means "none of the others", if there is one; one of `classes` where these are given."""
    crop: Annotated[int, Field(ge=1, le=2**16)] | None = None
    """Side in pixels of square crops: training images, with labels from their part of the mask. Null takes pictures
    whole. Without `crops_per_image` they do not overlap, and the remainder at the right and lower edge is in none."""
    crops_per_image: Annotated[int, Field(ge=1, le=10**6)] | None = None
    """So many crops at random places of each picture in `train` instead, the same in every run; they may overlap."""
    splits: FolderSplitRule = FolderSplitRule(fractions={"train": 0.7, "val": 0.15, "test": 0.15})
    """How pictures are divided; where it is left out, a column of `tags` with words such as `train` and `test` says
    it."""
    scenes: Annotated[Literal["windows", "whole"], Changes.NOTHING] = "windows"
    """How `wsss pseudolabel` labels a picture: by `windows` that slide over it at full size, for networks trained on
    crops; or as a `whole` at the size of the training images, for networks trained on whole, resized pictures."""
    notice: str | None = None
    """A sentence that stands beside every figure of the run, such as "Forty pictures prove the path, no accuracy."."""

    @field_validator("images", "masks")
    @classmethod
    def _below_root(cls, pattern: str | None) -> str | None:
        parts = PurePosixPath(pattern or ".")
        if pattern is not None and (not pattern or parts.is_absolute() or ".." in parts.parts or "\\" in pattern):
            raise ValueError(f"{pattern!r} must be below root, with `/` and without `..`")
        return pattern

    @model_validator(mode="after")
    def _parts_fit(self) -> "FolderOptions":
        if self.tags is not None and self.class_folders:
            raise ValueError("give tags or class_folders, not both")
        if self.tags is None and (self.image_column is not None or self.classes_column is not None):
            raise ValueError("image_column and classes_column are columns of tags")
        if self.negatives and not self.class_folders:
            raise ValueError("negatives are class folders; set class_folders")
        if self.classes is None and self.tags is None and not self.class_folders:
            raise ValueError("name the classes, or where they come from: tags or class_folders")
        if self.crop is None and self.crops_per_image is not None:
            raise ValueError("crops_per_image needs crop, the crops' side in pixels")
        if self.crop is not None and (self.tags is not None or self.class_folders):
            raise ValueError("labels of whole pictures say nothing of their crops: use masks, or leave crop out")
        if self.masks is None and (self.mask_suffix or self.codes or self.ignore):
            raise ValueError("mask_suffix, codes and ignore belong to masks")
        if ("{split}" in self.images) != bool(self.splits.folders):
            raise ValueError("`{split}` in images and `splits: {folders: ...}` belong together")
        for key, pattern in (("masks", self.masks), ("tags", self.tags)):
            if "{split}" in str(pattern) and not self.splits.folders:
                raise ValueError(f"`{{split}}` in {key} needs `splits: {{folders: ...}}`")
        self._check_classes()
        return self

    def _check_classes(self) -> None:
        """Check what names classes, as far as the recipe alone tells."""
        kinds = {type(value) for value in (*(self.codes or ()), *self.ignore)}
        if len(kinds) > 1:
            raise ValueError("codes and ignore hold numbers or colours, not both")
        if kinds == {str} and self.codes is None:
            raise ValueError("colours to ignore need codes, which say what the other colours are")
        read = [str(value).lower() for value in (*(self.codes or ()), *self.ignore)]  # #FF0000 is #ff0000
        twice = sorted({value for value in read if read.count(value) > 1})
        if twice:
            raise ValueError(f"mask values {', '.join(twice)} are in codes and ignore, or twice in one of them")
        if self.classes is None:
            return
        try:
            names = self.table().names
        except ValueError as error:
            raise ValueError(f"classes: {error}") from error
        unknown = sorted(set((self.codes or {}).values()) - set(names))
        if unknown:
            raise ValueError(f"codes name {', '.join(unknown)}, which classes lacks; it has {', '.join(names)}")

    @property
    def codes_are_colors(self) -> bool:
        """Whether masks are read by their colours."""
        return any(isinstance(value, str) for value in self.codes or ())

    def table(self, inferred: tuple[str, ...] = ()) -> ClassTable:
        """Return the classes as the core wants them; tags or folders give the names for recipes without `classes`.

        Raises:
            ValueError: If names repeat or `background` is no class.
        """
        entries = self.classes
        if entries is None:
            first = () if self.background is None else (self.background,)
            entries = tuple(ClassEntry(name=name) for name in (*first, *(n for n in inferred if n not in first)))
        names = tuple(entry.name for entry in entries)
        place = {name: i for i, name in enumerate(name for name in names if name != self.background)}

        def color(entry: ClassEntry) -> tuple[int, int, int]:
            if entry.color:
                return parse_color(entry.color)
            # The background takes no place, so that adding one changes no colour.
            return (0, 0, 0) if entry.name == self.background else distinct_color(place[entry.name])

        return ClassTable(names, tuple(map(color, entries)), place_of(self.background, names))


def distinct_color(place: int) -> tuple[int, int, int]:
    """Return the colour of the class at a place: hues a golden section apart, alternating in brightness."""
    red, green, blue = colorsys.hsv_to_rgb(place * 0.618034 % 1, 0.85 - 0.25 * (place % 2), 0.95 - 0.2 * (place % 3))
    return round(255 * red), round(255 * green), round(255 * blue)
