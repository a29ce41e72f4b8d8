"""The `data.scenes` part of a recipe: which files make a scene."""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from wsss_adapters.class_options import Part
from wsss_adapters.geotiff.clouds import SCL_MISSING, CloudCode
from wsss_adapters.geotiff.values import BandValues, ScaleTags


def check_scene_pattern(pattern: str) -> str:
    """Accept a file pattern that stays inside its folder; raise ValueError otherwise."""
    parts = pattern.replace("\\", "/").split("/")
    if not pattern or pattern.startswith(("/", "~")) or ".." in parts or "\\" in pattern:
        raise ValueError(f"{pattern!r} must be relative, with `/` and without `..`")
    if pattern.count("{scene}") != 1 or pattern.count("{band}") > 1:
        raise ValueError(f"{pattern!r} must hold {{scene}} once, and {{band}} once or not at all")
    rest = pattern.replace("{scene}", "").replace("{band}", "")
    if "**" in rest or any(character in rest for character in "[]?{}"):
        raise ValueError(f"{pattern!r} may hold {{scene}}, {{band}} and * only; no other placeholder or wildcard")
    return pattern


Finite = Annotated[float, Field(ge=-1e12, le=1e12, allow_inf_nan=False)]


class FileValues(Part):
    """How the numbers in a sensor's files become values; training images and scenes are treated alike."""

    multiply: Annotated[float, Field(gt=0, le=1e12, allow_inf_nan=False)] = 1.0
    """Multiplies every value, such as 10000 for reflectance of 0..1 where digital numbers are wanted."""
    add: Finite = 0.0
    """Added to every value after that: -1000 for Sentinel-2 products since baseline 04.00 (January 2022) whose files
    hold digital numbers with the offset; `.SAFE` products say their offset themselves."""
    nodata: Annotated[float, Field(allow_inf_nan=False)] | None = None
    """The number that means "no data", where the file does not say it."""
    scale_tags: ScaleTags = "refuse"
    """What becomes of SCALE and OFFSET tags of GDAL that change a band's values: `apply` them before `multiply` and
    `add`, `ignore` them, or `refuse` such files."""

    def band_values(self) -> BandValues:
        """Return them as the reader wants them."""
        return BandValues(self.nodata, self.multiply, self.add, self.scale_tags)


class SceneClouds(Part):
    """A layer of codes that says where there are clouds: these pixels are missing."""

    path: str | None = None
    """Path of the layer, with `{scene}`, e.g. `{scene}_SCL.tif`; null takes the `SCL` of a `.SAFE` product."""
    classes: Annotated[tuple[CloudCode, ...], Field(min_length=1, max_length=256)] = SCL_MISSING
    """The codes that make a pixel missing; the default is for `SCL`: no data, defective, cloud shadow, clouds and
    cirrus."""

    @field_validator("path")
    @classmethod
    def _stays_inside(cls, pattern: str | None) -> str | None:
        if pattern is not None and "{band}" in pattern:
            raise ValueError(f"{pattern!r}: a cloud layer has no {{band}}")
        return pattern if pattern is None else check_scene_pattern(pattern)


class SceneSensor(FileValues):
    """The files of one sensor in a scene."""

    path: str | None = None
    """Path below each folder that is given to `--tiles`, with `{scene}` for the scene's name, e.g. `{scene}_S2.tif`.

    `{band}` stands for a band's name where each band has a file of its own; `*` stands for any characters but `/`.
    Without a path, scenes are found as without `data.scenes`, and the other keys say how they are read.
    """
    bands: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Band names in the order of the file; null takes the file's band descriptions, or the recipe's order."""
    resampling: Literal["nearest", "bilinear", "cubic"] = "bilinear"
    """How pixels are brought to the reference grid where the file lies on another."""
    clouds: SceneClouds | None = None
    """A layer that says where clouds hide the ground from this sensor; null leaves them in."""

    @field_validator("path")
    @classmethod
    def _stays_inside(cls, pattern: str | None) -> str | None:
        return pattern if pattern is None else check_scene_pattern(pattern)

    @model_validator(mode="after")
    def _bands_fit_files(self) -> "SceneSensor":
        if self.bands and len(set(self.bands)) != len(self.bands):
            raise ValueError(f"bands repeat: {', '.join(self.bands)}")
        if self.bands and "{band}" in (self.path or ""):
            raise ValueError("`bands` is for files of several bands; with {band} each file's name tells its band")
        if self.path is None and self.bands:
            raise ValueError("`bands` needs `path`, the files that have them")
        if self.clouds is not None and (self.path is None) != (self.clouds.path is None):
            raise ValueError("`clouds.path` goes with `path`; `.SAFE` products need neither")
        return self


class SceneRules(Part):
    """Which files make a scene."""

    sensors: Annotated[dict[str, SceneSensor], Field(min_length=1)]
    """The files of each sensor, by the name that `channels` uses."""
    reference: str | None = None
    """The sensor whose grid the masks lie on; null takes the one with the smallest pixels."""

    @model_validator(mode="after")
    def _reference_is_a_sensor(self) -> "SceneRules":
        if self.reference is not None and self.reference not in self.sensors:
            raise ValueError(f"reference {self.reference!r} is not one of {', '.join(self.sensors)}")
        if len({sensor.path is None for sensor in self.sensors.values()}) > 1 or (self.reference and not self.patterns):
            raise ValueError("give the `path` of every sensor, or of none to have scenes found without patterns")
        return self

    @property
    def patterns(self) -> dict[str, str]:
        """The path of each sensor; none where scenes are found without."""
        return {name: sensor.path for name, sensor in self.sensors.items() if sensor.path is not None}
