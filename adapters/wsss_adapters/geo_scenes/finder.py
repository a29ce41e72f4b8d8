"""Finds the scenes among files, folders, globs and remote paths."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from wsss_adapters.geo_scenes.options import SceneRules
from wsss_adapters.geo_scenes.patterns import OURS, Patterns, is_ours
from wsss_adapters.geo_scenes.products import (
    RADAR_FIX,
    Part,
    is_radar,
    loose_bands,
    loose_bands_fix,
    part_of_product,
    products_among,
)
from wsss_adapters.geo_scenes.safe import radar_files, read_safe
from wsss_adapters.geo_scenes.source import CloudLayer, GeoSource, SceneFile, gdal_path
from wsss_adapters.geotiff.band_names import POLARISATIONS, SENTINEL2_BANDS, read_name
from wsss_adapters.geotiff.opening import REMOTE
from wsss_adapters.geotiff.values import BandValues
from wsss_toolkit.domain import ChannelTable
from wsss_toolkit.domain.unread import paths_of
from wsss_toolkit.errors import DataError, UsageError, blamed_on, public_name, quoted
from wsss_toolkit.files import no_file, safe_key

RASTERS = (".tif", ".tiff", ".vrt", ".jp2")
"""Files that are taken for a scene of their own."""

OTHERS = (".nc", ".h5", ".hdf", ".he5", ".img", ".dim", ".ecw", ".sid", ".grib", ".zip", ".tar", ".gz", ".tgz", ".7z")
"""Files that may hold scenes and are not looked into."""


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
    What looks like a scene and is none is a notice of the first scene.

    Raises:
        UsageError: If an input does not exist or nothing in it is a scene.
    """
    found: list[GeoSource] = []
    patterns = rules if rules is not None and rules.patterns else None
    wanted = rules.sensors if rules is not None and patterns is None else {}
    clouds = {name: sensor.clouds.classes for name, sensor in wanted.items() if sensor.clouds is not None}
    search = _Search(channels, patterns, training_rules)
    for text in inputs:
        scenes = list(search.find(text))
        if not scenes:
            left = "".join(f"; {said}" for said in search.left_out())
            fix = "see `data.scenes` in a recipe"
            raise UsageError(f"no scene in {quoted(text)}; looked for {_looked_for(patterns)}{left}", fix=fix)
        found += [scene if patterns is not None else _clouded(scene, clouds) for scene in scenes]
    named = list(_distinct([replace(scene, values=tuple((values or {}).items())) for scene in found]))
    named[0] = replace(named[0], notices=search.left_out())
    return tuple(named)


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


