"""Which sensors images have, told before any is read."""

from collections.abc import Iterable

from wsss_toolkit.domain import Adapter, ChannelTable, SensorAdapter
from wsss_toolkit.errors import DataError

PER_SENSOR = "use `fusion: per_sensor`, which allows a missing sensor"


def require_sensors(adapter: Adapter, channels: ChannelTable, fusion: str, keys: Iterable[str]) -> None:
    """Check that images have all sensors that the recipe selects, where its fusion needs them and the adapter knows.

    Raises:
        DataError: If an image lacks one; it names the first, and says how many there are.
    """
    if fusion != "early" or not isinstance(adapter, SensorAdapter):
        return
    keys = tuple(keys)
    there = {key: set(adapter.sensors_of(key)) for key in keys}
    for sensor in channels.sensors:
        lacking = [key for key in keys if sensor.name not in there[key]]
        if lacking:
            what = f"image has no {sensor.name} bands, like {len(lacking)} of {len(keys)} images"
            raise DataError(what, where=lacking[0], fix=PER_SENSOR)
