"""The `data.scenes` part of a recipe: which files make a scene."""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from wsss_adapters.class_options import Part


class SceneSensor(Part):
    """The files of one sensor in a scene."""

    path: str
    """Path below each folder that is given to `--tiles`, with `{scene}` for the scene's name, e.g. `{scene}_S2.tif`.

    `{band}` stands for a band's name where each band has a file of its own; `*` stands for any characters but `/`.
    """
    bands: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Band names in the order of the file; null takes the file's band descriptions, or the recipe's order."""
    add: Annotated[float, Field(ge=-1e12, le=1e12, allow_inf_nan=False)] = 0.0
    """Added to every value: -1000 for Sentinel-2 products since baseline 04.00 (January 2022) whose files hold
    digital numbers with the offset; `.SAFE` products say their offset themselves."""
    nodata: float | None = None
    """The value that means "no data", where the file does not say it."""
    resampling: Literal["nearest", "bilinear", "cubic"] = "bilinear"
    """How pixels are brought to the reference grid where the file lies on another."""

    @field_validator("path")
    @classmethod
    def _stays_inside(cls, pattern: str) -> str:
        parts = pattern.replace("\\", "/").split("/")
        if not pattern or pattern.startswith(("/", "~")) or ".." in parts or "\\" in pattern:
            raise ValueError(f"{pattern!r} must be relative, with `/` and without `..`")
        if pattern.count("{scene}") != 1 or pattern.count("{band}") > 1:
            raise ValueError(f"{pattern!r} must hold {{scene}} once, and {{band}} once or not at all")
        rest = pattern.replace("{scene}", "").replace("{band}", "")
        if "**" in rest or any(character in rest for character in "[]?{}"):
            raise ValueError(f"{pattern!r} may hold {{scene}}, {{band}} and * only; no other placeholder or wildcard")
        return pattern

    @model_validator(mode="after")
    def _bands_fit_files(self) -> "SceneSensor":
        if self.bands and len(set(self.bands)) != len(self.bands):
            raise ValueError(f"bands repeat: {', '.join(self.bands)}")
        if self.bands and "{band}" in self.path:
            raise ValueError("`bands` is for files of several bands; with {band} each file's name tells its band")
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
        return self
