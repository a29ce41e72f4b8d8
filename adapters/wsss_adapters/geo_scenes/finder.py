"""Finds the scenes among files, folders, globs and remote paths."""

import glob
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from wsss_adapters.geo_scenes.options import SceneRules
from wsss_adapters.geo_scenes.safe import is_safe, radar_files, read_safe
from wsss_adapters.geo_scenes.source import CloudLayer, GeoSource, SceneFile, gdal_path
from wsss_adapters.geotiff.band_names import POLARISATIONS, SENTINEL2_BANDS, plain_band
from wsss_adapters.geotiff.opening import REMOTE
from wsss_adapters.geotiff.values import BandValues
from wsss_toolkit.domain import ChannelTable
from wsss_toolkit.errors import DataError, UsageError, blamed_on, public_name
from wsss_toolkit.files import safe_key

RASTERS = (".tif", ".tiff", ".vrt", ".jp2")
"""Files that are taken for a scene of their own."""

OURS = ("_mask.tif", "_confidence.tif", "_scores.tif")
"""What `wsss pseudolabel` writes, which is no input."""


def find_scenes(
    inputs: Sequence[str],
    channels: ChannelTable,
    rules: SceneRules | None,
    training_rules: SceneRules | None,
    values: Mapping[str, BandValues] | None = None,
) -> tuple[GeoSource, ...]:
    """Find the scenes that the user named.

    Where the recipe has patterns (`data.scenes`), nothing else counts; those of the training data are tried before
    anything is guessed. `values` says by sensor how numbers become values in files that no pattern or product tells of.

    Raises:
        UsageError: If an input does not exist or nothing in it is a scene.
    """
    found: list[GeoSource] = []
    patterns = rules if rules is not None and rules.patterns else None
    wanted = rules.sensors if rules is not None and patterns is None else {}
    clouds = {name: sensor.clouds.classes for name, sensor in wanted.items() if sensor.clouds is not None}
    for text in inputs:
        scenes = list(_find(text, channels, patterns, training_rules))
        if not scenes:
            fix = "see `data.scenes` in a recipe"
            raise UsageError(f"no scene in {text!r}; looked for {_looked_for(patterns)}", fix=fix)
        found += [scene if patterns is not None else _clouded(scene, clouds) for scene in scenes]
    return _distinct([replace(scene, values=tuple((values or {}).items())) for scene in found])


def _clouded(scene: GeoSource, wanted: Mapping[str, tuple[int, ...]]) -> GeoSource:
    """Return a scene with the cloud layers that are wanted by sensor; it fails when opened if it lacks one."""
    there = {layer.sensor: layer.path for layer in scene.clouds}
    for sensor in wanted:
        if scene.files and not there.get(sensor):
            hint = f"has no cloud layer (SCL) for {sensor}, as .SAFE products of level 2A have; those of other files "
            hint += f"are named by data.scenes.sensors.{sensor}.clouds.path, with `path` beside it"
            return replace(scene, files=(), clouds=(), hint=hint)
    return replace(scene, clouds=tuple(CloudLayer(there[name], name, wanted[name]) for name in wanted if name in there))


def _looked_for(rules: SceneRules | None) -> str:
    if rules is not None:
        return ", ".join(rules.patterns.values())
    return f".SAFE products and {', '.join(RASTERS)}"


def _find(
    text: str, channels: ChannelTable, rules: SceneRules | None, training_rules: SceneRules | None
) -> Iterator[GeoSource]:
    if REMOTE.match(text):
        name = public_name(text)  # what the user gave may hold secrets, and is said and written in many places
        yield GeoSource(_stem(name.rpartition("/")[2]), name, (SceneFile(gdal_path(text)),))
        return
    path = Path(text)
    if not path.exists():
        matches = sorted(glob.glob(text, recursive=True))  # noqa: PTH207  # absolute globs, which Path.glob refuses
        if not matches:
            raise UsageError(f"no such file or folder: {text!r}", fix="correct --tiles; quote globs")
        for match in matches:
            yield from _one(Path(match), channels, rules, training_rules)
        return
    yield from _one(path, channels, rules, training_rules, required=True)


