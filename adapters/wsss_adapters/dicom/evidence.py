"""What the samples of a frame say against their header, where nothing else tells: their order, shape and colours."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

SMOOTHER: Final = 0.8
"""Steps between neighbours are smaller by this factor, down and across, in the order that samples really have.

In the other order neighbours lie three pixels or a third of a row apart. Of 1,000 endoscopic frames none falls below it
in its right order, and each does in the wrong one.
"""

SHEARED: Final = 0.5
"""Steps down are smaller by this factor once rows and columns are swapped, where a header has swapped them.

Of 1,000 endoscopic frames none falls below 4 in its right shape, and none exceeds 0.25 in the wrong one.
"""

BLACK_SHARE: Final = 0.05
"""Share of black pixels from which on they tell what colours are: nearly all endoscopic frames have a black border."""

BLACK: Final = 24
"""Luma, and red, green and blue, of black pixels at most, of 255: video's range begins at 16."""

NEUTRAL: Final = 2
"""How far the colour differences of black lie from 128 at most."""


def reordered(samples: NDArray[Any], planar: int) -> NDArray[Any]:
    """Return samples `h w 3`, which were read by one planar configuration, as the other would have them."""
    rows, columns, colors = samples.shape
    if planar == 0:
        return samples.reshape(colors, rows, columns).transpose(1, 2, 0)
    return samples.transpose(2, 0, 1).reshape(rows, columns, colors)


def other_order(samples: NDArray[Any], planar: int) -> bool:
    """Tell whether uncompressed samples `h w 3` make a picture by the other planar configuration only."""
    if min(samples.shape[:2]) < 2:
        return False
    stated, other = _steps(samples), _steps(reordered(samples, planar))
    return all(after < SMOOTHER * before for before, after in zip(stated, other, strict=True))


def swapped(samples: NDArray[Any]) -> bool:
    """Tell whether samples `h w` or `h w 3` make a picture of `w` rows and `h` columns only."""
    rows, columns = samples.shape[:2]
    if rows == columns or min(rows, columns) < 2:
        return False
    return _steps(samples.reshape(columns, rows, -1))[0] < SHEARED * _steps(samples)[0]


def odd_black(samples: NDArray[Any], depth: int, space: str) -> str:
    """Return what the user should know of samples `h w 3` whose black is that of other colours than they are read as.

    RGB's black, three zeros, is no colour in YCbCr; YCbCr's, whose differences lie in the middle, is a teal in RGB.
    """
    scaled = samples.astype(np.float32) * (255 / (2**depth - 1))
    dark = scaled[..., 0] <= BLACK
    if space == "rgb":
        black = dark & (np.abs(scaled[..., 1:] - 128) <= NEUTRAL).all(axis=-1)
    else:
        black = dark & (scaled[..., 1:] <= BLACK).all(axis=-1)
    share = float(black.mean())
    if share < BLACK_SHARE:
        return ""
    read, other = ("RGB", "YCbCr") if space == "rgb" else ("YCbCr", "RGB")
    return (
        f"is read as {read}, but {share:.0%} of its first frame are {other}'s black; correct PhotometricInterpretation"
    )


def _steps(samples: NDArray[Any]) -> tuple[float, float]:
    """Return the mean step between neighbours, down and across."""
    values = samples.astype(np.float32)
    return float(np.abs(np.diff(values, axis=0)).mean()), float(np.abs(np.diff(values, axis=1)).mean())
