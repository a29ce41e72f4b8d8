"""Any folder of co-registered Sentinel-1 and Sentinel-2 GeoTIFF stacks, with or without label rasters."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsss_adapters.geo_scenes.adapter import GeoAdapter
from wsss_adapters.geo_scenes.options import SceneRules
from wsss_adapters.geotiff.clouds import read_clouds
from wsss_adapters.geotiff.reading import encode_labels, read_bands, read_header, read_label
from wsss_adapters.geotiff.sites import Site, check_site, crop_windows, find_files
from wsss_adapters.geotiff.values import BandValues
from wsss_adapters.remote_sensing.sentinel_options import SentinelOptions, SiteClouds
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

    @property
    def training_rules(self) -> SceneRules | None:
        """The patterns of `data.sensors`."""
        return self.options.training_rules()

    @property
    def stated_bands(self) -> Mapping[str, tuple[str, ...]]:
        """The band orders of `data.sensors`."""
        return {name: files.bands for name, files in self.options.sensors.items() if files.bands}

    @property
    def training_values(self) -> Mapping[str, BandValues]:
        """How `data.sensors` says that numbers become values."""
        return {name: files.band_values() for name, files in self.options.sensors.items()}

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
            images=[path for site in sites for path in (*site.files.values(), *self._clouds[site.key].values())],
            masks=[site.label for site in sites if site.label is not None],
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

    def read(self, key: str, channels: ChannelTable) -> Sample:
        """Read the selected bands of a site or crop; a sensor without a file for this site is left out."""
        site, window = self._place(key)
        offered = {sensor.name: sensor.bands for sensor in self.sensors}
        bands = {}
        for sensor in channels.sensors:
            if sensor.name in site.files:
                numbers = [offered[sensor.name].index(band) + 1 for band in sensor.bands]
                path, section = site.files[sensor.name], self.options.sensors[sensor.name]
                values = read_bands(path, numbers, window, section.band_values(), f"data.sensors.{sensor.name}")
                if section.clouds is not None:
                    layer = self._cloud_layer(site, sensor.name, section.clouds)
                    values[:, read_clouds(layer, section.clouds.classes, path, window)] = np.nan
                bands[sensor.name] = values
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
        return encode_labels(read_label(site.label, window), codes, labels.ignore, site.label)

    def grid_of(self, key: str) -> tuple[Path, Window | None]:
        """Return the first file of the site, and the crop."""
        site, window = self._place(key)
        return next(iter(site.files.values())), window

    def _cloud_layer(self, site: Site, sensor: str, clouds: SiteClouds) -> Path:
        """Return the cloud layer of a sensor at a site; DataError if there is none."""
        layer = self._clouds[site.key].get(sensor)
        if layer is None:
            where = str(self.options.root / clouds.path.replace("{split}", site.split).replace("{site}", site.name))
            fix = f"add it, leave the site out of data.splits, or remove data.sensors.{sensor}.clouds"
            raise DataError(f"site {site.key!r} has no cloud layer", where=where, fix=fix)
        return layer

    def _place(self, key: str) -> Place:
        if key not in self._places:
            raise DataError(f"no site or crop is called {key!r}", where=str(self.options.root))
        return self._places[key]

    def _described_bands(self, name: str) -> tuple[str, ...]:
        """Return the band descriptions of a sensor's first file, which all its files must share."""
        files = [site.files[name] for site in self._sites.values() if name in site.files]
        if not files:
            raise self._not_found(name, self.options.sensors[name].path)
        first = tuple(description or "" for description in read_header(files[0]).descriptions)
        if "" in first or len(set(first)) != len(first):
            fix = f"list them in data.sensors.{name}.bands, in the order of the file"
            raise DataError(f"its band descriptions {first} don't name the bands", where=str(files[0]), fix=fix)
        for path in files[1:]:
            other = read_header(path).descriptions
            if other != first:
                fix = "use one band order"
                raise DataError(f"has the bands {other}, not {first} as {files[0]}", where=str(path), fix=fix)
        return first

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
    def _clouds(self) -> dict[str, dict[str, Path]]:
        """The cloud layers of each site by sensor."""
        layers: dict[str, dict[str, Path]] = {key: {} for key in self._sites}
        folders = self.options.splits.folders or {"": ""}
        for name, sensor in self.options.sensors.items():
            for split, folder in folders.items() if sensor.clouds is not None else ():
                assert sensor.clouds is not None
                found = find_files(self.options.root, sensor.clouds.path.replace("{split}", folder))
                for site in self._sites.values():
                    if site.split == split and site.name in found:
                        layers[site.key][name] = found[site.name]
        return layers

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
        bands = {sensor.name: len(sensor.bands) for sensor in self.sensors}
        crop = self.options.crop
        places: dict[str, Place] = {}
        seen: dict[str, str] = {}
        for key in (key for keys in self._split_sites.values() for key in keys):
            site = self._sites[key]
            header = check_site(site, bands)
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
