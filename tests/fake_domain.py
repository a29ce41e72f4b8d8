"""A domain made of nothing: two sensors, three classes, masks computed from the key."""

from collections.abc import Mapping
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from wsss_toolkit.domain import AdapterOptions, ClassTable, Sample, Sensor


class FakeOptions(AdapterOptions):
    root: Path
    size: int = 8
    mode: Literal["full", "empty_val", "no_train"] = "full"


class FakeDomain:
    Options: ClassVar[type[AdapterOptions]] = FakeOptions

    def __init__(self, options):
        self.options = options
        self.masks: Mapping[str, np.ndarray | None] = {}
        self.reads: list[str] = []

    classes = ClassTable(("Forest", "Water", "Urban"), ((0, 99, 0), (0, 0, 200), (120, 120, 120)))
    sensors = (Sensor("radar", ("VV", "VH")), Sensor("optical", ("B02", "B03", "B04"), ("B04", "B03", "B02")))
    notices = ("Fake data.",)

    def prepare(self):
        pass

    def fingerprint(self):
        return "0"

    def splits(self):
        found = {"train": ("a", "b", "c"), "val": ("d",), "test": ("e",)}
        if self.options.mode == "empty_val":
            found["val"] = ()
        if self.options.mode == "no_train":
            del found["train"]
        return found

    def whole(self, split):
        return self.splits()[split]

    def read(self, key, channels):
        size = self.options.size
        return Sample(key, {s.name: np.zeros((len(s.bands), size, size), np.float32) for s in channels.sensors})

    def read_mask(self, key):
        self.reads.append(key)
        return self.masks[key]

    def write_mask(self, path, key, mask, confidence, tags):
        raise NotImplementedError


POINT = EntryPoint("fake", "fake_domain:FakeDomain", "wsss.adapters")
