"""Endoscopic frames: HyperKvasir, Kvasir-SEG and any folder of pictures with masks."""

from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsss_adapters.endoscopy.frame_folder import Frame, distinct, folder_frames
from wsss_adapters.endoscopy.hyperkvasir_classes import LOWER_GI, UPPER_GI, ClassNames, hyperkvasir_table
from wsss_adapters.endoscopy.hyperkvasir_files import (
    hyperkvasir_frames,
    kvasir_seg_folder,
    kvasir_seg_frames,
    labelled_folder,
    read_labels_table,
)
from wsss_adapters.endoscopy.hyperkvasir_options import HyperKvasirOptions, Layout
from wsss_adapters.endoscopy.scenes import EndoscopyScenes
from wsss_adapters.frames.scene import SegmentationType
from wsss_adapters.pictures.adapter import PictureAdapter
from wsss_adapters.pictures.decoding import Size, decode_picture, picture_size
from wsss_adapters.pictures.masks import read_binary_mask, read_mask
from wsss_adapters.pictures.reading import RGB, rgb_sample
from wsss_adapters.splits.divide import Item, divide
from wsss_adapters.splits.near_duplicates import alike_across
from wsss_adapters.tables.image_table import ImageTable, read_image_table
from wsss_toolkit.domain import IGNORE_INDEX, ChannelTable, ClassTable, Fingerprint, Sample, fingerprint_of
from wsss_toolkit.errors import DataError, UsageError

Decoded = tuple[NDArray[np.uint8], NDArray[np.bool_]]
"""Colours `h w 3`, and which pixels are inside the field of view `h w`; neither may be written to."""

READING = 2
"""Raised when frames or masks come to be read differently, so that results of the older reading are not kept."""

POLYPS = "polyps"
"""What the masks of HyperKvasir and Kvasir-SEG outline."""


class FrameCache:
    """Reads frames, and keeps the first ones until `room_mb` are full; 0 keeps nothing.

    MONAI's `CacheDataset` counts images and reads them all at once; this counts bytes and reads what is asked for.
    Without `borders`, all pixels are inside the field of view.
    """

    def __init__(self, room_mb: int, *, borders: bool) -> None:
        self._room, self._borders = room_mb * 2**20, borders
        self._kept: dict[Path, Decoded] = {}

    def read(self, path: Path) -> Decoded:
        """Return a frame.

        Raises:
            DataError: If it cannot be read.
        """
        if path in self._kept:
            return self._kept[path]
        pixels = decode_picture(path).pixels
        if self._borders:
            from wsss_adapters.frames.field_of_view import field_of_view

            inside = field_of_view(pixels)
        else:
            inside = np.ones(pixels.shape[:2], dtype=bool)
        pixels.flags.writeable = inside.flags.writeable = False
        size = pixels.nbytes + inside.nbytes
        if size <= self._room:
            self._room -= size
            self._kept[path] = (pixels, inside)
        return pixels, inside


