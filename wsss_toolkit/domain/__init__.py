"""What a domain gives the core: classes, sensors, samples, and masks in the domain's own format."""

from wsss_toolkit.domain.adapter import (
    Adapter,
    AdapterOptions,
    AugmentingAdapter,
    LabelledAdapter,
    PreparingAdapter,
    blamed_on_data,
    find_adapter,
    installed_adapters,
    read_sample,
)
from wsss_toolkit.domain.fingerprint import Changes, Fingerprint, fingerprint_of
from wsss_toolkit.domain.sample import IGNORE_INDEX, ChannelTable, ClassTable, Code, Sample, Sensor, is_one_line
from wsss_toolkit.domain.scene import (
    LEVELS,
    Destination,
    HidesScenes,
    Layers,
    ModelDescription,
    Scene,
    SceneAdapter,
    SceneOutputs,
    SceneSource,
    Window,
)

__all__ = [
    "IGNORE_INDEX", "LEVELS", "Adapter", "AdapterOptions", "AugmentingAdapter", "Changes", "ChannelTable", "ClassTable",
    "Code", "Destination", "Fingerprint", "HidesScenes", "LabelledAdapter", "Layers", "ModelDescription",
    "PreparingAdapter", "Sample", "Scene", "SceneAdapter", "SceneOutputs", "SceneSource", "Sensor", "Window",
    "blamed_on_data", "find_adapter", "fingerprint_of", "installed_adapters", "is_one_line", "read_sample",
]  # fmt: skip