@dataclass
class _Search:
    """Goes through what the user named."""

    channels: ChannelTable
    rules: SceneRules | None
    training_rules: SceneRules | None
    left: dict[str, list[str]] = field(default_factory=dict)
    """Names of what was left out, by the reason."""
    _beside: dict[Path, list[Path]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.patterns = [Patterns(known) for known in (self.rules, self.training_rules) if known is not None]

    def left_out(self) -> tuple[str, ...]:
        """Return a sentence for each reason for which something was left out."""
        sentences = []
        for reason, names in self.left.items():
            shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
            sentences.append(f"left out: {shown}: {reason}")
        return tuple(sentences)

    def leave(self, path: Path, reason: str) -> None:
        """Note that something was left out."""
        names = self.left.setdefault(reason, [])
        if path.name not in names:
            names.append(path.name)

    def find(self, text: str) -> Iterator[GeoSource]:
        """Find the scenes of one input."""
        if REMOTE.match(text):
            name = public_name(text)  # what the user gave may hold secrets, and is said and written in many places
            yield GeoSource(_stem(name.rpartition("/")[2]), name, (SceneFile(gdal_path(text)),))
            return
        for path in paths_of(text):
            yield from self._one(path, required=path == Path(text))

    def _one(self, path: Path, *, required: bool = False) -> Iterator[GeoSource]:
        """Find the scenes of one file or folder; a file that is asked for by name counts whatever its suffix."""
        if not self._is_there(path):
            return
        part = part_of_product(path)
        if path.is_dir() and part is None and not is_radar(path):
            yield from self._in_folder(path)
            return
        for patterns in self.patterns:
            if scenes := patterns.of_file(path):
                yield from scenes
                return
        if self.rules is not None:
            return
        if is_radar(path):
            self.leave(path, RADAR_FIX)
        elif part is not None:
            folder = part.product.parent
            if folder not in self._beside:
                self._beside[folder] = self._rasters(folder.iterdir(), required=False)
            yield from self._granules(part, self._beside[folder])
        elif required or path.suffix.lower() in RASTERS:
            yield from map(_single, self._rasters([path], required=required))

    def _in_folder(self, folder: Path) -> Iterator[GeoSource]:
        try:
            next(folder.iterdir(), None)
        except OSError as error:
            raise UsageError(f"cannot be read ({error.strerror})", where=str(folder), fix="check its rights") from error
        for patterns in self.patterns:
            if scenes := patterns.below(folder):
                yield from scenes
                return
        if self.rules is not None:
            return
        everything = [path for path in folder.rglob("*") if self._is_there(path)]
        products = products_among(everything)
        inside = set(products)
        rasters = self._rasters((path for path in everything if inside.isdisjoint(path.parents)), required=False)
        for path in everything:
            if path.suffix.lower() in OTHERS and path not in inside and inside.isdisjoint(path.parents):
                self.leave(path, "not looked into: convert it to GeoTIFF with gdal_translate, or unpack it")
        used: set[str] = set()
        beside: dict[Path, list[Path]] = defaultdict(list)
        for raster in rasters:
            beside[raster.parent].append(raster)
        for product in products:
            if is_radar(product):
                self.leave(product, RADAR_FIX)
                continue
            for scene in self._granules(Part(product, None), beside[product.parent]):
                used |= {file.path for file in scene.files}
                yield scene
        for loose, files in loose_bands(rasters).items():
            used |= set(map(str, files))
            hint = loose_bands_fix(loose, files, (self._seeing(SENTINEL2_BANDS) or ["NAME"])[0])
            yield GeoSource(safe_key(loose.name), str(loose), (), hint=hint)
        yield from (_single(raster) for raster in rasters if str(raster) not in used)

    def _is_there(self, path: Path) -> bool:
        """Return whether a path is a file or a folder; what is called like a scene and is neither is left out."""
        kind = no_file(path)
        there = kind in (None, "a folder")
        named = path.suffix.lower() in (*RASTERS, ".safe", ".zip")
        if named and (not there or (kind is not None and not any(path.iterdir()))):
            self.leave(path, f"is no file, but {kind}" if not there else "is an empty folder")
        return there

    def _rasters(self, paths: Iterable[Path], *, required: bool) -> list[Path]:
        """Return the rasters among files, without masks of ours; those that only sound like ours count if required."""
        found = []
        for path in sorted(paths):
            if not required and (path.suffix.lower() not in RASTERS or path.name.startswith(".")):
                continue
            if no_file(path) is not None or is_ours(path):
                continue
            if path.name.endswith(OURS) and not required:
                self.leave(
                    path, "called like a mask that wsss writes, without being one; name a file itself to label it"
                )
                continue
            found.append(path)
        return found

    def _seeing(self, bands: Sequence[str]) -> list[str]:
        """Return the sensors all of whose bands are among these, whatever the recipe calls them."""
        wanted = set(bands)
        return [each.name for each in self.channels.sensors if {read_name(band).color for band in each.bands} <= wanted]

    def _granules(self, part: Part, beside: Sequence[Path]) -> Iterator[GeoSource]:
        """Yield one scene per granule of a Sentinel-2 product, with the radar files that lie beside it."""
        product, optical = part.product, self._seeing(SENTINEL2_BANDS)
        if not optical:
            self.leave(product, f"is a Sentinel-2 product, but the model sees {', '.join(self.channels.names)}")
            return
        try:
            with blamed_on(str(product), "download it again"):
                granules = list(read_safe(product, optical[0]))
        except DataError as error:
            # A damaged product fails alone, when it is opened.
            yield GeoSource(safe_key(_stem(product.name)), str(product), (), hint=_said_of(product, error))
            return
        radar = [known for known in self.channels.sensors if known.name in self._seeing(POLARISATIONS)]
        for granule in granules:
            if part.granule not in (None, granule.folder):
                continue
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


def _single(path: Path) -> GeoSource:
    return GeoSource(_stem(path.name), str(path), (SceneFile(str(path)),))


def _stem(name: str) -> str:
    return safe_key(re.sub(r"\.(tiff?|vrt|jp2|zip|safe)$", "", name, flags=re.IGNORECASE)) or "scene"


def _said_of(product: Path, error: DataError) -> str:
    """Return what is wrong with a product without its own name, which stands before it in any message."""
    return str(error).removeprefix(str(product)).lstrip("/: ")


def _distinct(scenes: Sequence[GeoSource]) -> tuple[GeoSource, ...]:
    """Give every scene a name of its own; the same scene given twice counts once.

    Scenes of one name get that of their folder, too, or their file's suffix (``a.SAFE`` and ``a.zip``), whatever tells
    some of them apart, and what is still shared a digest of the path.
    """
    unique = list({scene.files or scene.shown: scene for scene in scenes}.values())
    longer_names: tuple[Callable[[GeoSource], str], ...] = (
        lambda scene: f"{Path(scene.shown).parent.name}_{scene.name}",
        lambda scene: f"{scene.name}-{Path(scene.shown).suffix.lstrip('.')}",
        lambda scene: f"{scene.name}-{hashlib.sha256(repr((scene.shown, scene.files)).encode()).hexdigest()[:8]}",
    )
    for longer_name in longer_names:
        longer = [safe_key(longer_name(scene)) for scene in unique]
        told: dict[str, set[str]] = defaultdict(set)
        for scene, name in zip(unique, longer, strict=True):
            told[scene.name.casefold()].add(name.casefold())
        apart = [len(told[scene.name.casefold()]) > 1 for scene in unique]
        unique = [
            replace(scene, name=name) if parted else scene
            for scene, name, parted in zip(unique, longer, apart, strict=True)
        ]
    return tuple(unique)
