"""Images that lack a sensor are told before any is read."""

import pytest
from fake_tiles import sentinel_section, write_sites

from wsss_adapters.remote_sensing.sentinel import Sentinel, SentinelOptions
from wsss_toolkit.domain import ChannelTable
from wsss_toolkit.errors import DataError
from wsss_toolkit.images.sensors import require_sensors


@pytest.mark.parametrize(("folder", "sensor"), [("S1", "sentinel1"), ("S2", "sentinel2")])
def test_an_image_without_a_sensor_is_named(folder, sensor, tmp_path):
    """Training found it, after the first epoch."""
    root = write_sites(tmp_path)
    adapter = Sentinel(SentinelOptions.model_validate(sentinel_section(root, crop=20)))
    channels = ChannelTable(adapter.sensors)
    keys = [key for split in adapter.splits().values() for key in split]
    require_sensors(adapter, channels, "early", {"train": keys})
    (root / folder / "beta.tif").unlink()
    adapter = Sentinel(SentinelOptions.model_validate(sentinel_section(root, crop=20)))
    with pytest.raises(
        DataError,
        match=rf"beta_r000_c000: image has no {sensor} bands, like 4 of 16 images of the split .train.; use `fus",
    ):
        require_sensors(adapter, channels, "early", {"train": keys})
    require_sensors(adapter, channels, "per_sensor", {"train": keys})
    require_sensors(
        adapter, ChannelTable(tuple(s for s in adapter.sensors if s.name != sensor)), "early", {"train": keys}
    )
