"""Finds the scenes among files, folders, globs and remote paths."""

import glob
import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
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
from wsss_adapters.geo_scenes.source import GeoSource, SceneFile, gdal_path
from wsss_adapters.geotiff.band_names import POLARISATIONS, SENTINEL2_BANDS, read_name
from wsss_adapters.geotiff.opening import REMOTE
from wsss_toolkit.domain import ChannelTable
from wsss_toolkit.errors import DataError, UsageError, blamed_on, public_name
from wsss_toolkit.files import safe_key

RASTERS = (".tif", ".tiff", ".vrt", ".jp2")
"""Files that are taken for a scene of their own."""


def find_scenes(
    inputs: Sequence[str], channels: ChannelTable, rules: SceneRules | None, training_rules: SceneRules | None
) -> tuple[GeoSource, ...]:
    """Find the scenes that the user named.

    Where the recipe has rules (`data.scenes`), nothing else counts; the patterns of the training data are tried before
    anything is guessed. What looks like a scene and is none is a notice of the first scene.

    Raises:
        UsageError: If an input does not exist or nothing in it is a scene.
    """
    search = _Search(channels, rules, training_rules)
    found: list[GeoSource] = []
    for text in inputs:
        scenes = list(search.find(text))
        if not scenes:
            left = "".join(f"; {said}" for said in search.left_out())
            fix = "see `data.scenes` in a recipe"
            raise UsageError(f"no scene in {text!r}; looked for {_looked_for(rules)}{left}", fix=fix)
        found += scenes
    named = list(_distinct(found))
    first = next((index for index, scene in enumerate(named) if scene.files), 0)
    named[first] = replace(named[first], notices=search.left_out())
    return tuple(named)


def _looked_for(rules: SceneRules | None) -> str:
    if rules is not None:
        return ", ".join(sensor.path for sensor in rules.sensors.values())
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
        path = Path(text)
        if not path.exists():
            matches = sorted(glob.glob(text, recursive=True))  # noqa: PTH207  # absolute globs, which Path.glob refuses
            if not matches:
                raise UsageError(f"no such file or folder: {text!r}", fix="correct --tiles; quote globs")
            for match in matches:
                yield from self._one(Path(match))
            return
        yield from self._one(path, required=True)

    def _one(self, path: Path, *, required: bool = False) -> Iterator[GeoSource]:
        """Find the scenes of one file or folder; a file that is asked for by name counts whatever its suffix."""
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
        everything = list(folder.rglob("*"))
        products = products_among(everything)
        inside = set(products)
        rasters = self._rasters((path for path in everything if inside.isdisjoint(path.parents)), required=False)
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

    def _rasters(self, paths: Iterable[Path], *, required: bool) -> list[Path]:
        """Return the rasters among files, without masks of ours; those that only sound like ours count if required."""
        found = []
        for path in sorted(paths):
            if not required and (path.suffix.lower() not in RASTERS or path.name.startswith(".")):
                continue
            if not _may_be_a_file(path) or is_ours(path):
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
                safe_key(granule.name), str(product), (*granule.files, *files), optical[0], granule.acquired, hint
            )


def _may_be_a_file(path: Path) -> bool:
    """Tell whether a path is a file; one that may not be looked at fails by name when it is opened."""
    try:
        return path.is_file()
    except OSError:
        return True


def _single(path: Path) -> GeoSource:
    return GeoSource(_stem(path.name), str(path), (SceneFile(str(path)),))


def _stem(name: str) -> str:
    return safe_key(re.sub(r"\.(tiff?|vrt|jp2|zip|safe)$", "", name, flags=re.IGNORECASE)) or "scene"


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
