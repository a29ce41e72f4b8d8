"""What a folder holds, by the recipe's options: pictures, classes, labels, splits and crops, each looked up once."""

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

from wsss_adapters.folder.class_names import distinct_tags, folder_classes, folder_labels, refuse_too_many
from wsss_adapters.folder.options import FolderOptions
from wsss_adapters.folder.picture_files import Picture, matching_pictures, with_masks
from wsss_adapters.folder.tag_table import TagTable
from wsss_adapters.geotiff.sites import crop_windows
from wsss_adapters.pictures.masks import check_size, mask_size
from wsss_adapters.pictures.names import name_below, safe_keys
from wsss_adapters.pictures.reading import Header, common_sensor, read_header
from wsss_adapters.splits.divide import Item, divide
from wsss_adapters.tables.tagged_pictures import refuse_unknown, untagged
from wsss_toolkit.domain import ClassTable, Sensor, Window
from wsss_toolkit.domain.table import normal_form
from wsss_toolkit.domain.tags import Tags
from wsss_toolkit.errors import DataError

Place = tuple[Picture, Window | None]
"""What a key stands for: a picture, or a window of one."""


class PictureIndex:
    """Everything about a folder but pixels; nothing is read before it is asked for.

    Each property raises DataError where the data do not fit the options.
    """

    def __init__(self, options: FolderOptions) -> None:
        self.options = options
        self.tags = TagTable(options)

    @cached_property
    def pictures(self) -> dict[str, Picture]:
        """All pictures by key, sorted."""
        options = self.options
        if not options.root.is_dir():
            fix = "set data.root, e.g. with --set data.root=DIR"
            raise DataError("no such folder", where=str(options.root), fix=fix)
        found: dict[str, Picture] = {}
        for split, folder in (options.splits.folders or {"": ""}).items():
            found |= {picture.name: picture for picture in self._in_folder(split, folder)}
        keys = safe_keys(found)
        return {key: replace(found[name], key=key) for key, name in sorted((key, name) for name, key in keys.items())}

    def _in_folder(self, split: str, folder: str) -> Iterator[Picture]:
        """Find the pictures of one split's folder, or of all, and their masks."""
        options = self.options
        pattern = options.images.replace("{split}", folder)
        masks = None if options.masks is None else options.root / options.masks.replace("{split}", folder)
        base, paths = matching_pictures(options.root, pattern, without=masks)
        if options.mask_suffix:  # masks may lie among the pictures
            stems = {path.with_suffix("") for path in paths}
            paths = [path for path in paths if not _is_mask(path, options.mask_suffix, stems)]
        named = {name_below(path, base): path for path in paths}
        if len(named) < len(paths):
            raise DataError("two names differ in their Unicode form only", where=str(base), fix="rename one of them")
        drawn = dict(with_masks(named, masks, options.mask_suffix, where=str(base))) if masks is not None else {}
        for name, path in named.items():
            first, slash, _ = name.partition("/")
            shown = f"{split}/{name}" if split else name
            yield Picture("", path, shown, split, first if slash else None, drawn.get(name))

    @cached_property
    def headers(self) -> dict[str, Header]:
        """The headers of all pictures by key."""
        return {key: read_header(picture.path) for key, picture in self.pictures.items()}

    @property
    def headers_read(self) -> dict[str, Header]:
        """The headers by the pictures' names, once `headers` have been read; it reads nothing itself."""
        return {self.pictures[key].name: header for key, header in vars(self).get("headers", {}).items()}

    @property
    def turned_beside_masks(self) -> tuple[str, ...]:
        """Names of pictures with masks that EXIF turns, once `headers` have been read; it reads nothing itself."""
        read: dict[str, Header] = vars(self).get("headers", {})
        masked = ((self.pictures[key], header) for key, header in read.items() if header.turned)
        return tuple(picture.name for picture, _ in masked if picture.mask)

    @cached_property
    def masks_fit(self) -> bool:
        """True: the masks of all splits are as large as their pictures, as far as headers say."""
        for key in (key for keys in self.splits.values() for key in keys):
            header, picture = self.headers[key], self.pictures[key]
            if picture.mask is not None:
                size = header.height, header.width
                check_size(mask_size(picture.mask, size), picture.mask, size, picture.path)
        return True

    @cached_property
    def sensor(self) -> Sensor:
        """The one sensor of all pictures."""
        named = {self.pictures[key].name: header for key, header in self.headers.items()}
        return common_sensor(named, self.options.root)

    @cached_property
    def classes(self) -> ClassTable:
        """The classes of the recipe, else those of the tags or the class folders, sorted."""
        options = self.options
        if options.classes is not None:
            return options.table()
        where = str(options.root / (options.tags or options.images))
        if self.tags.path is not None:
            names = distinct_tags(self.tags.rows, self.tags.path)
        else:
            names = folder_classes(self.pictures.values(), options.negatives)
        if not names:
            fix = "put the pictures of each class into a folder of its own"
            raise DataError("no folder is that of a class", where=where, fix=fix)
        refuse_too_many(len({*names, options.background} - {None}), where)
        return options.table(names)

    @cached_property
    def _tagged(self) -> dict[str, Tags]:
        """What the table says, by the names of pictures."""
        return self.tags.by_picture(self.pictures.values())

    @property
    def _tagged_keys(self) -> dict[str, Tags]:
        """What the table says, by the keys of pictures."""
        return {key: self._tagged[p.name] for key, p in self.pictures.items() if p.name in self._tagged}

    @cached_property
    def labels(self) -> dict[str, tuple[str, ...]]:
        """The classes of pictures by key; empty without tags and class folders."""
        options, pictures, classes = self.options, self.pictures, self.classes.label_names
        by_name: dict[str, tuple[str, ...]] = {}
        if options.class_folders:
            by_name = folder_labels(pictures.values(), classes, options.negatives)
        elif self.tags.path is not None:
            names = [picture.name for picture in pictures.values()]
            spelled = {normal_form(name): name for name in classes}
            refuse_unknown(self._tagged.values(), spelled)
            by_name = {name: tuple(spelled[label] for label in row.classes) for name, row in self._tagged.items()}
            if options.untagged == "refuse" and (error := untagged(names, by_name, self.tags.path)):
                raise error
        return {key: by_name[picture.name] for key, picture in pictures.items() if picture.name in by_name}

    @cached_property
    def splits(self) -> dict[str, tuple[str, ...]]:
        """The pictures of each split, as its rule says; those without a tag are in none."""
        options, labels = self.options, self.labels
        used = {key: picture for key, picture in self.pictures.items() if options.tags is None or key in labels}
        items = {
            # Their labels spread classes evenly over the splits.
            key: Item(p.path.stem, p.path, p.path.parent.name, ";".join(labels.get(key, ("",))), p.split)
            for key, p in used.items()
        }
        placed = self.tags.splits({key: row for key, row in self._tagged_keys.items() if key in used})
        rule = self.tags.split_rule
        return divide(rule, items, options.root, table=lambda: self.tags.columns(self._tagged_keys), placed=placed)

    @cached_property
    def places(self) -> dict[str, Place]:
        """What each key stands for: all pictures, and the crops of those that are in a split."""
        places: dict[str, Place] = {key: (picture, None) for key, picture in self.pictures.items()}
        places |= {key: place for crops in self._crops.values() for key, place in crops.items()}
        if len({key.casefold() for key in places}) < len(self.pictures) + sum(map(len, self._crops.values())):
            raise DataError("a picture is named as a crop of another", where=str(self.options.root), fix="rename it")
        return places

    @cached_property
    def split_keys(self) -> dict[str, tuple[str, ...]]:
        """The keys of each split: pictures, or their crops."""
        if self.options.crop is None:
            return self.splits
        return {split: tuple(sorted(crops)) for split, crops in self._crops.items()}

    @cached_property
    def _crops(self) -> dict[str, dict[str, Place]]:
        """The crops of each split by key."""
        side = self.options.crop
        if side is None:
            return {}
        found: dict[str, dict[str, Place]] = {}
        for split, keys in self.splits.items():
            number = self.options.crops_per_image if split == "train" else None
            found[split] = {}
            for key in keys:
                header, picture = self.headers[key], self.pictures[key]
                crops = dict(crop_keys(key, header.height, header.width, side, number))
                if not crops:
                    what = f"is {header.height} x {header.width} pixels, smaller than data.crop = {side}"
                    raise DataError(what, where=str(picture.path), fix="lower data.crop or move the picture away")
                found[split] |= {crop: (picture, window) for crop, window in crops.items()}
        return found


def _is_mask(path: Path, suffix: str, stems: Collection[Path]) -> bool:
    """Return whether a file is the mask of another by its suffix; `stems` are all files without theirs."""
    return path.stem.endswith(suffix) and path.with_name(path.stem.removesuffix(suffix)) in stems


def crop_keys(key: str, height: int, width: int, side: int, number: int | None) -> Iterator[tuple[str, Window]]:
    """Yield the crops of a picture, squares of `side` pixels, with their keys ``KEY_r000_c112``.

    They are all of a grid, or a `number` at random places, which depend on nothing but the picture's key. A picture
    that is smaller than a crop has none.
    """
    windows = crop_windows(height, width, side) if number is None else _drawn(key, height, width, side, number)
    for window in windows:
        yield f"{key}_r{window.row:03d}_c{window.column:03d}", window


def _drawn(key: str, height: int, width: int, side: int, number: int) -> Iterator[Window]:
    """Draw different places, as many as there are."""
    rows, columns = height - side + 1, width - side + 1
    if rows < 1 or columns < 1:
        return
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")
    drawn = np.random.default_rng(seed).choice(rows * columns, size=min(number, rows * columns), replace=False)
    for place in sorted(int(place) for place in drawn):
        yield Window(place // columns, place % columns, side, side)
