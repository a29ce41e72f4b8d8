"""The 2020 IEEE GRSS Data Fusion Contest: Sentinel-1 and Sentinel-2 tiles with eight land-cover classes.

Data card: 6,114 tiles of 256 x 256 pixels at 10 m, all over the world; per tile VV and VH back-scatter in dB,
13 top-of-atmosphere Sentinel-2 bands as digital numbers (reflectance x 10000), and a land-cover mask.
Layout `contest`: https://ieee-dataport.org/competitions/2020-ieee-grss-data-fusion-contest, or the copy in
Copernicus-Bench that TorchGeo downloads (layout `torchgeo`, 5,128 tiles).
"""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field

from wsss_adapters.class_options import parse_color
from wsss_adapters.geo_scenes.adapter import GeoAdapter
from wsss_adapters.geo_scenes.options import SceneRules
from wsss_adapters.geotiff.band_names import SENTINEL2_BANDS
from wsss_adapters.geotiff.reading import encode_labels, read_bands, read_label
from wsss_adapters.remote_sensing.dfc2020_files import (
    CONTEST_FOLDERS,
    LISTS,
    TORCHGEO_FOLDER,
    Tile,
    contest_tiles,
    fetch,
    not_found,
    read_lists,
    tile_key,
    torchgeo_tiles,
)
from wsss_toolkit.domain import (
    AdapterOptions,
    Changes,
    ChannelTable,
    ClassTable,
    Fingerprint,
    Sample,
    Sensor,
    Window,
    fingerprint_of,
)
from wsss_toolkit.errors import DataError

CLASSES = ClassTable(
    names=("Forest", "Shrubland", "Grassland", "Wetlands", "Croplands", "Urban/Built-up", "Barren", "Water"),
    colors=tuple(map(parse_color, "#009900 #c6b044 #b6ff05 #27ff87 #c24f44 #a5a5a5 #f9ffa4 #1c0dff".split())),
)
CODES = {1: 0, 2: 1, 4: 2, 5: 3, 6: 4, 7: 5, 9: 6, 10: 7}
"""Mask value of each code of the files (simplified IGBP)."""
IGNORED_CODES = (0, 3, 8)
"""Unlabelled, Savanna and Snow/Ice: 255 in masks."""

SENTINEL1 = Sensor("sentinel1", ("VV", "VH"))
SENTINEL2 = Sensor("sentinel2", SENTINEL2_BANDS, rgb=("B04", "B03", "B02"))