def _one(
    path: Path,
    channels: ChannelTable,
    rules: SceneRules | None,
    training_rules: SceneRules | None,
    *,
    required: bool = False,
) -> Iterator[GeoSource]:
    """Find the scenes of one file or folder; a file that is asked for by name counts whatever its suffix."""
    if path.is_dir() and not is_safe(path):
        yield from _in_folder(path, channels, rules, training_rules)
        return
    for known in filter(None, (rules, training_rules)):
        depth = max(len(Path(pattern).parts) for pattern in known.patterns.values())
        root = path.absolute().parents[depth - 1] if len(path.absolute().parents) >= depth else path.parent
        scenes = [
            scene
            for scene in _by_rules(root, known)
            if any(Path(file.path).absolute() == path.absolute() for file in scene.files)
        ]
        if scenes:
            yield from scenes
            return
    if rules is not None:
        return
    if is_safe(path):
        yield from _safe_scenes(path, channels, _rasters(path.parent, deep=False))
    elif (required or path.suffix.lower() in RASTERS) and not path.name.endswith(OURS):
        yield _single(path)


def _in_folder(
    folder: Path, channels: ChannelTable, rules: SceneRules | None, training_rules: SceneRules | None
) -> Iterator[GeoSource]:
    try:
        next(folder.iterdir(), None)
    except OSError as error:
        raise UsageError(f"cannot be read ({error.strerror})", where=str(folder), fix="check its rights") from error
    for known in filter(None, (rules, training_rules)):
        scenes = list(_by_rules(folder, known))
        if scenes:
            yield from scenes
            return
    if rules is not None:
        return
    rasters = _rasters(folder, deep=True)
    used: set[str] = set()
    for product in sorted(path for path in folder.rglob("*") if is_safe(path) and not _inside_safe(path, folder)):
        beside = [raster for raster in rasters if raster.parent == product.parent]
        for scene in _safe_scenes(product, channels, beside):
            used |= {file.path for file in scene.files}
            yield scene
    yield from (_single(raster) for raster in rasters if str(raster) not in used)


def _rasters(folder: Path, *, deep: bool) -> list[Path]:
    """Return the rasters in a folder that are not part of a product and not our own masks."""
    paths = folder.rglob("*") if deep else folder.iterdir()
    return sorted(
        path
        for path in paths
        if path.suffix.lower() in RASTERS
        and not path.name.startswith(".")
        and not path.name.endswith(OURS)
        and not _inside_safe(path, folder)
        and path.is_file()
    )


def _inside_safe(path: Path, folder: Path) -> bool:
    return any(part.upper().endswith(".SAFE") for part in path.relative_to(folder).parts[:-1])


def _single(path: Path) -> GeoSource:
    return GeoSource(_stem(path.name), str(path), (SceneFile(str(path)),))


def _stem(name: str) -> str:
    return safe_key(re.sub(r"\.(tiff?|vrt|jp2|zip|safe)$", "", name, flags=re.IGNORECASE)) or "scene"


class _Match(NamedTuple):
    scene: str
    band: str | None
    path: Path


def _by_rules(root: Path, rules: SceneRules) -> Iterator[GeoSource]:
    """Yield the scenes whose files match the patterns below a folder, complete or not."""
    matches = {name: list(_match(root, pattern)) for name, pattern in rules.patterns.items()}
    layers = {
        name: (sensor.clouds, list(_match(root, sensor.clouds.path)))
        for name, sensor in rules.sensors.items()
        if sensor.clouds is not None and sensor.clouds.path is not None
    }
    for scene in sorted({match.scene for found in matches.values() for match in found}):
        files = []
        for name, sensor in rules.sensors.items():
            own = _matches_of(scene, matches[name], rules.patterns[name], root)
            for match in own:
                bands = sensor.bands if match.band is None else (match.band,)
                files.append(SceneFile(str(match.path), name, bands, sensor.band_values(), sensor.resampling))
        shown, hint, clouds = str(Path(files[0].path)), None, []
        for name, (section, found) in layers.items():
            layer = _matches_of(scene, found, str(section.path), root)
            clouds += [CloudLayer(str(match.path), name, section.classes) for match in layer]
            if not layer:
                hint = f"has no cloud layer {str(section.path).replace('{scene}', scene)} for {name}"
        yield GeoSource(
            safe_key(scene), shown, () if hint else tuple(files), rules.reference, hint=hint, clouds=tuple(clouds)
        )


