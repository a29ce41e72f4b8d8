"""How the numbers stored in a raster become the values that a model sees."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from wsss_toolkit.errors import DataError

ScaleTags = Literal["refuse", "apply", "ignore"]


@dataclass(frozen=True, slots=True)
class BandValues:
    """What is done to the numbers of a file: ``value = number * multiply + add``, after its own scale and offset."""

    nodata: float | None = None
    """The number that means "no data", where the file does not say it."""
    multiply: float = 1.0
    """Multiplies every value."""
    add: float = 0.0
    """Added to every value after that."""
    scale_tags: ScaleTags = "refuse"
    """What becomes of a band's SCALE and OFFSET tags that change its values."""

    def check(self, dataset: Any, indexes: Sequence[int], where: str, key: str | None = None) -> None:
        """Refuse bands whose tags change their values where nobody says whether they should.

        Args:
            dataset: An open raster.
            indexes: Its bands that are wanted, from 1.
            where: The file, for the error.
            key: The recipe's section that has `scale_tags`; None where there is none.

        Raises:
            DataError: If there are such tags, or tags that are no numbers.
        """
        for index in indexes:
            scale, offset = dataset.scales[index - 1], dataset.offsets[index - 1]
            if self.scale_tags == "ignore" or (scale, offset) == (1.0, 0.0):
                continue
            tags = f"band {index} has the tags SCALE {scale:g} and OFFSET {offset:g}"
            if not (math.isfinite(scale) and math.isfinite(offset) and scale):
                fix = "correct them with gdal_edit.py" + (f", or set `scale_tags: ignore` in {key}" if key else "")
                raise DataError(f"{tags}, which are no scale", where=where, fix=fix)
            if self.scale_tags == "apply":
                continue
            fix = "remove them with gdal_edit.py -scale 1 -offset 0"
            if key:
                fix = f"set `scale_tags: apply` in {key} (with `multiply: 10000` where reflectance is wanted as digital"
                fix += " numbers), or `scale_tags: ignore`"
            raise DataError(f"{tags}, and nothing says whether the model's values follow them", where=where, fix=fix)

    def apply(self, numbers: NDArray[np.float32], dataset: Any, indexes: Sequence[int]) -> NDArray[np.float32]:
        """Return the values of numbers `c h w` of some bands, which stay NaN where they are."""
        factors, terms = np.ones(len(indexes)), np.zeros(len(indexes))
        if self.scale_tags == "apply":
            factors, terms = (np.array([side[i - 1] for i in indexes]) for side in (dataset.scales, dataset.offsets))
        factors, terms = factors * self.multiply, terms * self.multiply + self.add
        if (factors == 1).all() and not terms.any():
            return numbers
        # In double precision: a scale of 0.0001 and its inverse give the same whole numbers again.
        values: NDArray[np.float32] = (
            numbers.astype(np.float64) * factors[:, None, None] + terms[:, None, None]
        ).astype(np.float32)
        return values
