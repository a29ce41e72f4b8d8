"""Reads the masks of a folder by the recipe's options, after a look at whether these can be what the masks mean."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsss_adapters.folder.options import FolderOptions
from wsss_adapters.folder.picture_files import Picture
from wsss_adapters.pictures.decoding import Size
from wsss_adapters.pictures.mask_colors import packed, read_colors, refuse_differing_palettes, refuse_other_colors
from wsss_adapters.pictures.masks import encode_mask, read_codes
from wsss_toolkit.domain import IGNORE_INDEX
from wsss_toolkit.errors import DataError

SAMPLE = 200
"""Masks that are looked at together, spread over all."""


def spread(masks: Sequence[Path]) -> list[Path]:
    """Return `SAMPLE` masks at most, spread over all."""
    places = np.unique(np.linspace(0, len(masks) - 1, min(SAMPLE, len(masks))).astype(int))
    return [masks[place] for place in places]


class MaskReader:
    """Masks as class indices and 255; `masks` are all there are, `classes` the names in the order of mask values."""

    def __init__(self, options: FolderOptions, classes: tuple[str, ...], masks: Sequence[Path]) -> None:
        self.options, self.classes, self.masks = options, classes, masks

    def read(self, mask: Path, picture: Picture, size: Size) -> NDArray[np.uint8]:
        """Read the mask of a picture of a height and width: uint8 `h w`.

        Raises:
            DataError: If it cannot be read, is of another size, or holds what is no class; or if the masks together
                cannot mean what the recipe says.
        """
        self._fit  # noqa: B018  what is wrong with all is not said of one
        if not self.options.codes_are_colors:
            return encode_mask(read_codes(mask), mask, picture.path, size, self._codes)
        values = read_colors(mask)
        fix = "add them there, or to data.ignore if they mean void"
        refuse_other_colors(values, self._codes, mask, "data.codes", fix)
        return encode_mask(values, mask, picture.path, size, self._codes)

    @cached_property
    def _codes(self) -> dict[int, int]:
        """Class index, or 255, of each value or packed colour."""
        options, names = self.options, self.classes
        given = {_number(value): names.index(name) for value, name in (options.codes or {}).items()}
        ignored = dict.fromkeys(map(_number, options.ignore), IGNORE_INDEX)
        codes = given or {i: i for i in range(len(names)) if i not in ignored}
        void = {} if options.codes_are_colors else {IGNORE_INDEX: IGNORE_INDEX}
        return {**void, **ignored, **codes}

    @cached_property
    def _fit(self) -> bool:
        """True: palettes agree, and values are not those of black and white masks where `codes` do not say so."""
        if self.options.codes_are_colors or not self.masks:
            return True
        some = spread(self.masks)
        refuse_differing_palettes(some)
        if self.options.codes is None and not self.options.ignore and len(self.classes) > 1:
            values = {int(value) for mask in some for value in np.unique(read_codes(mask))}
            if values == {0, IGNORE_INDEX}:
                what = f"masks hold 0 and {IGNORE_INDEX} alone, and {IGNORE_INDEX} means not labelled"
                fix = f"if it is a class, say so: data.codes: {{0: {self.classes[0]}, 255: {self.classes[1]}}}"
                raise DataError(what, where=str(self.options.root / (self.options.masks or ".")), fix=fix)
        return True


def _number(value: int | str) -> int:
    return packed(value) if isinstance(value, str) else value
