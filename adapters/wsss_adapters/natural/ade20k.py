"""ADE20K as the scene parsing challenge of 2016 published it: 150 classes of things and stuff, no background.

Data card: 20,210 photographs for training, 2,000 for validation, of very different sizes; PNG masks with 0 for whatever
is none of the 150 classes, and 1-150. Nobody has named the classes of whole images: labels are derived from the masks
(`labels: {source: mask_coverage, min_coverage: ...}`), or come from a tag file of your own.
"""

from functools import cached_property
from pathlib import Path
from typing import Annotated, Final

import numpy as np
from numpy.typing import NDArray

from wsss_adapters.natural.images import (
    NaturalImages,
    NaturalOptions,
    bit_palette,
    check_disjoint,
    unknown_image,
    unusual_counts,
)
from wsss_adapters.pictures.decoding import Size
from wsss_adapters.pictures.masks import mask_size, read_mask
from wsss_adapters.pictures.names import by_stem, keys_of_stems, list_pictures
from wsss_toolkit.domain import IGNORE_INDEX, Changes, ClassTable, Fingerprint, fingerprint_of
from wsss_toolkit.domain.table import normal_form
from wsss_toolkit.errors import DataError

LIST: Final = "objectInfo150.txt"
"""The data set's own list: one class a line, its first column the mask value, its last the class's synonyms."""

NAMES: Final = (
    "wall", "building", "sky", "floor", "tree", "ceiling", "road", "bed", "windowpane", "grass", "cabinet",
    "sidewalk", "person", "earth", "door", "table", "mountain", "plant", "curtain", "chair", "car", "water",
    "painting", "sofa", "shelf", "house", "sea", "mirror", "rug", "field", "armchair", "seat", "fence", "desk",
    "rock", "wardrobe", "lamp", "bathtub", "railing", "cushion", "base", "box", "column", "signboard",
    "chest of drawers", "counter", "sand", "sink", "skyscraper", "fireplace", "refrigerator", "grandstand", "path",
    "stairs", "runway", "case", "pool table", "pillow", "screen door", "stairway", "river", "bridge", "bookcase",
    "blind", "coffee table", "toilet", "flower", "book", "hill", "bench", "countertop", "stove", "palm",
    "kitchen island", "computer", "swivel chair", "boat", "bar", "arcade machine", "hovel", "bus", "towel", "light",
    "truck", "tower", "chandelier", "awning", "streetlight", "booth", "television", "airplane", "dirt track",
    "apparel", "pole", "land", "bannister", "escalator", "ottoman", "bottle", "buffet", "poster", "stage", "van",
    "ship", "fountain", "conveyer belt", "canopy", "washer", "plaything", "swimming pool", "stool", "barrel",
    "basket", "waterfall", "tent", "bag", "minibike", "cradle", "oven", "ball", "food", "step", "tank", "trade name",
    "microwave", "pot", "animal", "bicycle", "lake", "dishwasher", "screen", "blanket", "sculpture", "hood", "sconce",
    "vase", "traffic light", "tray", "ashcan", "fan", "pier", "crt screen", "plate", "monitor", "bulletin board",
    "shower", "radiator", "glass", "clock", "flag",
)  # fmt: skip
"""The first synonym of each."""

CLASSES: Final = ClassTable(NAMES, bit_palette(151)[1:])
"""Mask value v of the files is class v - 1; colours are VOC's, which differ for all."""

FOLDERS: Final = {"train": "training", "val": "validation"}
"""What the data set calls the splits."""

PUBLISHED: Final = {"train": 20210, "val": 2000}
"""Number of images in each."""

CODES: Final = {0: IGNORE_INDEX, **{code: code - 1 for code in range(1, len(NAMES) + 1)}}
"""Class index of each mask value; 0 is none of the classes."""

SOURCE: Final = "http://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip"


def check_class_list(path: Path) -> None:
    """Raise a DataError where the data set's own list, if there, has other classes: mask values then mean those."""
    if not path.is_file():
        return
    other = "this is another release than ADEChallengeData2016, whose masks mean other classes; download that one"
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f"cannot be read as text ({error})", where=str(path), fix="unpack it again") from error
    found = {}
    for line in lines:
        columns = [column.strip() for column in line.split("\t")]
        if columns[0].isdecimal():
            found[int(columns[0])] = columns[-1].split(",")[0].strip()
    if len(found) != len(NAMES):
        raise DataError(f"lists {len(found)} classes, not {len(NAMES)}", where=str(path), fix=other)
    for number, name in enumerate(NAMES, start=1):
        if found.get(number) != name:
            raise DataError(f"calls class {number} {found.get(number)!r}, not {name!r}", where=str(path), fix=other)


