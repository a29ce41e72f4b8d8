"""What a domain gives the core: classes, sensors, samples, and masks in the domain's own format."""

from wsss_toolkit.domain.adapter import Adapter, AdapterOptions, find_adapter, installed_adapters
from wsss_toolkit.domain.sample import IGNORE_INDEX, ChannelTable, ClassTable, Sample, Sensor

__all__ = [
    "IGNORE_INDEX",
    "Adapter",
    "AdapterOptions",
    "ChannelTable",
    "ClassTable",
    "Sample",
    "Sensor",
    "find_adapter",
    "installed_adapters",
]
