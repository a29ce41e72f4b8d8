"""Plain frozen data that flows from a domain adapter into the core."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

IGNORE_INDEX = 255
"""The value of mask pixels that are unlabelled, void or nodata; no class has this index."""


def is_one_line(text: str) -> bool:
    """Return whether a text is safe in tables and on terminals: no control character, line break or lone surrogate."""
    return all(unicodedata.category(character) not in ("Cc", "Zl", "Zp", "Cs") for character in text)


@dataclass(frozen=True, slots=True)
class Code:
    """A concept of a terminology, such as SNOMED CT's ``68496003`` "Polyp of colon"."""

    value: str
    scheme: str
    """The terminology's designator, such as ``SCT``, ``DCM`` or ``99WSSS`` (private)."""
    meaning: str


@dataclass(frozen=True, slots=True)
class ClassTable:
    """The classes of a domain, in the order of their mask values ``0 .. len(names) - 1``.

    Raises:
        ValueError: If names repeat or hold control characters, colours, codes and names differ in number, a colour is
            not 8-bit, there are more than 255 classes, or `background` is not an index.
    """

    names: tuple[str, ...]
    """One name per class, unique, without control characters."""
    colors: tuple[tuple[int, int, int], ...]
    """One 8-bit RGB triple per class."""
    background: int | None = None
    """The index of the class that means "none of the others", which has no class token and no image-level label; None
    where every pixel belongs to a real class."""
    codes: tuple[Code | None, ...] = ()
    """One `Code` or None per class; empty where no class has one."""

    def __post_init__(self) -> None:
        if len(set(self.names)) != len(self.names):
            raise ValueError(f"class names repeat: {self.names}")
        for name in self.names:
            if not is_one_line(name):
                raise ValueError(f"class {name!r} holds a control character or a line break")
        if self.codes and len(self.codes) != len(self.names):
            raise ValueError(f"{len(self.names)} class names, but {len(self.codes)} codes")
        if len(self.colors) != len(self.names):
            raise ValueError(f"{len(self.names)} class names, but {len(self.colors)} colours")
        if not 0 < len(self.names) <= IGNORE_INDEX:
            raise ValueError(f"{len(self.names)} classes; masks hold 1 to {IGNORE_INDEX}")
        if any(not 0 <= value <= 255 for color in self.colors for value in color):
            raise ValueError(f"colours are 8-bit RGB triples, got {self.colors}")
        if self.background is not None and not 0 <= self.background < len(self.names):
            raise ValueError(f"background {self.background} is not an index of {len(self.names)} classes")

    @property
    def labelled(self) -> tuple[int, ...]:
        """Mask values of the classes that have an image-level label and a class token, ascending.

        Class token ``t`` stands for mask value ``labelled[t]``.
        """
        return tuple(i for i in range(len(self.names)) if i != self.background)

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the `labelled` classes: the order of class tokens, logits and class maps."""
        return tuple(self.names[i] for i in self.labelled)


@dataclass(frozen=True, slots=True)
class Sensor:
    """An instrument and the bands it delivers, in the order of the arrays it fills."""

    name: str
    """The key of the sensor in a recipe's `channels`, such as ``sentinel2``."""
    bands: tuple[str, ...]
    """Band names, such as ``("B02", "B03", "B04")``."""
    rgb: tuple[str, str, str] | None = None
    """The three bands that make a natural-looking picture, or None."""

    def __post_init__(self) -> None:
        if not self.bands or len(set(self.bands)) != len(self.bands):
            raise ValueError(f"bands of sensor {self.name!r} must be unique and at least one: {self.bands}")


@dataclass(frozen=True, slots=True)
class ChannelTable:
    """The bands that a recipe selects, by sensor, in the order of the model's input channels."""

    sensors: tuple[Sensor, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Channel names such as ``sentinel1.VV``, in input order."""
        return tuple(f"{sensor.name}.{band}" for sensor in self.sensors for band in sensor.bands)

    @property
    def bands(self) -> tuple[str, ...]:
        """Band names without their sensor, in input order."""
        return tuple(band for sensor in self.sensors for band in sensor.bands)

    def __len__(self) -> int:
        """Return the number of input channels."""
        return sum(len(sensor.bands) for sensor in self.sensors)


@dataclass(frozen=True, slots=True)
class Sample:
    """One image. It carries no mask: the core reads masks for label derivation and evaluation only."""

    key: str
    """The image's name in its adapter; safe as a file name."""
    bands: Mapping[str, NDArray[np.float32]]
    """Per sensor, a float32 array `c h w` in the sensor's own units (digital numbers, decibels), NaN where a pixel is
    missing (nodata or not finite in the source). A sensor that has no file for this image is absent."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        height, width = next(iter(self.bands.values())).shape[1:]
        return int(height), int(width)