class Dfc2020Options(AdapterOptions):
    """The `data` section of a recipe for DFC2020."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    root: Annotated[Path, Changes.NOTHING]
    """The folder of `ROIs0000_test` and `ROIs0000_validation`, or of `dfc2020_s1s2` (TorchGeo's copy)."""
    layout: Literal["auto", "contest", "torchgeo"] = "auto"
    """Which of the two lies there; `auto` looks."""
    split: Literal["paper", "torchgeo"] = "paper"
    """Which tiles are for what.

    `paper` trains on the contest's test tiles and tests on its validation tiles; `torchgeo` follows the three
    lists of TorchGeo's copy.
    """
    val_fraction: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1
    """Share of training tiles held out to choose the checkpoint: `split: paper` has no validation split."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Draws the tiles that `val_fraction` holds out."""
    download: Annotated[bool, Changes.NOTHING] = False
    """Let TorchGeo download its copy if it is missing."""
    scenes: Annotated[SceneRules | None, Changes.NOTHING] = None
    """Which files make a scene for `wsss pseudolabel`; null looks for `.SAFE` products and stacks."""


class Dfc2020(GeoAdapter):
    """Reads DFC2020 in either layout, Sentinel-1 and Sentinel-2 joined by tile."""

    Options: ClassVar[type[AdapterOptions]] = Dfc2020Options
    options: Dfc2020Options

    @property
    def stated_bands(self) -> Mapping[str, tuple[str, ...]]:
        """All bands of both sensors in the order of the contest's files."""
        return {sensor.name: sensor.bands for sensor in (SENTINEL1, SENTINEL2)}

    @property
    def classes(self) -> ClassTable:
        """The eight classes of the contest's masks."""
        return CLASSES

    @property
    def sensors(self) -> tuple[Sensor, ...]:
        """Sentinel-1 (VV, VH in dB) and Sentinel-2 (13 bands)."""
        return (SENTINEL1, SENTINEL2)

    @property
    def notices(self) -> tuple[str, ...]:
        """None: these are real scenes."""
        return ()

    def prepare(self) -> None:
        """Download TorchGeo's copy if allowed and missing, then check that every listed tile has its files."""
        if self._layout == "torchgeo":
            fetch(self.options.root, download=self.options.download)
            self.__dict__.pop("_tiles", None)
        for key in (key for keys in self.splits().values() for key in keys):
            tile = self._tile(key)
            for path in (tile.sentinel1, tile.sentinel2, tile.mask):
                if not path.is_file():
                    fix = "the copy is incomplete; unpack or download it again"
                    raise DataError(f"tile {key} lacks this file", where=str(path), fix=fix)

    def fingerprint(self) -> Fingerprint:
        """Return the options, the splits and the content of all tiles' files."""
        tiles = self._tiles.values()
        return fingerprint_of(
            self.options,
            {"splits": self.splits()},
            roots=[self.options.root],
            images=[path for tile in tiles for path in (tile.sentinel1, tile.sentinel2)],
            masks=[tile.mask for tile in tiles],
        )

    def splits(self) -> Mapping[str, tuple[str, ...]]:
        """Return the keys of `train`, `val` and `test`."""
        return self._torchgeo_splits() if self.options.split == "torchgeo" else self._paper_splits()

    def whole(self, split: str) -> tuple[str, ...]:
        """Return the split's own keys: tiles are whole."""
        return self.splits()[split]

    def read(self, key: str, channels: ChannelTable) -> Sample:
        """Read the selected bands of one tile."""
        tile = self._tile(key)
        files = {"sentinel1": (tile.sentinel1, SENTINEL1), "sentinel2": (tile.sentinel2, SENTINEL2)}
        bands = {}
        for sensor in channels.sensors:
            path, offered = files[sensor.name]
            bands[sensor.name] = read_bands(path, [offered.bands.index(band) + 1 for band in sensor.bands])
        return Sample(key, bands)

    def read_mask(self, key: str) -> NDArray[np.uint8] | None:
        """Read the land cover of one tile: uint8 `h w`, 0-7 and 255."""
        tile = self._tile(key)
        return encode_labels(read_label(tile.mask, band=1), CODES, IGNORED_CODES, tile.mask)

    def grid_of(self, key: str) -> tuple[Path, Window | None]:
        """Return the tile's Sentinel-2 file."""
        return self._tile(key).sentinel2, None

    def _tile(self, key: str) -> Tile:
        if key not in self._tiles:
            raise DataError(f"no tile is called {key!r}", where=str(self.options.root))
        return self._tiles[key]

    @property
    def _layout(self) -> Literal["contest", "torchgeo"]:
        """The layout that lies in the root, or will after a download."""
        options = self.options
        if options.layout != "auto":
            return options.layout
        if any((options.root / folder).is_dir() for folder, _ in CONTEST_FOLDERS.values()):
            return "contest"
        if options.download or (options.root / TORCHGEO_FOLDER).is_dir() or (options.root / "dfc2020.zip").is_file():
            return "torchgeo"
        raise not_found(self.options.root, "neither ROIs0000_test, ROIs0000_validation nor dfc2020_s1s2 is there")

    @cached_property
    def _tiles(self) -> dict[str, Tile]:
        """All tiles by key, sorted."""
        root = self.options.root
        found = contest_tiles(root) if self._layout == "contest" else torchgeo_tiles(root)
        return {tile.key: tile for tile in sorted(found, key=lambda tile: tile.key)}

    def _torchgeo_splits(self) -> dict[str, tuple[str, ...]]:
        """Return the splits of TorchGeo's lists, which may also lie beside the contest's folders."""
        root = self.options.root
        beside = self._layout == "contest" and (root / LISTS["train"]).is_file()
        lists = read_lists(root, root if beside else root / TORCHGEO_FOLDER)
        splits = {split: tuple(sorted(tile_key(name) for name in names)) for split, names in lists.items()}
        missing = [key for keys in splits.values() for key in keys if key not in self._tiles]
        if missing:
            what = f"the lists name {len(missing)} tiles that are not there, {missing[0]} first"
            raise DataError(what, where=str(root), fix="use `split: paper`, or complete the data")
        return splits

    def _paper_splits(self) -> dict[str, tuple[str, ...]]:
        """Return the paper's train and test tiles, and a seeded share of the first as `val`."""
        groups: dict[str, list[str]] = {group: [] for group in CONTEST_FOLDERS}
        for tile in self._tiles.values():
            groups.setdefault(tile.group, []).append(tile.key)
        for group, (folder, suffix) in CONTEST_FOLDERS.items():
            if groups[group]:
                continue
            if self._layout == "torchgeo":
                what = f"`split: paper` needs the contest's {group} tiles, which TorchGeo's copy lacks"
                fix = "use `split: torchgeo`, or the contest's own folders"
                raise DataError(what, where=str(self.options.root / TORCHGEO_FOLDER), fix=fix)
            raise not_found(self.options.root, f"no tiles in {self.options.root / folder / f's2_{suffix}'}")
        train = groups["test"]
        held_out = round(len(train) * self.options.val_fraction)
        if self.options.val_fraction and len(train) > 1:
            held_out = max(1, held_out)
        order = np.random.default_rng(self.options.seed).permutation(len(train))
        return {
            "train": tuple(sorted(train[i] for i in order[held_out:])),
            "val": tuple(sorted(train[i] for i in order[:held_out])),
            "test": tuple(groups["validation"]),
        }