class Ade20kOptions(NaturalOptions):
    """The `data` section of a recipe for ADE20K."""

    root: Annotated[Path, Changes.NOTHING]
    """The folder `ADEChallengeData2016` of `images` and `annotations`, or the folder that it lies in."""


class Ade20k(NaturalImages):
    """Reads ADE20K; splits `train` and `val`."""

    Options = Ade20kOptions
    options: Ade20kOptions

    @property
    def classes(self) -> ClassTable:
        """The 150 classes, none of which is a background."""
        return CLASSES

    @property
    def notices(self) -> tuple[str, ...]:
        """Whether images are not the published ones; nothing while the data are missing."""
        try:
            splits = self._splits
        except DataError:
            return ()
        counts = unusual_counts(splits, PUBLISHED)
        return (f"Images are not all of ADE20K's: {', '.join(counts)}.",) if counts else ()

    def prepare(self) -> None:
        """Check that every image has its mask and that the classes are this release's; nothing is downloaded."""
        check_class_list(self._root / LIST)
        for split, keys in self._splits.items():
            folder = self._root / "annotations" / FOLDERS[split]
            masks = _pictures(folder)
            names = [normal_form(self.picture(key).stem) for key in keys]
            bare = [name for name in names if name not in masks]
            lone = sorted(masks.keys() - set(names))
            if bare or lone:
                what = f"{len(bare)} of {len(keys)} images have no mask" if bare else f"{len(lone)} masks have no image"
                fix = f"the copy is incomplete; unpack ADEChallengeData2016.zip ({SOURCE}) again"
                raise DataError(f"{what}, {(bare or lone)[0]}.png first", where=str(folder), fix=fix)

    def fingerprint(self) -> Fingerprint:
        """Return the options, the splits and the content of pictures and masks."""
        pictures, masks = map(self.picture, self._pictures), map(self._mask, self._pictures)
        return fingerprint_of(
            self.options, {"splits": self._splits}, roots=[self.options.root], images=pictures, masks=masks
        )

    def picture(self, key: str) -> Path:
        """Return the file of an image."""
        if key not in self._pictures:
            raise unknown_image(key, self.options.root)
        return self._pictures[key][1]

    def stated_size(self, key: str) -> Size | None:
        """Return the size of an image's mask, from its header."""
        return mask_size(self._mask(key))

    def read_mask(self, key: str) -> NDArray[np.uint8]:
        """Read the mask of an image: uint8 `h w`, 0..149, and 255 for what is none of the classes."""
        picture, path = self.picture(key), self._mask(key)
        fix = "masks of ADEChallengeData2016 hold 0 to 150"
        return read_mask(path, picture, self.size(key), CODES, as_stored=True, fix=fix)

    @cached_property
    def _root(self) -> Path:
        root = self.options.root
        for folder in (root, root / "ADEChallengeData2016"):
            if (folder / "images" / "training").is_dir():
                return folder
        what = "ADE20K not found: there is no folder images/training" if root.is_dir() else "no such folder"
        fix = f"unpack ADEChallengeData2016.zip ({SOURCE}) there, or set data.root to the folder that holds it"
        raise DataError(what, where=str(root), fix=fix)

    @cached_property
    def _pictures(self) -> dict[str, tuple[str, Path]]:
        """Split and file of every image."""
        found: dict[str, tuple[str, Path]] = {}
        groups: dict[str, tuple[str, ...]] = {}
        for split, name in FOLDERS.items():
            folder = self._root / "images" / name
            pictures = _pictures(folder)
            if not pictures:
                raise DataError("holds no pictures", where=str(folder), fix="unpack ADEChallengeData2016.zip again")
            keys = keys_of_stems(pictures, folder)
            groups[split] = tuple(keys)
            found |= {key: (split, pictures[stem]) for key, stem in keys.items()}
        check_disjoint(groups, self._root / "images", "delete or rename one of the two pictures")
        return found

    @cached_property
    def _splits(self) -> dict[str, tuple[str, ...]]:
        keys: dict[str, list[str]] = {split: [] for split in FOLDERS}
        for key, (split, _) in self._pictures.items():
            keys[split].append(key)
        return {split: tuple(sorted(names)) for split, names in keys.items()}

    def _mask(self, key: str) -> Path:
        split, picture = self._pictures[key]
        return self._root / "annotations" / FOLDERS[split] / f"{picture.stem}.png"


def _pictures(folder: Path) -> dict[str, Path]:
    """Return the pictures or masks of a folder by name without suffix."""
    if not folder.is_dir():
        raise DataError("no such folder", where=str(folder), fix="unpack ADEChallengeData2016.zip again")
    return by_stem(list_pictures(folder))
