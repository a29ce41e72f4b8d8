"""Random changes of training frames by MONAI's dictionary transforms; imported where a frame is changed."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from monai.transforms.compose import Compose
from monai.transforms.intensity.dictionary import (
    RandAdjustContrastd,
    RandGaussianNoised,
    RandGaussianSmoothd,
    RandScaleIntensityd,
    RandScaleIntensityFixedMeand,
)
from monai.transforms.spatial.dictionary import Rand2DElasticd, RandRotated, RandZoomd
from numpy.typing import NDArray

from wsss_adapters.endoscopy.hyperkvasir_options import Changes
from wsss_toolkit.domain import IGNORE_INDEX

CONTROL_POINTS = 8
"""Control points of elastic shifts along the longer side."""
BRIGHTEST = 255.0
SPATIAL = ("frame", "inside", "mask")
MODES = ("bilinear", "bilinear", "nearest")
ZOOM_MODES = ("bilinear", "bilinear", "nearest-exact")  # plain `nearest` shifts by half a pixel


def change_frame(
    pixels: NDArray[np.float32], mask: NDArray[np.uint8] | None, changes: Changes, random: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.uint8] | None]:
    """Change a frame, and its mask in the same way.

    Missing pixels take no part in interpolation: colours are averaged over the pixels inside the field of view, and a
    pixel of the result is inside where most of what it is averaged from is.

    Args:
        pixels: float32 `c h w` in 0..255, NaN where a pixel is missing.
        mask: uint8 `h w`, class indices and 255, or None.
        changes: What may be changed, and how far.
        random: The only source of chance; one number is drawn from it.

    Returns:
        Frame and mask of the same size as before, NaN and 255 where a pixel comes from outside the field of view.
    """
    seed = int(random.integers(2**32, dtype=np.uint64))
    spatial, intensity = _transforms(changes, pixels.shape[1:])
    spatial.set_random_state(seed)
    intensity.set_random_state(seed ^ 0x5EED)
    valid = np.asarray(np.isfinite(pixels).all(axis=0))
    # What comes from outside the picture is 0: hence the shift, which makes that 255.
    shifted = np.zeros(valid.shape, np.float32) if mask is None else mask.astype(np.float32) - IGNORE_INDEX
    arrays = {"frame": np.where(valid, pixels, np.float32(0)), "inside": valid[None], "mask": shifted[None]}
    moved = spatial({name: torch.from_numpy(array.astype(np.float32)) for name, array in arrays.items()})
    moved = {name: plane.numpy() for name, plane in moved.items()}
    weight = moved["inside"][0]
    inside = weight > 0.5
    frame = moved["frame"] / np.maximum(weight, 0.5)
    if inside.any():
        # The mean outside, so that neither contrast nor blur sees a black frame.
        frame = np.where(inside, frame, frame[:, inside].mean(axis=1)[:, None, None])
        frame = intensity({"frame": torch.from_numpy(frame.astype(np.float32))})["frame"].numpy()
    changed = np.where(inside, frame.clip(0, BRIGHTEST), np.nan).astype(np.float32)
    if mask is None:
        return changed, None
    return changed, np.where(inside, np.rint(moved["mask"][0] + IGNORE_INDEX), IGNORE_INDEX).astype(np.uint8)


@lru_cache(maxsize=16)
def _transforms(changes: Changes, size: tuple[int, int]) -> tuple[Compose, Compose]:
    """Return the changes of place, and those of intensity."""
    often = changes.probability
    place: list[Callable[..., Any]] = []
    if changes.rotate:
        angle = float(np.deg2rad(changes.rotate))
        place.append(RandRotated(SPATIAL, range_x=angle, prob=often, mode=MODES, padding_mode="zeros"))
    if changes.zoom:
        low, high = 1 - changes.zoom, 1 + changes.zoom
        place.append(
            RandZoomd(SPATIAL, prob=often, min_zoom=low, max_zoom=high, mode=ZOOM_MODES, padding_mode="constant")
        )
    if changes.elastic:
        side = max(size)
        reach = (0.0, changes.elastic * side)
        spacing = (side / CONTROL_POINTS,) * 2
        place.append(Rand2DElasticd(SPATIAL, spacing, reach, prob=often, mode=MODES, padding_mode="zeros"))
    shade: list[Callable[..., Any]] = []
    if changes.brightness:
        shade.append(RandScaleIntensityd("frame", factors=changes.brightness, prob=often))
    if changes.contrast:
        shade.append(RandScaleIntensityFixedMeand("frame", factors=changes.contrast, prob=often))
    if changes.gamma:
        shade.append(RandAdjustContrastd("frame", prob=often, gamma=(1 - changes.gamma, 1 / (1 - changes.gamma))))
    if changes.blur:
        reach = (0.0, changes.blur)
        shade.append(RandGaussianSmoothd("frame", sigma_x=reach, sigma_y=reach, prob=often))
    if changes.noise:
        shade.append(RandGaussianNoised("frame", prob=often, mean=0.0, std=changes.noise))
    return Compose(place), Compose(shade)
