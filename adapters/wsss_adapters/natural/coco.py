"""MS COCO: photographs of everyday scenes with 80 kinds of objects and background; and any data set in its format.

Data card of COCO 2014: 82,783 images for training, 40,504 for validation; 118,287 and 5,000 in 2017. Objects are
outlined one by one, by polygons; crowds of them by one region. The labels of a whole image are the categories of its
objects and crowds. Masks: 0 background, 1-80 in the order of the sparse category ids 1-90, 255 crowds.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from wsss_adapters.natural.coco_annotations import CocoFile, CocoImage, CocoObject, read_images, read_objects
from wsss_adapters.natural.coco_classes import COCO, check_is_coco, class_indices, class_table
from wsss_adapters.natural.coco_masks import MaskCache, rasterise
from wsss_adapters.natural.coco_options import CocoOptions
from wsss_adapters.natural.images import NaturalImages, check_disjoint, unknown_image
from wsss_adapters.pictures.decoding import Size
from wsss_adapters.pictures.names import keys_of_stems
from wsss_adapters.pictures.png_mask import check_mask_size, write_grey_png
from wsss_adapters.splits.divide import Item, divide
from wsss_toolkit.domain import ChannelTable, ClassTable, Fingerprint, Sample, fingerprint_of
from wsss_toolkit.errors import DataError

SOURCE = "https://cocodataset.org/#download"


class Coco(NaturalImages):
    """Reads COCO by its annotation files; splits are image sets, or parts of one."""

    Options = CocoOptions
    options: CocoOptions

    def __init__(self, options: CocoOptions) -> None:
        super().__init__(options)
        self._cache = MaskCache(options.cache)
        self._objects: dict[str, dict[int, list[CocoObject]]] = {}
        self._folders: dict[str, Path] = {}

    @cached_property
    def classes(self) -> ClassTable:
        """Background and the categories in the order of their ids; under `categories: file`, of the files' own."""
        return class_table(self._categories)

    @property
    def notices(self) -> tuple[str, ...]:
        """How many images show no object and were left out; nothing while the data are missing."""
        try:
            splits, left_out = self._splits, self._left_out
        except DataError:
            return ()
        return tuple(
            f"{len(left_out[split])} of {len(keys) + len(left_out[split])} images of the split {split!r} "
            "show no object and are left out."
            for split, keys in splits.items()
            if left_out[split]
        )

    def prepare(self) -> None:
        """Check that annotations and pictures are there and agree; nothing is downloaded."""
        used = {key for keys in self._splits.values() for key in keys}
        for name in self._files:
            folder = self._folder(name)
            with os.scandir(folder) as entries:
                there = {entry.name for entry in entries}
            missing = [
                image.file_name
                for key, (owner, image) in self._images.items()
                if owner == name and key in used and PurePosixPath(image.file_name).name not in there
            ]
            if missing:
                fix = f"the copy is incomplete; unpack {name}.zip ({SOURCE}) again"
                raise DataError(f"{len(missing)} pictures are missing, {missing[0]} first", where=str(folder), fix=fix)
        self.classes  # noqa: B018  files that disagree in their categories are found here

    def fingerprint(self) -> Fingerprint:
        """Return the options, the splits and the content of pictures and annotation files, which hold labels too."""
        pictures = (self.picture(key) for keys in self._splits.values() for key in keys)
        return fingerprint_of(
            self.options,
            {"splits": self._splits},
            roots=[self.options.root],
            images=[*(file.path for file in self._files.values()), *pictures],
        )

    def picture(self, key: str) -> Path:
        """Return the file of an image."""
        name, image = self._image(key)
        return self._folder(name) / PurePosixPath(image.file_name).name

    def stated_size(self, key: str) -> Size | None:
        """Return the size in the annotation file."""
        return self._image(key)[1].size

    def read(self, key: str, channels: ChannelTable) -> Sample:
        """Read the selected colours of an image, which must be of the size in the annotation file."""
        sample = super().read(key, channels)
        self._check_size(key, sample.size)
        return sample

    def image_labels(self, key: str) -> tuple[str, ...] | None:
        """Return the categories of an image's objects and crowds; None where its set has no annotations."""
        shown = self._image(key)[1].shown
        return None if shown is None else tuple(sorted(self._categories[category] for category in shown))

    def read_mask(self, key: str) -> NDArray[np.uint8] | None:
        """Rasterise the objects of an image: uint8 `h w`, 0 background, classes from 1 on, 255 crowds.

        None where the image's set has no annotations. See `coco_masks.rasterise` for overlaps.
        """
        name, image = self._image(key)
        if image.shown is None:
            return None
        self._check_size(key, self.size(key))
        annotations, indices = self._files[name].path, class_indices(self._categories)
        kept = self._cache.file(key, annotations, indices)
        if kept is not None and (mask := self._cache.read(kept, image.size)) is not None:
            return mask
        if name not in self._objects:
            self._objects[name] = read_objects(annotations)
        mask = rasterise(self._objects[name].get(image.number, ()), image.size, indices, annotations)
        if kept is not None:
            write_grey_png(kept, mask)
        return mask

    def write_rle_json(self, path: Path, masks: Iterable[tuple[str, NDArray[np.uint8]]]) -> Path:
        """Write masks by key as COCO's results, see `coco_results.write_results`.

        Raises:
            ValueError: If a mask has another size than its image.
            DataError: If there is no such image.
            WsssError: If it cannot be written, or pycocotools is not installed.
        """
        from wsss_adapters.natural.coco_masks import write_results

        def numbered() -> Iterator[tuple[int, NDArray[np.uint8]]]:
            for key, mask in masks:
                check_mask_size(key, self.size(key), mask)
                yield self._image(key)[1].number, mask

        return write_results(path, numbered(), class_indices(self._categories))

    def _image(self, key: str) -> tuple[str, CocoImage]:
        if key not in self._images:
            raise unknown_image(key, self.options.root)
        return self._images[key]

    def _check_size(self, key: str, size: Size) -> None:
        stated = self._image(key)[1].size
        if size != stated:
            what = f"is {size[0]} x {size[1]} pixels, {stated[0]} x {stated[1]} in the annotation file"
            fix = "copy or download the picture again, in its original size"
            raise DataError(what, where=str(self.picture(key)), fix=fix)

    def _folder(self, name: str) -> Path:
        """Return the folder of an image set's pictures."""
        root = self.options.root
        for folder in (root / name, root / "images" / name):
            if name in self._folders or folder.is_dir():
                return self._folders.setdefault(name, folder)
        fix = f"unpack {name}.zip ({SOURCE}) there, or name other sets with data.sets or data.year"
        raise DataError(f"there is no folder {name} or images/{name} with the pictures", where=str(root), fix=fix)

    @cached_property
    def _files(self) -> dict[str, CocoFile]:
        """The annotation file of every image set."""
        return {name: read_images(self._annotation_file(name)) for name in self.options.image_sets}

    def _annotation_file(self, name: str) -> Path:
        folder = self.options.root / "annotations"
        for kind in ("instances", "image_info"):
            if (path := folder / f"{kind}_{name}.json").is_file():
                return path
        raise DataError(
            f"COCO not found: there is no annotations/instances_{name}.json",
            where=str(self.options.root),
            fix=f"unpack the annotations ({SOURCE}) there, correct data.root, or name other sets with data.sets, "
            "data.divide or data.year",
        )

    @cached_property
    def _categories(self) -> Mapping[int, str]:
        """Name of each category id."""
        if self.options.categories == "coco":
            return COCO
        files = list(self._files.values())
        for other in files[1:]:
            if other.categories != files[0].categories:
                what = f"its categories differ from those of {files[0].path.name}"
                raise DataError(what, where=str(other.path), fix="make them agree")
        return files[0].categories

    @cached_property
    def _images(self) -> dict[str, tuple[str, CocoImage]]:
        """Image set and image by key."""
        images: dict[str, tuple[str, CocoImage]] = {}
        groups: dict[str, tuple[str, ...]] = {}
        for name, file in self._files.items():
            if self.options.categories == "coco":
                check_is_coco(file.categories, file.path)
            own = {PurePosixPath(image.file_name).stem: (name, image) for image in file.images}
            if len(own) < len(file.images):
                raise DataError("names two pictures that differ in suffix or folder only", where=str(file.path))
            stems = keys_of_stems(own, file.path)
            groups[name] = tuple(stems)
            images |= {key: own[stem] for key, stem in stems.items()}
        check_disjoint(groups, self.options.root / "annotations", "take it out of one of the sets")
        return images

    @cached_property
    def _divided(self) -> dict[str, tuple[str, ...]]:
        """The keys of each split, with and without objects."""
        rule = self.options.divide
        if rule is not None:
            paths = {key: self._folder(name) / image.file_name for key, (name, image) in sorted(self._images.items())}
            return divide(rule, {key: Item(path.stem, path) for key, path in paths.items()}, self.options.root)
        splits: dict[str, list[str]] = {split: [] for split in self.options.image_sets.values() if split is not None}
        for key, (name, _) in self._images.items():
            split = self.options.image_sets[name]
            assert split is not None  # only `divide` leaves it open
            splits[split].append(key)
        return {split: tuple(sorted(keys)) for split, keys in splits.items()}

    @cached_property
    def _left_out(self) -> dict[str, frozenset[str]]:
        """The images of each split that show no object and take no part."""
        rule = self.options.without_objects
        skipped = {split for split in self._divided if rule == "skip" or (rule == "skip_in_train" and split == "train")}
        return {
            split: frozenset(key for key in keys if split in skipped and self._images[key][1].shown == frozenset())
            for split, keys in self._divided.items()
        }

    @cached_property
    def _splits(self) -> dict[str, tuple[str, ...]]:
        return {
            split: tuple(key for key in keys if key not in self._left_out[split])
            for split, keys in self._divided.items()
        }
