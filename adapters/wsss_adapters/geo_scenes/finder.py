"""Finds the scenes among files, folders, globs and remote paths."""

import glob
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from wsss_adapters.geo_scenes.options import SceneRules
from wsss_adapters.geo_scenes.patterns import OURS, Patterns
from wsss_adapters.geo_scenes.safe import is_safe, radar_files, read_safe
from wsss_adapters.geo_scenes.source import GeoSource, SceneFile, gdal_path
from wsss_adapters.geotiff.band_names import POLARISATIONS, SENTINEL2_BANDS, plain_band
from wsss_adapters.geotiff.opening import REMOTE
from wsss_toolkit.domain import ChannelTable
from wsss_toolkit.errors import DataError, UsageError, blamed_on, public_name
from wsss_toolkit.files import safe_key

RASTERS = (".tif", ".tiff", ".vrt", ".jp2")
"""Files that are taken for a scene of their own."""


class _Search:
    """What is looked for, and what was found in folders already."""

    def __init__(self, channels: ChannelTable, rules: SceneRules | None, training_rules: SceneRules | None) -> None:
        self.channels, self.only_rules = channels, rules is not None
        self.patterns = [Patterns(known) for known in (rules, training_rules) if known is not None]
        self._beside: dict[Path, list[Path]] = {}

    def beside(self, product: Path) -> list[Path]:
        """Return the rasters in a product's folder."""
        if product.parent not in self._beside:
            self._beside[product.parent] = _rasters(product.parent, deep=False)
        return self._beside[product.parent]


def find_scenes(
    inputs: Sequence[str], channels: ChannelTable, rules: SceneRules | None, training_rules: SceneRules | None
) -> tuple[GeoSource, ...]:
    """Find the scenes that the user named.

    Where the recipe has rules (`data.scenes`), nothing else counts; the patterns of the training data are tried before
    anything is guessed.

    Raises:
        UsageError: If an input does not exist or nothing in it is a scene.
    """
    found: list[GeoSource] = []
    search = _Search(channels, rules, training_rules)
    for text in inputs:
        scenes = list(_find(text, search))
        if not scenes:
            fix = "see `data.scenes` in a recipe"
            raise UsageError(f"no scene in {text!r}; looked for {_looked_for(rules)}", fix=fix)
        found += scenes
    return _distinct(found)


def _looked_for(rules: SceneRules | None) -> str:
    if rules is not None:
        return ", ".join(sensor.path for sensor in rules.sensors.values())
    return f".SAFE products and {', '.join(RASTERS)}"


def _find(text: str, search: _Search) -> Iterator[GeoSource]:
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
            yield from _one(Path(match), search)
        return
    yield from _one(path, search, required=True)


def _one(path: Path, search: _Search, *, required: bool = False) -> Iterator[GeoSource]:
    """Find the scenes of one file or folder; a file that is asked for by name counts whatever its suffix."""
    if path.is_dir() and not is_safe(path):
        yield from _in_folder(path, search)
        return
    for patterns in search.patterns:
        if scenes := patterns.of_file(path):
            yield from scenes
            return
    if search.only_rules:
        return
    if is_safe(path):
        yield from _safe_scenes(path, search.channels, search.beside(path))
    elif (required or path.suffix.lower() in RASTERS) and not path.name.endswith(OURS):
        yield _single(path)


def _in_folder(folder: Path, search: _Search) -> Iterator[GeoSource]:
    try:
        next(folder.iterdir(), None)
    except OSError as error:
        raise UsageError(f"cannot be read ({error.strerror})", where=str(folder), fix="check its rights") from error
    for patterns in search.patterns:
        if scenes := patterns.below(folder):
            yield from scenes
            return
    if search.only_rules:
        return
    rasters = _rasters(folder, deep=True)
    used: set[str] = set()
    for product in sorted(path for path in folder.rglob("*") if is_safe(path) and not _inside_safe(path, folder)):
        for scene in _safe_scenes(product, search.channels, search.beside(product)):
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
        and _may_be_a_file(path)
    )


def _may_be_a_file(path: Path) -> bool:
    """Tell whether a path is a file; one that may not be looked at fails by name when it is opened."""
    try:
        return path.is_file()
    except OSError:
        return True


def _inside_safe(path: Path, folder: Path) -> bool:
    return any(part.upper().endswith(".SAFE") for part in path.relative_to(folder).parts[:-1])


def _single(path: Path) -> GeoSource:
    return GeoSource(_stem(path.name), str(path), (SceneFile(str(path)),))


def _stem(name: str) -> str:
    return safe_key(re.sub(r"\.(tiff?|vrt|jp2|zip|safe)$", "", name, flags=re.IGNORECASE)) or "scene"


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
            safe_key(granule.name), str(product), (*granule.files, *files), optical[0], granule.acquired, hint
        )


def _said_of(product: Path, error: DataError) -> str:
    """Return what is wrong with a product without its own name, which stands before it in any message."""
    return str(error).removeprefix(str(product)).lstrip("/: ")


def _distinct(scenes: Sequence[GeoSource]) -> tuple[GeoSource, ...]:
    """Give every scene a name of its own; the same scene given twice counts once.

    Scenes of one name get that of their folder, too, then their file's suffix (``a.SAFE`` and ``a.zip``), and what is
    still shared a digest of the path.
    """
    unique = list({scene.files or scene.shown: scene for scene in scenes}.values())
    longer_names: tuple[Callable[[GeoSource], str], ...] = (
        lambda scene: f"{Path(scene.shown).parent.name}_{scene.name}",
        lambda scene: f"{scene.name}-{Path(scene.shown).suffix.lstrip('.')}",
        lambda scene: f"{scene.name}-{hashlib.sha256(repr((scene.shown, scene.files)).encode()).hexdigest()[:8]}",
    )
    for longer_name in longer_names:
        counts = Counter(scene.name.casefold() for scene in unique)
        if max(counts.values(), default=1) == 1:
            break
        unique = [
            scene if counts[scene.name.casefold()] == 1 else replace(scene, name=safe_key(longer_name(scene)))
            for scene in unique
        ]
    return tuple(unique)
