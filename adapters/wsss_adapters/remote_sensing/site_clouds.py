"""Which cloud layers the sites of a folder have."""

from collections.abc import Mapping
from pathlib import Path

from wsss_adapters.geotiff.sites import Site, find_files
from wsss_adapters.remote_sensing.sentinel_options import SentinelOptions
from wsss_toolkit.errors import DataError


def cloud_layers(options: SentinelOptions, sites: Mapping[str, Site]) -> dict[str, dict[str, Path]]:
    """Return the layers of each site by sensor, where the recipe names any and the site has them."""
    layers: dict[str, dict[str, Path]] = {key: {} for key in sites}
    for name, sensor in options.sensors.items():
        if sensor.clouds is None:
            continue
        for split, folder in (options.splits.folders or {"": ""}).items():
            found = find_files(options.root, sensor.clouds.path.replace("{split}", folder))
            for site in sites.values():
                if site.split == split and site.name in found:
                    layers[site.key][name] = found[site.name]
    return layers


def no_cloud_layer(options: SentinelOptions, site: Site, sensor: str) -> DataError:
    """Return the error for a site without the layer that the recipe names for a sensor."""
    clouds = options.sensors[sensor].clouds
    assert clouds is not None
    where = str(options.root / clouds.path.replace("{site}", site.name))
    fix = f"add it, leave the site out of data.splits, or remove data.sensors.{sensor}.clouds"
    return DataError(f"site {site.key!r} has no cloud layer", where=where, fix=fix)
