"""Scenes by a recipe's patterns: which files belong together, looked for once in each folder."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from wsss_adapters.geo_scenes.options import SceneRules
from wsss_adapters.geo_scenes.source import CloudLayer, GeoSource, SceneFile
from wsss_adapters.geotiff.cog import read_tags
from wsss_adapters.geotiff.sites import may_be_raster
from wsss_toolkit.errors import DataError, UsageError
from wsss_toolkit.files import safe_key

OURS = ("_mask.tif", "_confidence.tif", "_scores.tif")
"""How files end that `wsss pseudolabel` writes, which are no input; tags tell whether they are its own."""


def is_ours(path: Path) -> bool:
    """Return whether a file is one that `wsss pseudolabel` wrote, by its name and its tags."""
    if not path.name.endswith(OURS):
        return False
    try:
        return "wsss_version" in read_tags(path)
    except DataError:
        return False


class _Match(NamedTuple):
    scene: str
    band: str | None
    path: Path


class Patterns:
    """The scenes that follow rules; each folder is looked through once, however many of its files are asked for."""

    def __init__(self, rules: SceneRules) -> None:
        self._rules = rules
        self._depth = max(len(Path(pattern).parts) for pattern in rules.patterns.values())
        self._found: dict[Path, Sequence[GeoSource]] = {}
        self._by_file: dict[Path, Mapping[Path, Sequence[GeoSource]]] = {}

    def below(self, root: Path) -> Sequence[GeoSource]:
        """Return the scenes whose files match the patterns below a folder, complete or not.

        Raises:
            UsageError: If two files of a scene match one pattern.
        """
        if root not in self._found:
            self._found[root] = tuple(_by_rules(root, self._rules))
        return self._found[root]

    def of_file(self, path: Path) -> Sequence[GeoSource]:
        """Return the scenes that a file is part of."""
        parents = path.absolute().parents
        root = parents[self._depth - 1] if len(parents) >= self._depth else path.parent
        if root not in self._by_file:
            owners: dict[Path, list[GeoSource]] = defaultdict(list)
            for scene in self.below(root):
                for file in dict.fromkeys(Path(file.path).absolute() for file in scene.files):
                    owners[file].append(scene)
            self._by_file[root] = owners
        return self._by_file[root].get(path.absolute(), ())


def _by_rules(root: Path, rules: SceneRules) -> Iterator[GeoSource]:
    matches = {name: _by_scene(root, pattern) for name, pattern in rules.patterns.items()}
    layers = {
        name: (sensor.clouds, _by_scene(root, sensor.clouds.path))
        for name, sensor in rules.sensors.items()
        if sensor.clouds is not None and sensor.clouds.path is not None
    }
    for scene in sorted({scene for found in matches.values() for scene in found}):
        files = []
        for name, sensor in rules.sensors.items():
            for match in _matches_of(scene, matches[name], rules.patterns[name], root):
                bands = sensor.bands if match.band is None else (match.band,)
                files.append(SceneFile(str(match.path), name, bands, sensor.band_values(), sensor.resampling))
        hint, clouds = None, []
        for name, (section, found) in layers.items():
            layer = _matches_of(scene, found, str(section.path), root)
            clouds += [CloudLayer(str(match.path), name, section.classes) for match in layer]
            if not layer:
                hint = f"has no cloud layer {str(section.path).replace('{scene}', scene)} for {name}"
        read = () if hint else tuple(files)
        shown = str(Path(files[0].path))
        yield GeoSource(safe_key(scene), shown, read, rules.reference, hint=hint, clouds=tuple(clouds))


def _matches_of(scene: str, found: Mapping[str, list[_Match]], pattern: str, root: Path) -> list[_Match]:
    """Return the files of a scene; UsageError if there are several where the pattern means one."""
    own = found.get(scene, [])
    if "{band}" not in pattern and len(own) > 1:
        what = f"two files of scene {scene!r} match {pattern!r}: {own[0].path.name} and {own[1].path.name}"
        raise UsageError(what, where=str(root), fix="make the pattern narrower")
    return own


def _by_scene(root: Path, pattern: str) -> dict[str, list[_Match]]:
    """Return the files that match a pattern below a folder, by the name of their scene."""
    found: dict[str, list[_Match]] = defaultdict(list)
    for match in _match(root, pattern):
        found[match.scene].append(match)
    return found


def _match(root: Path, pattern: str) -> Iterator[_Match]:
    pieces = re.split(r"(\{scene\}|\{band\}|\*)", pattern)
    groups = {"{scene}": "(?P<scene>[^/]+?)", "{band}": "(?P<band>[^/]+?)", "*": "[^/]*"}
    whole = re.compile("".join(groups.get(piece, re.escape(piece)) for piece in pieces))
    for path in sorted(root.glob(pattern.replace("{scene}", "*").replace("{band}", "*"))):
        match = whole.fullmatch(path.relative_to(root).as_posix())
        if match is not None and may_be_raster(path) and not is_ours(path):
            yield _Match(match["scene"], match["band"] if "{band}" in pattern else None, path)
