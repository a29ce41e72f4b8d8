"""The `data` section of a recipe for a folder of co-registered GeoTIFF stacks."""

from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict, Field, field_validator, model_validator

from wsss_adapters.class_options import ClassEntry, Part, class_table
from wsss_adapters.geo_scenes.options import FileValues, SceneClouds, SceneRules, SceneSensor
from wsss_adapters.geotiff.clouds import SCL_MISSING, CloudCode
from wsss_adapters.splits.rule import FolderSplitRule, Name
from wsss_toolkit.domain import AdapterOptions, Changes, ClassTable


def check_pattern(pattern: str) -> str:
    """Accept a file pattern that stays inside the root; raise ValueError otherwise."""
    parts = pattern.replace("\\", "/").split("/")
    if not pattern or pattern.startswith(("/", "~")) or ".." in parts or ":" in pattern or "\\" in pattern:
        raise ValueError(f"{pattern!r} must be relative to root, with `/` and without `..`")
    if pattern.count("{site}") != 1:
        raise ValueError(f"{pattern!r} must hold {{site}} once, e.g. S2/{{site}}.tif")
    if pattern.count("{split}") > 1:
        raise ValueError(f"{pattern!r} holds {{split}} more than once")
    rest = pattern.replace("{site}", "").replace("{split}", "")
    if "**" in rest or any(character in rest for character in "[]?{}"):
        raise ValueError(f"{pattern!r} may hold {{site}}, {{split}} and * only; no other placeholder or wildcard")
    return pattern


class SiteClouds(Part):
    """A layer of codes that says where there are clouds: these pixels are missing."""

    path: str
    """Path of a site's layer below `root`, with `{site}`, e.g. `SCL/{site}.tif`; each site that is used has one."""
    classes: Annotated[tuple[CloudCode, ...], Field(min_length=1, max_length=256)] = SCL_MISSING
    """The codes that make a pixel missing; the default is for `SCL`: no data, defective, cloud shadow, clouds and
    cirrus."""

    _path = field_validator("path")(check_pattern)


class SensorFiles(FileValues):
    """The files of one sensor."""

    path: str
    """Path of a site's file below `root`, with `{site}` for the site's name, e.g. `S2L1C/{site}.tif`.

    `*` stands for any characters but `/`.
    """
    bands: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Band names in the order of the file; null takes the files' band descriptions."""
    rgb: tuple[str, str, str] | None = None
    """The three bands that make a natural-looking picture."""
    clouds: SiteClouds | None = None
    """A layer that says where clouds hide the ground from this sensor; null leaves them in."""

    _path = field_validator("path")(check_pattern)


Code = Annotated[int, Field(ge=-(2**31) + 1, lt=2**31)]
"""What a label raster may hold."""


class LabelFiles(Part):
    """The label files, read for label derivation and evaluation only."""

    path: str
    """Path of a site's label file below `root`, with `{site}`; a site may have none.

    Rasters may lie on another grid than the images; outlines are read from .gpkg, .geojson, .fgb and .shp.
    """
    codes: Annotated[dict[Code, str], Field(min_length=1)]
    """Class name of each code of the files; several codes may share a class. Outlines may hold the names themselves."""
    ignore: tuple[Code, ...] = ()
    """Codes that become 255, such as clouds; the files' own nodata always does."""
    band: Annotated[int, Field(ge=1, le=2**12)] | None = None
    """The band that holds the codes, from 1, where a raster has several; null wants one band."""
    column: str | None = None
    """The column of outlines that holds the codes or the classes' names; null wants one column."""

    _path = field_validator("path")(check_pattern)

    @model_validator(mode="after")
    def _codes_and_ignore_are_disjoint(self) -> "LabelFiles":
        both = sorted(set(self.codes) & set(self.ignore))
        if both:
            raise ValueError(f"codes {both} are both mapped and ignored")
        return self


class SentinelOptions(AdapterOptions):
    """The `data` section of a recipe for a folder of co-registered GeoTIFF stacks."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    root: Annotated[Path, Changes.NOTHING]
    """The folder that all paths are relative to."""
    sensors: Annotated[dict[Name, SensorFiles], Field(min_length=1)]
    """The files of each sensor, by the name that `channels` uses (`sentinel1`, `sentinel2`, ...)."""
    classes: Annotated[tuple[ClassEntry, ...], Field(min_length=1)]
    """The classes in the order of mask values."""
    background: str | None = None
    """The class that means "none of the others", if there is one."""
    labels: LabelFiles | None = None
    """Label rasters or outlines, where there are any."""
    table: Path | None = None
    """A table below `root` with a row per site, for `splits.group_by`."""
    splits: FolderSplitRule
    """How sites are divided; the crops of a site stay together."""
    crop: Annotated[int, Field(ge=1, le=2**16)] | None = None
    """Side in pixels of the non-overlapping square crops that sites are cut into; null takes sites whole.

    What is left over at the right and lower edge is in no crop: a shifted one would count pixels twice.
    """
    scenes: Annotated[SceneRules | None, Changes.NOTHING] = None
    """Which files make a scene for `wsss pseudolabel`; null looks for files as in training, `.SAFE` and stacks."""
    notice: str | None = None
    """A sentence that stands beside every figure of the run, such as "Five sites prove the path, not an accuracy."."""

    @model_validator(mode="after")
    def _parts_fit(self) -> "SentinelOptions":
        names = [entry.name for entry in self.classes]
        if self.splits.similarity is not None:
            raise ValueError("splits.similarity compares pictures; keep sites together by group_pattern or group_by")
        try:
            self.class_table()
        except ValueError as error:
            raise ValueError(f"classes: {error}") from error
        unknown = sorted(set((self.labels.codes if self.labels else {}).values()) - set(names))
        if unknown:
            raise ValueError(f"labels.codes name {', '.join(unknown)}, which classes lacks; it has {', '.join(names)}")
        paths = [sensor.path for sensor in self.sensors.values()] + ([self.labels.path] if self.labels else [])
        for path in paths + [sensor.clouds.path for sensor in self.sensors.values() if sensor.clouds]:
            if ("{split}" in path) != bool(self.splits.folders):
                raise ValueError(f"{path!r}: {{split}} in every path and `splits: {{folders: ...}}` belong together")
        for name, sensor in self.sensors.items():
            if sensor.bands and len(set(sensor.bands)) != len(sensor.bands):
                raise ValueError(f"sensors.{name}.bands repeat: {', '.join(sensor.bands)}")
            if sensor.rgb and sensor.bands and not set(sensor.rgb) <= set(sensor.bands):
                raise ValueError(f"sensors.{name}.rgb {sensor.rgb} are not all among its bands")
        return self

    def class_table(self) -> ClassTable:
        """Return the classes as the core wants them.

        Raises:
            ValueError: If names repeat or `background` is no class.
        """
        return class_table(self.classes, self.background)

    def training_rules(self) -> SceneRules | None:
        """Return the patterns of the training data as patterns of scenes; None where the split is part of them."""
        if self.splits.folders:
            return None
        sensors = {}
        for name, files in self.sensors.items():
            path, clouds = files.path.replace("{site}", "{scene}"), None
            if files.clouds is not None:
                layer = files.clouds.path.replace("{site}", "{scene}")
                clouds = SceneClouds(path=layer, classes=files.clouds.classes)
            values = {key: getattr(files, key) for key in FileValues.model_fields}
            sensors[name] = SceneSensor(path=path, bands=files.bands, clouds=clouds, **values)
        return SceneRules(sensors=sensors)
