"""Any folder of pictures, with tags, class folders or masks."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsss_adapters.folder.mask_reader import MaskReader
from wsss_adapters.folder.options import FolderOptions
from wsss_adapters.folder.picture_index import PictureIndex, Place
from wsss_adapters.pictures.adapter import PictureAdapter
from wsss_adapters.pictures.decoding import Size
from wsss_adapters.pictures.reading import check_bands, cut, pages_notice, read_picture, window_slices
from wsss_adapters.pictures.scenes import PictureScenes
from wsss_adapters.splits.near_duplicates import alike_across
from wsss_toolkit.domain import ChannelTable, ClassTable, Fingerprint, Sample, Sensor, fingerprint_of
from wsss_toolkit.domain.adapter import Starter
from wsss_toolkit.errors import DataError


class Folder(PictureScenes, PictureAdapter):
    """Reads pictures whole or in crops; keys are ``PICTURE`` and ``PICTURE_r000_c112``."""

    Options = FolderOptions

    def __init__(self, options: FolderOptions) -> None:
        self.options = options
        self._index = PictureIndex(options)
        # A picture's crops are read one after the other: the last picture is kept.
        self._last: tuple[str, ChannelTable, Sample] | None = None
        self._last_mask: tuple[str, NDArray[np.uint8]] | None = None

    @classmethod
    def starter(cls, folder: Path, masks: Path | None) -> Starter:
        """Look at a folder; see `wsss_toolkit.domain.adapter.StarterAdapter`."""
        from wsss_adapters.folder.look import look

        return look(folder, masks)

    @property
    def scenes_are_whole(self) -> bool:
        """Whether scenes are labelled as a whole, at the size of the training images."""
        return self.options.scenes == "whole"

    @property
    def classes(self) -> ClassTable:
        """The classes of the recipe, else those of the tags or the class folders, sorted."""
        return self._index.classes

    @property
    def sensors(self) -> tuple[Sensor, ...]:
        """Red, green and blue; or the bands of multi-band and 16-bit files, as the sensor `image`."""
        return (self._index.sensor,)

    @property
    def notices(self) -> tuple[str, ...]:
        """The recipe's own; once pictures and tags have been read, what was decided about them."""
        index = self._index
        own = ((self.options.notice,) if self.options.notice else ()) + pages_notice(index.headers_read)
        own += index.tags.notices
        turned = self._index.turned_beside_masks
        if not turned:
            return own
        count = f"{len(turned)} pictures with masks, {turned[0]} first, are turned as their EXIF orientation says"
        return (*own, f"{count}; their masks count as upright.")

    def prepare(self) -> None:
        """Check that the pictures are there, have the same bands, and fit the tags; nothing is downloaded."""
        self.splits()

    def fingerprint(self) -> Fingerprint:
        """Return options, splits, classes and labels, and the content of all pictures and masks."""
        index, pictures = self._index, self._index.pictures.values()
        return fingerprint_of(
            self.options,
            {"splits": index.split_keys, "classes": index.classes.names, "labels": index.labels},
            roots=[self.options.root],
            images=[picture.path for picture in pictures],
            masks=[picture.mask for picture in pictures if picture.mask is not None],
        )

    @property
    def _splits(self) -> Mapping[str, tuple[str, ...]]:
        """The keys of each split: pictures, or their crops."""
        self._index.sensor, self._index.masks_fit  # noqa: B018  files that do not go with the rest are found here
        return self._index.split_keys

    def alike_across_splits(self) -> tuple[str, ...]:
        """Compare the pictures of each split with those of the others."""
        pictures, splits = self._index.pictures, self._index.splits
        return alike_across(
            {split: {pictures[key].name: pictures[key].path for key in keys} for split, keys in splits.items()}
        )

    def whole(self, split: str) -> tuple[str, ...]:
        """Return the pictures of a split."""
        return self._index.splits[split]

    def image_labels(self, key: str) -> tuple[str, ...] | None:
        """Return the classes that the tags or a picture's folder say it shows; None where neither says anything."""
        picture, window = self._place(key)
        return None if window is not None else self._index.labels.get(picture.key)

    def read(self, key: str, channels: ChannelTable) -> Sample:
        """Read the selected bands of a picture or crop."""
        picture, window = self._place(key)
        header = self._index.headers[picture.key]
        if window is None:
            return read_picture(picture.path, key, header, channels)
        check_bands(header.sensor, channels, str(picture.path))
        if self._last is None or self._last[:2] != (picture.key, channels):
            self._last = picture.key, channels, read_picture(picture.path, picture.key, header, channels)
        return cut(self._last[2], key, window)

    def read_mask(self, key: str) -> NDArray[np.uint8] | None:
        """Read the mask of a picture or crop: uint8 `h w`, class indices and 255; None where there is none."""
        picture, window = self._place(key)
        if picture.mask is None:
            return None
        if self._last_mask is None or self._last_mask[0] != picture.key:
            header = self._index.headers[picture.key]
            mask = self._masks.read(picture.mask, picture, (header.height, header.width))
            self._last_mask = picture.key, mask
        mask = self._last_mask[1]
        return (mask if window is None else mask[window_slices(window)]).copy()

    @cached_property
    def _masks(self) -> MaskReader:
        drawn = [picture.mask for picture in self._index.pictures.values() if picture.mask is not None]
        return MaskReader(self.options, self.classes.names, drawn)

    def size(self, key: str) -> Size:
        """Return height and width of a picture or crop, see `PictureAdapter.size`."""
        picture, window = self._place(key)
        frame = window or self._index.headers[picture.key]
        return frame.height, frame.width

    def _place(self, key: str) -> Place:
        if key not in self._index.places:
            raise DataError(f"no picture or crop is called {key!r}", where=str(self.options.root))
        return self._index.places[key]