class HyperKvasir(EndoscopyScenes, PictureAdapter):
    """Reads frames as red, green and blue in 0..255, NaN outside the endoscope's field of view."""

    Options = HyperKvasirOptions

    def __init__(self, options: HyperKvasirOptions) -> None:
        self.options = options
        room = options.cache_mb if options.cache == "memory" else 0
        self._cache = FrameCache(room, borders=options.borders == "mask")

    @property
    def mask_borders(self) -> bool:
        """Whether pixels outside the field of view count as missing, in scenes too."""
        return self.options.borders == "mask"

    @property
    def segmentation_type(self) -> SegmentationType:
        """The recipe's choice."""
        return self.options.segmentation_type

    @cached_property
    def classes(self) -> ClassTable:
        """The classes of the recipe, or the data set's own."""
        if self.options.classes is not None:
            return self.options.given_table()
        return hyperkvasir_table([POLYPS]) if self._layout == "kvasir_seg" else hyperkvasir_table()

    @property
    def notices(self) -> tuple[str, ...]:
        """The recipe's own, if it has one."""
        return (self.options.notice,) if self.options.notice else ()

    def prepare(self) -> None:
        """Check that the frames are there and fit the recipe; nothing is downloaded."""
        self.splits()
        self._absent  # noqa: B018  mistakes in names are found here

    def fingerprint(self) -> Fingerprint:
        """Return the options, splits and labels, and the content of all frames and masks."""
        frames = self._frames
        labels = {key: frame.labels for key, frame in frames.items()}
        return fingerprint_of(
            self.options,
            {"splits": self._splits, "labels": labels, "reading": READING},
            roots=[self.options.root],
            images=[frame.image for frame in frames.values()],
            masks=[frame.mask for frame in frames.values() if frame.mask is not None],
        )

    def image_labels(self, key: str) -> tuple[str, ...] | None:
        """Return the class of the folder that a frame lies in, empty for negatives; None for a plain folder."""
        return self._frame(key).labels

    def read(self, key: str, channels: ChannelTable) -> Sample:
        """Read the selected colours of a frame, NaN outside the field of view."""
        pixels, inside = self._cache.read(self._frame(key).image)
        return rgb_sample(key, pixels, inside, channels)

    def read_mask(self, key: str) -> NDArray[np.uint8] | None:
        """Read the mask of a frame: uint8 `h w`, class indices, 255 outside the field of view; None where unknown."""
        frame, classes = self._frame(key), self.classes
        if frame.mask is None and frame.kind not in self._absent:
            return None
        size = self.size(key)
        if frame.mask is None:
            mask = np.full(size, classes.background, dtype=np.uint8)
        elif self._mask_class is not None:
            assert classes.background is not None  # HyperKvasirOptions refuses the combination
            index = classes.names.index(self._mask_class)
            mask = read_binary_mask(frame.mask, frame.image, size, index, classes.background)
        else:
            codes = {index: index for index in (*range(len(classes.names)), IGNORE_INDEX)}
            fix = "list all classes in data.classes, or set data.mask_class if the mask is black and white"
            mask = read_mask(frame.mask, frame.image, size, codes, fix=fix)
            if len(classes.names) == 2 and np.unique(mask).tolist() == [0, IGNORE_INDEX]:
                # Of two classes, one never drawn beside unlabelled pixels is less likely than white for "yes".
                what = "holds only 0 and 255: read as indices, all of 255 is unlabelled"
                fix = f"set data.mask_class to {classes.names[1]!r} if 255 means that class"
                raise DataError(what, where=str(frame.mask), fix=fix)
        if self.mask_borders:
            mask[~self._cache.read(frame.image)[1]] = IGNORE_INDEX
        return mask

    @property
    def augments(self) -> bool:
        """Whether the options ask for random changes."""
        return self.options.augment.any

    def augment(
        self, sample: Sample, mask: NDArray[np.uint8] | None, random: np.random.Generator
    ) -> tuple[Sample, NDArray[np.uint8] | None]:
        """Change a frame, and its pseudo-mask in the same way, at random, as `data.augment` says."""
        from wsss_adapters.endoscopy.frame_augment import change_frame

        pixels, changed = change_frame(sample.bands[RGB.name], mask, self.options.augment, random)
        return Sample(sample.key, {RGB.name: pixels}), changed

    def size(self, key: str) -> Size:
        """Return height and width of a frame, see `PictureAdapter.size`."""
        return picture_size(self._frame(key).image)

    def alike_across_splits(self) -> tuple[str, ...]:
        """Compare the frames of each split with those of the others."""
        keys = self._splits.items()
        return alike_across({split: {key: self._frames[key].image for key in its} for split, its in keys})

    def _frame(self, key: str) -> Frame:
        if key not in self._frames:
            raise DataError(f"no frame is called {key!r}", where=str(self.options.root))
        return self._frames[key]

    @cached_property
    def _layout(self) -> Layout:
        """The layout that lies in the root."""
        root, layout = self.options.root, self.options.layout
        if layout != "auto":
            return layout
        if not root.is_dir():
            raise DataError("no such folder", where=str(root), fix="set data.root, e.g. with --set data.root=DIR")
        if labelled_folder(root) is not None:
            return "hyperkvasir"
        if self.options.classes is not None and (root / self.options.images).is_dir():
            return "frames"
        return "kvasir_seg" if kvasir_seg_folder(root) else "hyperkvasir"

    @cached_property
    def _mask_class(self) -> str | None:
        """The class that masks outline; None where they hold indices, or where polyps are not among the classes."""
        if self.options.mask_class is not None or self._layout == "frames":
            return self.options.mask_class
        return next(iter(self._names.labels(POLYPS)), None)

    @cached_property
    def _names(self) -> ClassNames:
        """What folders and tables may be called."""
        known = [*LOWER_GI, *UPPER_GI] if self._layout == "hyperkvasir" else []
        return ClassNames(self.classes, self.options.negatives, self.options.aliases, known)

    @cached_property
    def _absent(self) -> frozenset[str]:
        """The kinds of frames that show nothing that masks outline."""
        kinds = set()
        for name in self.options.absent:
            try:
                found = self._names.find(name)
            except KeyError as error:
                hint = f"did you mean {error.args[0]}?" if error.args[0] else "name a class or one of data.negatives"
                raise UsageError(f"data.absent names {name!r}, which is no class", fix=hint) from error
            if found:
                kinds.add(found[0])
        if self._mask_class in kinds:
            raise UsageError(f"data.absent names {self._mask_class!r}, which is what the masks outline")
        return frozenset(kinds)

    @cached_property
    def _frames(self) -> dict[str, Frame]:
        """All frames by key, sorted."""
        options, root = self.options, self.options.root
        if not root.is_dir():
            raise DataError("no such folder", where=str(root), fix="set data.root, e.g. with --set data.root=DIR")
        if self._layout == "frames":
            masks = root / options.masks if options.masks else None
            return distinct(folder_frames(root / options.images, masks, self._names))
        if self._layout == "hyperkvasir":
            return distinct(hyperkvasir_frames(root, self._names, self._mask_class))
        if self._mask_class is None:
            raise UsageError("Kvasir-SEG shows polyps, which data.classes lacks", fix="set data.mask_class")
        return distinct(kvasir_seg_frames(root, self._mask_class))

    @cached_property
    def _splits(self) -> dict[str, tuple[str, ...]]:
        items = {
            # The class, and whether there is a mask to score against: never what a mask shows.
            key: Item(f.image.stem, f.image, f.image.parent.name, (f.kind, f.mask is not None))
            for key, f in self._frames.items()
        }
        options = self.options
        return divide(options.splits, items, options.root, table=self._table, left_out=self._names.leaves_out)

    def _table(self) -> ImageTable | None:
        """Read the table that `splits.group_by` names a column of."""
        options = self.options
        if options.table is not None:
            return read_image_table(options.root / options.table, options.splits.image_column)
        return read_labels_table(options.root) if self._layout == "hyperkvasir" else None
