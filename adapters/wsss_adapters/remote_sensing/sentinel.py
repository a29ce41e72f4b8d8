"""Any folder of co-registered Sentinel-1 and Sentinel-2 GeoTIFF stacks, with or without label rasters."""

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsss_adapters.geo_scenes.adapter import GeoAdapter
from wsss_adapters.geo_scenes.options import SceneRules
from wsss_adapters.geotiff.label_grid import check_label, resampled
from wsss_adapters.geotiff.parts import parts_of
from wsss_adapters.geotiff.reading import RasterHeader, encode_labels, read_bands, read_header, read_label
from wsss_adapters.geotiff.sites import Site, SiteGrid, check_site, crop_windows, find_files
from wsss_adapters.polygons.labels import is_outlines, outline_files, rasterised
from wsss_adapters.remote_sensing.sentinel_options import SentinelOptions
from wsss_adapters.splits.divide import Item, divide
from wsss_adapters.tables.image_table import ImageTable, read_image_table
from wsss_toolkit.domain import ChannelTable, ClassTable, Fingerprint, Sample, Sensor, Window, fingerprint_of
from wsss_toolkit.errors import DataError
from wsss_toolkit.files import safe_key

Place = tuple[Site, Window | None]
"""What a key stands for: a site, or a window of one."""


