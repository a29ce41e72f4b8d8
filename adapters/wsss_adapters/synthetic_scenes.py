"""Draws Sentinel-1/2-like tiles: smooth shapes, class spectra and back-scatter, texture and speckle.

The numbers are typical values for the classes, chosen by hand; nothing is measured from real scenes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CODES = (1, 2, 4, 5, 6, 7, 9, 10)
"""The DFC2020 codes of the classes, in the order of the tables below."""

SPECTRA = np.array(
    [
        # B01  B02   B03   B04   B05   B06   B07   B08   B8A   B09  B10  B11   B12
        [1150, 850, 720, 480, 850, 1900, 2350, 2300, 2550, 800, 12, 1250, 560],  # Forest
        [1280, 1080, 1060, 1020, 1430, 2050, 2330, 2350, 2560, 850, 14, 2150, 1320],  # Shrubland
        [1230, 1020, 1110, 880, 1500, 2650, 3020, 3050, 3250, 980, 15, 2180, 1180],  # Grassland
        [1230, 960, 890, 680, 980, 1600, 1820, 1780, 1930, 620, 12, 1120, 600],  # Wetlands
        [1270, 1080, 1130, 1100, 1600, 2350, 2700, 2780, 3000, 920, 15, 2680, 1730],  # Croplands
        [1480, 1360, 1290, 1330, 1540, 1870, 2030, 2080, 2180, 700, 20, 2130, 1800],  # Urban/Built-up
        [1520, 1480, 1660, 1960, 2180, 2350, 2480, 2480, 2620, 820, 18, 3400, 2950],  # Barren
        [1180, 900, 680, 430, 390, 350, 340, 300, 290, 160, 9, 190, 130],  # Water
    ],
    dtype=np.float32,
)
"""Mean top-of-atmosphere digital numbers (reflectance x 10000) of the 13 Sentinel-2 bands per class."""

BACKSCATTER = np.array([
    [-9.0, -14.5], [-11.5, -18.0], [-12.5, -19.5], [-13.5, -20.5],
    [-11.0, -17.5], [-5.5, -13.0], [-16.0, -25.0], [-21.0, -29.0],
], dtype=np.float32)  # fmt: skip
"""Mean VV and VH back-scatter in dB per class."""

TEXTURE = np.array([0.08, 0.10, 0.06, 0.10, 0.12, 0.20, 0.07, 0.05], dtype=np.float32)
"""Standard deviation of the log brightness within each class; cities are the roughest."""

BAND_SHIFT = 0.12
"""Relative standard deviation, from tile to tile, of a class's mean in each optical band."""

NOISE = 120.0
"""Standard deviation of the optical noise in digital numbers."""

LOOKS = 4.4
"""Equivalent number of looks of the back-scatter (Sentinel-1 IW GRD)."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One generated tile."""

    sentinel1: NDArray[np.float32]
    """float32 `2 h w`, dB."""
    sentinel2: NDArray[np.uint16]
    """uint16 `13 h w`, digital numbers."""
    codes: NDArray[np.uint8]
    """uint8 `h w`, DFC2020 codes and 0 for unlabelled pixels."""


def draw_scene(size: int, generator: np.random.Generator) -> Scene:
    """Draw one square tile of two to four classes, `size` pixels wide; all randomness is the generator's."""
    from scipy.ndimage import gaussian_filter

    count = int(generator.integers(2, 5))
    classes = generator.choice(len(CODES), size=count, replace=False)
    shapes = np.stack([_smooth_noise(size, size / 7, generator) for _ in classes])
    cover = classes[shapes.argmax(axis=0)]

    # Sensors see a blur of neighbouring classes: abundances `k h w`, softened at the borders.
    shares = np.stack([gaussian_filter((cover == k).astype(np.float32), 0.7) for k in classes])
    # A tile's own season and soil: each class moves a little, in each band and as a whole.
    spectra = (
        SPECTRA[classes] * generator.normal(1.0, BAND_SHIFT, (count, 13)) * generator.normal(1.0, 0.10, (count, 1))
    )
    optical = np.einsum("khw,kb->bhw", shares, spectra)
    roughness = np.einsum("khw,k->hw", shares, TEXTURE[classes])
    brightness = np.exp(
        roughness * (0.6 * generator.standard_normal((size, size)) + 0.8 * _smooth_noise(size, 2.0, generator))
    )
    greenness = 0.10 * _smooth_noise(size, 4.0, generator)
    tilt = np.linspace(-1, 1, 13)[:, None, None] * greenness
    illumination = generator.normal(1.0, 0.08)
    optical = optical * brightness * (1 + tilt) * illumination + generator.normal(0, NOISE, optical.shape)

    level = np.einsum("khw,kb->bhw", shares, BACKSCATTER[classes] + generator.normal(0, 1.0, (count, 2)))
    speckle = generator.gamma(LOOKS, 1 / LOOKS, level.shape)
    radar = level + 10 * np.log10(np.maximum(speckle, 1e-3)) + 4 * (brightness - 1)

    codes = np.array(CODES, dtype=np.uint8)[cover]
    if generator.random() < 0.2:
        unlabelled = _smooth_noise(size, size / 12, generator)
        codes[unlabelled > 2.0] = 0
    return Scene(
        sentinel1=radar.astype(np.float32), sentinel2=np.clip(np.rint(optical), 1, 20000).astype(np.uint16), codes=codes
    )


def _smooth_noise(size: int, scale: float, generator: np.random.Generator) -> NDArray[np.float32]:
    """Return noise `h w` of zero mean and unit deviation, smooth over `scale` pixels."""
    from scipy.ndimage import gaussian_filter

    noise = gaussian_filter(generator.standard_normal((size, size)), scale, mode="reflect")
    scaled: NDArray[np.float32] = ((noise - noise.mean()) / noise.std()).astype(np.float32)
    return scaled
