"""Which sensors images have, told before any is read."""

from collections.abc import Mapping, Sequence

from wsss_toolkit.domain import Adapter, ChannelTable, SensorAdapter
from wsss_toolkit.errors import DataError

PER_SENSOR = "use `fusion: per_sensor`, which allows a missing sensor"


def require_sensors(adapter: Adapter, channels: ChannelTable, fusion: str, splits: Mapping[str, Sequence[str]]) -> None:
    """Check that images of splits have all sensors that the recipe selects, where its fusion needs them.

    An adapter that does not know is asked for nothing.

    Raises:
        DataError: If an image lacks one; it names the first, and says how many there are.
    """
    if fusion != "early" or not isinstance(adapter, SensorAdapter):
        return
    for split, keys in splits.items():
        there = {key: set(adapter.sensors_of(key)) for key in keys}
        for sensor in channels.sensors:
            lacking = [key for key in keys if sensor.name not in there[key]]
            if lacking:
                many = f"{len(lacking)} of {len(keys)} images of the split {split!r}"
                raise DataError(f"image has no {sensor.name} bands, like {many}", where=lacking[0], fix=PER_SENSOR)