def _matches_of(scene: str, matches: Sequence[_Match], pattern: str, root: Path) -> list[_Match]:
    """Return the files of a scene; UsageError if there are several where the pattern means one."""
    own = [match for match in matches if match.scene == scene]
    if "{band}" not in pattern and len(own) > 1:
        what = f"two files of scene {scene!r} match {pattern!r}: {own[0].path.name} and {own[1].path.name}"
        raise UsageError(what, where=str(root), fix="make the pattern narrower")
    return own


def _match(root: Path, pattern: str) -> Iterator[_Match]:
    pieces = re.split(r"(\{scene\}|\{band\}|\*)", pattern)
    groups = {"{scene}": "(?P<scene>[^/]+?)", "{band}": "(?P<band>[^/]+?)", "*": "[^/]*"}
    whole = re.compile("".join(groups.get(piece, re.escape(piece)) for piece in pieces))
    for path in sorted(root.glob(pattern.replace("{scene}", "*").replace("{band}", "*"))):
        match = whole.fullmatch(path.relative_to(root).as_posix())
        if match is not None and path.is_file() and not path.name.endswith(OURS):
            yield _Match(match["scene"], match["band"] if "{band}" in pattern else None, path)


def _safe_scenes(product: Path, channels: ChannelTable, beside: Sequence[Path]) -> Iterator[GeoSource]:
    """Yield one scene per granule of a Sentinel-2 product, with the radar files that lie beside it."""
    optical = [s.name for s in channels.sensors if {plain_band(band) for band in s.bands} <= set(SENTINEL2_BANDS)]
    if not optical:
        raise UsageError(f"is a Sentinel-2 product, but the model sees {', '.join(channels.names)}", where=str(product))
    try:
        with blamed_on(str(product), "download it again"):
            granules = list(read_safe(product, optical[0]))
    except DataError as error:
        # A damaged product fails alone, when it is opened.
        yield GeoSource(safe_key(_stem(product.name)), str(product), (), hint=_said_of(product, error))
        return
    radar = [s for s in channels.sensors if {plain_band(band) for band in s.bands} <= set(POLARISATIONS)]
    for granule in granules:
        try:
            with blamed_on(str(product)):
                files = radar_files(radar, beside, granule.files)
        except DataError as error:
            yield GeoSource(safe_key(granule.name), str(product), (), hint=_said_of(product, error))
            continue
        hint = None
        if granule.level == "2A":
            hint = "level 2A (surface reflectance) has no B10; a model trained on level 1C wants level 1C products"
        yield GeoSource(
            safe_key(granule.name),
            str(product),
            (*granule.files, *files),
            optical[0],
            granule.acquired,
            hint,
            clouds=(CloudLayer(granule.clouds or "", optical[0], ()),),
        )


def _said_of(product: Path, error: DataError) -> str:
    """Return what is wrong with a product without its own name, which stands before it in any message."""
    return str(error).removeprefix(str(product)).lstrip("/: ")


def _distinct(scenes: Sequence[GeoSource]) -> tuple[GeoSource, ...]:
    """Give scenes of one name the name of their folder too; the same scene given twice counts once."""
    unique = list({scene.files or scene.shown: scene for scene in scenes}.values())
    counts = Counter(scene.name.casefold() for scene in unique)
    named = [
        scene
        if counts[scene.name.casefold()] == 1
        else replace(scene, name=safe_key(f"{Path(scene.shown).parent.name}_{scene.name}"))
        for scene in unique
    ]
    seen: dict[str, GeoSource] = {}
    for scene in named:
        other = seen.setdefault(scene.name.casefold(), scene)
        if other is not scene:
            what = f"{other.shown} and {scene.shown} would both be called {scene.name!r}"
            raise UsageError(what, fix="label them in two calls")
    return tuple(named)
