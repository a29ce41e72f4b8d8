"""Adapting a checkpoint's patch projection to the bands that a recipe selects."""

import re
from collections.abc import Sequence

import torch
from timm.layers.patch_embed import resample_patch_embed
from torch import Tensor

from wsss_toolkit.domain import Sensor

SENTINEL2 = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
BANDS_BY_COUNT = {
    2: ("VV", "VH"),
    3: ("RED", "GREEN", "BLUE"),
    12: tuple(band for band in SENTINEL2 if band != "B10"),  # level 2A has no cirrus band
    13: SENTINEL2,
}
"""What the input channels of a checkpoint are where it does not say."""
COLORS = {"R": "RED", "G": "GREEN", "B": "BLUE"}
SENTINEL2_COLORS = {"B4": "RED", "B3": "GREEN", "B2": "BLUE"}


def adapt_input(
    weight: Tensor,
    sensors: Sequence[Sensor],
    patch_size: int,
    *,
    bands: Sequence[str] | None = None,
    landsat: bool = False,
) -> tuple[Tensor, str]:
    """Adapt a patch projection to the bands of some sensors and to a patch size.

    Bands that the checkpoint knows are copied by name, others start from the mean over its channels, and all are scaled
    by (channels before) / (channels after), which keeps the response to an image whose channels are alike. The patch
    size follows FlexiViT (Beyer et al., 2023), as in timm.

    Args:
        weight: Projection `d c p p` of the checkpoint.
        sensors: The sensors that the projection reads, in input order.
        patch_size: Side of a patch in pixels.
        bands: Names of the checkpoint's channels; guessed from their number if None.
        landsat: Whether these are Landsat's.

    Returns:
        The projection `d c' p' p'`, and in words how it was made.
    """
    notes = []
    if weight.shape[-2:] != (patch_size, patch_size):
        notes.append(f"patches resampled from {weight.shape[-2]} to {patch_size} px")
        weight = resample_patch_embed(weight, [patch_size, patch_size])
    count = weight.shape[1]
    known = list(bands) if bands is not None and len(bands) == count else BANDS_BY_COUNT.get(count, ())
    names = [_canonical(band, landsat=landsat) for band in known]
    wanted = [name for sensor in sensors for name in _sensor_bands(sensor, colors="RED" in names, landsat=landsat)]
    labels = [band for sensor in sensors for band in sensor.bands]
    if not any(name in names for name in wanted) and len(wanted) == count and bands is None:
        return weight, "; ".join([*notes, "same number of channels, their order taken as given"])
    mean = weight.mean(1)
    columns = [weight[:, names.index(name)] if name in names else mean for name in wanted]
    copied = [label for label, name in zip(labels, wanted, strict=True) if name in names]
    if copied:
        notes.append(f"{' '.join(copied)} copied by name")
    if len(copied) < len(wanted):
        notes.append(f"{len(wanted) - len(copied)} channels from the mean")
    if len(wanted) != count:
        notes.append(f"scaled by {count}/{len(wanted)}")
    return torch.stack(columns, 1) * (count / len(wanted)), "; ".join(notes)


def _sensor_bands(sensor: Sensor, *, colors: bool, landsat: bool) -> list[str]:
    """Return the bands of a sensor under the names that a checkpoint's are compared by."""
    is_landsat = "landsat" in sensor.name.lower()
    names = [_canonical(band, landsat=is_landsat) for band in sensor.bands]
    if colors:
        if sensor.rgb is not None and len(set(sensor.rgb)) == 3:
            natural = dict(zip(sensor.rgb, ("RED", "GREEN", "BLUE"), strict=True))
            return [natural.get(band, name) for band, name in zip(sensor.bands, names, strict=True)]
        if not is_landsat:
            return [SENTINEL2_COLORS.get(name, name) for name in names]
    # Landsat's B4 is not Sentinel-2's: names of two instruments are never equal.
    return names if is_landsat == landsat else [f"{sensor.name}.{name}" for name in names]


def _canonical(band: str, *, landsat: bool) -> str:
    """Return a band's name in capitals without a leading zero: B02, b2 and B2 are one band."""
    name = re.sub(r"^B0*(?=\d)", "B", band.strip().upper())
    return name if landsat else COLORS.get(name, name)