class Sentinel(GeoAdapter):
    """Reads sites by file pattern, whole or in crops; keys are ``SITE`` and ``SITE_r000_c112``."""

    Options = SentinelOptions
    options: SentinelOptions

    def __init__(self, options: SentinelOptions) -> None:
        super().__init__(options)
        self._grids: dict[str, tuple[SiteGrid, RasterHeader | None]] = {}
        self._last_labels: tuple[str, NDArray[np.uint8]] | None = None

    @property
    def training_rules(self) -> SceneRules | None:
        """The patterns of `data.sensors`."""
        return self.options.training_rules()

    @property
    def stated_bands(self) -> Mapping[str, tuple[str, ...]]:
        """The band orders of `data.sensors`."""
        return {name: files.bands for name, files in self.options.sensors.items() if files.bands}

    @property
    def classes(self) -> ClassTable:
        """The classes of the recipe."""
        return self.options.class_table()

    @cached_property
    def sensors(self) -> tuple[Sensor, ...]:
        """The sensors of the recipe, with the files' band descriptions where it names no bands."""
        found = []
        for name, files in self.options.sensors.items():
            bands = files.bands or self._described_bands(name)
            if files.rgb and not set(files.rgb) <= set(bands):
                what = f"rgb {', '.join(files.rgb)} of sensor {name!r} are not all among its bands"
                raise DataError(what, where=str(self.options.root), fix=f"they are {', '.join(bands)}")
            found.append(Sensor(name, bands, files.rgb))
        return tuple(found)

    @property
    def notices(self) -> tuple[str, ...]:
        """The recipe's own, if it has one."""
        return (self.options.notice,) if self.options.notice else ()

    def prepare(self) -> None:
        """Check that the sites are there and that the files of each cover the same pixels."""
        self.splits()

    def fingerprint(self) -> Fingerprint:
        """Return the options, the splits and the content of all sites' files."""
        sites = self._sites.values()
        return fingerprint_of(
            self.options,
            {"splits": self.splits()},
            roots=[self.options.root],
            images=[part for site in sites for path in site.files.values() for part in parts_of(path)],
            masks=[part for site in sites if site.label is not None for part in _label_parts(site.label)],
        )

    def splits(self) -> Mapping[str, tuple[str, ...]]:
        """Return the keys of each split: sites, or their crops."""
        crops: dict[str, list[str]] = {}
        for key, (site, window) in self._places.items():
            if window is not None or self.options.crop is None:
                crops.setdefault(site.key, []).append(key)
        return {
            split: tuple(sorted(key for site in sites for key in crops[site]))
            for split, sites in self._split_sites.items()
        }

    def whole(self, split: str) -> tuple[str, ...]:
        """Return the sites of a split."""
        return self._split_sites[split]

    def sensors_of(self, key: str) -> tuple[str, ...]:
        """Return the names of the sensors that have a file for a site or crop."""
        return tuple(self._place(key)[0].files)

    def read(self, key: str, channels: ChannelTable) -> Sample:
        """Read the selected bands of a site or crop; a sensor without a file for this site is left out."""
        site, window = self._place(key)
        offered = {sensor.name: sensor.bands for sensor in self.sensors}
        bands = {}
        for sensor in channels.sensors:
            if sensor.name in site.files:
                data = self._grids[site.key][0].numbers[sensor.name]
                numbers = [data[offered[sensor.name].index(band)] for band in sensor.bands]
                bands[sensor.name] = read_bands(site.files[sensor.name], numbers, window, named=data)
        if not bands:
            what = f"site {site.key!r} has no file of {', '.join(sensor.name for sensor in channels.sensors)}"
            fix = "leave the site out of the split lists or add the files"
            raise DataError(what, where=str(self.options.root), fix=fix)
        return Sample(key, bands)

    def read_mask(self, key: str) -> NDArray[np.uint8] | None:
        """Read the labels of a site or crop: uint8 `h w`, class indices and 255; None where there are none."""
        site, window = self._place(key)
        labels = self.options.labels
        if labels is None or site.label is None:
            return None
        names = self.classes.names
        codes = {code: names.index(name) for code, name in labels.codes.items()}
        image, own = self._grids[site.key][0].image, self._grids[site.key][1]
        if is_outlines(site.label):
            own_names = {name: names.index(name) for name in labels.codes.values()}
            whole = self._whole_labels(
                site, lambda path: rasterised(path, image, codes, own_names, labels.ignore, labels.column)
            )
        elif own is not None:
            whole = self._whole_labels(site, lambda _: resampled(own, image, codes, labels.ignore, labels.band))
        else:
            return encode_labels(read_label(site.label, window, band=labels.band), codes, labels.ignore, site.label)
        if window is None:
            return whole.copy()
        return whole[window.row : window.row + window.height, window.column : window.column + window.width].copy()

    def _whole_labels(self, site: Site, read: Callable[[Path], NDArray[np.uint8]]) -> NDArray[np.uint8]:
        """Return the labels of a site on its grid; those of the last site are kept, because its crops come together."""
        assert site.label is not None
        if self._last_labels is None or self._last_labels[0] != site.key:
            self._last_labels = (site.key, read(site.label))
        return self._last_labels[1]

    def grid_of(self, key: str) -> tuple[Path, Window | None]:
        """Return the first file of the site, and the crop."""
        site, window = self._place(key)
        return next(iter(site.files.values())), window

    def _place(self, key: str) -> Place:
        if key not in self._places:
            raise DataError(f"no site or crop is called {key!r}", where=str(self.options.root))
        return self._places[key]

    def _described_bands(self, name: str) -> tuple[str, ...]:
        """Return the band descriptions of a sensor's first file, which all its files must share."""
        files = [site.files[name] for site in self._sites.values() if name in site.files]
        if not files:
            raise self._not_found(name, self.options.sensors[name].path)
        first = _names(read_header(files[0]))
        if "" in first or len(set(first)) != len(first):
            fix = f"list them in data.sensors.{name}.bands, in the order of the file"
            raise DataError(f"its band descriptions {first} don't name the bands", where=str(files[0]), fix=fix)
        for path in files[1:]:
            other = _names(read_header(path))
            if other != first:
                fix = "use one band order"
                raise DataError(f"has the bands {other}, not {first} as {files[0]}", where=str(path), fix=fix)
        return first

    def _check_label(self, site: Site, header: RasterHeader) -> RasterHeader | None:
        """Check a site's label file; return its header where it has to be resampled."""
        labels = self.options.labels
        if labels is None or site.label is None or is_outlines(site.label):
            return None
        return check_label(site.label, header, site.key, codes=set(labels.codes), band=labels.band)

    def _not_found(self, name: str, pattern: str) -> DataError:
        fix = "correct data.root (--set data.root=DIR) or the sensor's path"
        return DataError(f"no file of sensor {name!r} matches {pattern!r}", where=str(self.options.root), fix=fix)

    @cached_property
    def _sites(self) -> dict[str, Site]:
        """All sites by key, sorted: every name for which a sensor has a file."""
        options = self.options
        if not options.root.is_dir():
            fix = "set data.root, e.g. with --set data.root=DIR"
            raise DataError("no such folder", where=str(options.root), fix=fix)
        sites: dict[str, Site] = {}
        folders = options.splits.folders or {"": ""}
        for split, folder in folders.items():
            files = {
                name: find_files(options.root, sensor.path.replace("{split}", folder))
                for name, sensor in options.sensors.items()
            }
            labels = find_files(options.root, options.labels.path.replace("{split}", folder)) if options.labels else {}
            for name in sorted(set().union(*files.values())):
                # The same name may stand for different places in two splits' folders.
                key = safe_key(f"{split}_{name}" if split else name)
                own = {sensor: found[name] for sensor, found in files.items() if name in found}
                site = Site(key, name, split, own, labels.get(name))
                if site.key in sites:
                    fix = "rename one"
                    raise DataError(f"two sites would both be called {site.key!r}", where=str(options.root), fix=fix)
                sites[site.key] = site
        for name, sensor in options.sensors.items():
            if not any(name in site.files for site in sites.values()):
                raise self._not_found(name, sensor.path)
        return dict(sorted(sites.items()))

    @cached_property
    def _split_sites(self) -> dict[str, tuple[str, ...]]:
        """The sites of each split, as its rule says."""
        options = self.options
        items = {
            key: Item(site.name, next(iter(site.files.values())), split=site.split) for key, site in self._sites.items()
        }
        return divide(options.splits, items, options.root, table=self._table)

    def _table(self) -> ImageTable | None:
        """Read the table that `splits.group_by` names a column of."""
        options = self.options
        return read_image_table(options.root / options.table, options.splits.image_column) if options.table else None

    @cached_property
    def _places(self) -> dict[str, Place]:
        """What each key stands for, after every file of the sites in use was checked."""
        bands = {sensor.name: sensor.bands for sensor in self.sensors}
        crop = self.options.crop
        places: dict[str, Place] = {}
        seen: dict[str, str] = {}
        for key in (key for keys in self._split_sites.values() for key in keys):
            site = self._sites[key]
            grid = check_site(site, bands)
            header = grid.image
            self._grids[key] = grid, self._check_label(site, header)
            windows = list(crop_windows(header.height, header.width, crop)) if crop else []
            if crop and not windows:
                what = f"is {header.height} x {header.width} pixels, smaller than data.crop = {crop}"
                raise DataError(what, where=str(header.path), fix="lower data.crop or leave the site out")
            entries: dict[str, Place] = {f"{key}_r{w.row:03d}_c{w.column:03d}": (site, w) for w in windows}
            for name, place in {key: (site, None), **entries}.items():
                if name.casefold() in seen:
                    what = f"the names {seen[name.casefold()]!r} and {name!r} would share a file on some disks"
                    fix = "rename one of the sites: masks are stored under these names"
                    raise DataError(what, where=str(self.options.root), fix=fix)
                seen[name.casefold()] = name
                places[name] = place
        return places


def _names(header: RasterHeader) -> tuple[str, ...]:
    """Return the descriptions of a file's bands but that of an alpha band, "" where there is none."""
    return tuple(text or "" for band, text in enumerate(header.descriptions, start=1) if band != header.alpha)


def _label_parts(path: Path) -> list[Path]:
    return outline_files(path) if is_outlines(path) else parts_of(path)
