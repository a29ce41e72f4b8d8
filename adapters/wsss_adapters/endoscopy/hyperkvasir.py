"""Endoscopic frames: HyperKvasir, Kvasir-SEG and any folder of pictures with masks."""

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from wsss_adapters.endoscopy.frame_folder import Frame, flat_frames
from wsss_adapters.endoscopy.frame_reading import check_indices, read_frame, read_grey
from wsss_adapters.endoscopy.frame_splits import divide_groups, wanted_counts
from wsss_adapters.endoscopy.hyperkvasir_options import HyperKvasirOptions
from wsss_toolkit.domain import AdapterOptions, ChannelTable, ClassTable, Sample, Sensor
from wsss_toolkit.errors import DataError

SENSOR = Sensor("rgb", ("R", "G", "B"), rgb=("R", "G", "B"))


class HyperKvasir:
    """Reads frames as red, green and blue in 0..255."""

    Options: ClassVar[type[AdapterOptions]] = HyperKvasirOptions

    def __init__(self, options: HyperKvasirOptions) -> None:
        """Keep the options; read nothing yet."""
        self.options = options

    @property
    def classes(self) -> ClassTable:
        """The classes of the recipe."""
        return self.options.class_table()

    @property
    def sensors(self) -> tuple[Sensor, ...]:
        """The camera."""
        return (SENSOR,)

    @property
    def notices(self) -> tuple[str, ...]:
        """The recipe's own, if it has one."""
        return (self.options.notice,) if self.options.notice else ()

    def prepare(self) -> None:
        """Check that the frames are there."""
        self.splits()

    def fingerprint(self) -> str:
        """Return a digest of the options and of the names, sizes and times of all frames' files."""
        digest = hashlib.sha256(self.options.model_dump_json().encode())
        digest.update(json.dumps(self._splits, sort_keys=True).encode())
        for frame in self._frames.values():
            for path in filter(None, (frame.image, frame.mask)):
                stat = path.stat()
                digest.update(f"{path.relative_to(self.options.root)} {stat.st_size} {stat.st_mtime_ns}\n".encode())
        return digest.hexdigest()

    def splits(self) -> Mapping[str, tuple[str, ...]]:
        """Return the keys of each split.

        Raises:
            DataError: If frames are missing or contradict each other.
        """
        return self._splits

    def whole(self, split: str) -> tuple[str, ...]:
        """Return the split's own keys: frames are whole."""
        return self._splits[split]

    def read(self, key: str, channels: ChannelTable) -> Sample:
        """Read the selected colours of a frame, NaN outside the field of view.

        Raises:
            DataError: If there is no such frame or it cannot be read.
        """
        pixels = read_frame(self._frame(key).image)
        picked = [SENSOR.bands.index(band) for band in channels.sensors[0].bands]
        return Sample(key, {SENSOR.name: np.ascontiguousarray(pixels.transpose(2, 0, 1)[picked], dtype=np.float32)})

    def read_mask(self, key: str) -> NDArray[np.uint8] | None:
        """Read the mask of a frame: uint8 `h w`, class indices and 255; None where there is none.

        Raises:
            DataError: If the mask cannot be read, differs from the frame in size, or holds unknown values.
        """
        frame = self._frame(key)
        if frame.mask is None:
            return None
        mask = check_indices(read_grey(frame.mask), len(self.classes.names), frame.mask)
        size = read_frame(frame.image).shape[:2]
        if mask.shape != size:
            raise DataError(
                f"is {mask.shape[0]} x {mask.shape[1]} pixels, its frame {size[0]} x {size[1]}",
                where=str(frame.mask),
                fix=f"resize the mask to the size of {frame.image}, by the nearest pixel",
            )
        return mask

    def write_mask(
        self,
        path: Path,
        key: str,
        mask: NDArray[np.uint8],
        confidence: NDArray[np.uint8] | None,
        tags: Mapping[str, str],
    ) -> Path:
        """Write a mask as palette PNG of the frame's size."""
        from PIL import Image

        size = read_frame(self._frame(key).image).shape[:2]
        if mask.shape != size:
            raise ValueError(f"{key} is {size[0]} x {size[1]}, the mask {mask.shape}")
        target = path.with_name(f"{path.name}.png")
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(target)
        if confidence is not None:
            Image.fromarray(confidence).save(path.with_name(f"{path.name}.confidence.png"))
        return target

    def _frame(self, key: str) -> Frame:
        if key not in self._frames:
            raise DataError(f"no frame is called {key!r}", where=str(self.options.root))
        return self._frames[key]

    @cached_property
    def _frames(self) -> dict[str, Frame]:
        """All frames by key, sorted."""
        options = self.options
        masks = options.root / options.masks if options.masks else None
        found = flat_frames(options.root / options.images, masks)
        return {frame.key: frame for frame in sorted(found, key=lambda frame: frame.key)}

    @cached_property
    def _splits(self) -> dict[str, tuple[str, ...]]:
        rule, keys = self.options.splits, list(self._frames)
        counts = dict(rule.counts or wanted_counts(len(keys), rule.fractions or {}))
        if sum(counts.values()) > len(keys):
            raise DataError(
                f"data.splits.counts sum to {sum(counts.values())}, but there are {len(keys)} frames",
                where=str(self.options.root),
            )
        strata = {key: frame.labels for key, frame in self._frames.items()}
        return divide_groups([[key] for key in keys], strata, counts, rule.seed)
