"""Pascal VOC 2012 with SBD: photographs with twenty kinds of objects and background.

Data card: 1,464 images for training, 1,449 for validation, 1,456 for testing (truth on the organisers' server only);
`trainaug` adds 9,118 images that SBD (Hariharan et al., 2011) outlines. Labels of whole images come from
`Annotations/*.xml`, which name every object. Masks: 0 background, 1-20 objects, 255 the border around objects.
"""

from functools import cached_property
from pathlib import Path
from typing import Annotated, Final, Literal

import numpy as np
from numpy.typing import NDArray

from wsss_adapters.natural import voc_files
from wsss_adapters.natural.images import (
    NaturalImages,
    NaturalOptions,
    bit_palette,
    check_disjoint,
    check_present,
    read_list,
    unknown_image,
    unusual_counts,
)
from wsss_adapters.pictures.decoding import Size
from wsss_adapters.pictures.masks import mask_size, read_mask
from wsss_adapters.pictures.names import keys_of_stems
from wsss_adapters.pictures.png_mask import check_mask_size
from wsss_toolkit.domain import Changes, ClassTable, Fingerprint, fingerprint_of
from wsss_toolkit.errors import DataError

CLASSES: Final = ClassTable(("background", *voc_files.OBJECTS), bit_palette(21), background=0)


class VocOptions(NaturalOptions):
    """The `data` section of a recipe for Pascal VOC 2012."""

    root: Annotated[Path, Changes.NOTHING]
    """The folder `VOC2012`, or one that holds it or `VOCdevkit/VOC2012`."""
    train: Literal["trainaug", "train"] = "trainaug"
    """Images of the split `train`: `trainaug` are VOC's and SBD's (10,582), `train` VOC's alone (1,464)."""
    trainaug: Annotated[Path | None, Changes.NOTHING] = None  # its splits are part of the fingerprint
    """A list of the images of `trainaug`; null takes `trainaug.txt` beside `train.txt`, else SBD's images."""
    sbd: Annotated[Path | None, Changes.NOTHING] = None
    """SBD's folder `dataset` (of `cls/*.mat`) or one that holds it, for its list and its masks; null does without."""
    truth: Annotated[Literal["official", "all"], Changes.TRUTH] = "official"
    """Which training images have truth to score against: `official` are VOC's 1,464, as in published figures; `all`
    are SBD's too. Validation images always have VOC's."""
    difficult: Literal["keep", "skip"] = "keep"
    """Whether a class is present in an image whose only objects of it are marked as difficult."""
    test: bool = True
    """Offer the split `test`, where `test.txt` is there; its images have neither labels nor masks."""


class Voc(NaturalImages):
    """Reads Pascal VOC 2012; splits `train`, `val` and, where its list is there, `test`."""

    Options = VocOptions
    options: VocOptions

    def __init__(self, options: VocOptions) -> None:
        super().__init__(options)
        self._annotations: dict[str, voc_files.Annotation] = {}

    @property
    def classes(self) -> ClassTable:
        """Background and the twenty objects, in VOC's colours."""
        return CLASSES

    @property
    def notices(self) -> tuple[str, ...]:
        """Whether lists are not the published ones, or masks of SBD are scored; nothing while the data are missing."""
        try:
            splits = self._splits
        except DataError:
            return ()
        counts = unusual_counts(splits, {**voc_files.PUBLISHED, "train": voc_files.PUBLISHED[self.options.train]})
        other = (f"Image lists are not VOC 2012's: {', '.join(counts)}.",) if counts else ()
        outlined = ("Training images outside VOC's 1,464 are scored on SBD's masks, which have no void border.",)
        return other + (outlined if self.options.truth == "all" and self.options.train == "trainaug" else ())

    def prepare(self) -> None:
        """Check that every listed image has its files; nothing is downloaded."""
        voc, splits = self._voc, {split: [self._names[key] for key in keys] for split, keys in self._splits.items()}
        again = f"the copy is incomplete; unpack VOCtrainval_11-May-2012.tar ({voc_files.VOC_SOURCE}) again"
        labelled = [key for split in ("train", "val") for key in splits[split]]
        check_present(labelled, voc / "JPEGImages", ".jpg", "pictures", again)
        check_present(labelled, voc / "Annotations", ".xml", "annotations", again)
        check_present(
            sorted(map(self._names.__getitem__, self._official)), voc / "SegmentationClass", ".png", "masks", again
        )
        fix = f"unpack VOC2012test.tar ({voc_files.VOC_SOURCE}) into the same folder, or set data.test to false"
        check_present(splits.get("test", ()), voc / "JPEGImages", ".jpg", "pictures of the split 'test'", fix)
        if self.options.truth == "all":
            self._check_sbd()

    def fingerprint(self) -> Fingerprint:
        """Return the options, the splits and the content of pictures, annotations and masks."""
        labelled = [key for key, split in self._keys.items() if split != "test"]
        annotations = (self._voc / "Annotations" / f"{self._names[key]}.xml" for key in labelled)
        return fingerprint_of(
            self.options,
            {"splits": self._splits},
            roots=[self._voc, *filter(None, [self._sbd])],
            images=[*map(self.picture, self._keys), *annotations],
            masks=filter(None, map(self._mask, labelled)),
        )

    def picture(self, key: str) -> Path:
        """Return the JPEG of an image."""
        if key not in self._keys:
            raise unknown_image(key, self.options.root)
        return self._voc / "JPEGImages" / f"{self._names[key]}.jpg"

    def stated_size(self, key: str) -> Size | None:
        """Return the size of an image's mask, else the size in its XML."""
        for folder in ("SegmentationClass", voc_files.AUGMENTED):
            size = mask_size(self._voc / folder / f"{self._names[key]}.png")
            if size is not None:
                return size
        path = self._voc / "Annotations" / f"{self._names[key]}.xml"
        return voc_files.read_annotation(path).size if path.is_file() else None

    def image_labels(self, key: str) -> tuple[str, ...] | None:
        """Return the classes of an image's objects by its XML, which is read once; None for the split `test`."""
        if self._keys.get(key) == "test":
            return None
        self.picture(key)
        if key not in self._annotations:
            self._annotations[key] = voc_files.read_annotation(self._voc / "Annotations" / f"{self._names[key]}.xml")
        annotation = self._annotations[key]
        difficult = annotation.difficult if self.options.difficult == "keep" else ()
        return tuple(sorted({*annotation.clear, *difficult}))

    def read_mask(self, key: str) -> NDArray[np.uint8] | None:
        """Read the mask of an image: uint8 `h w`, 0..20 and 255.

        None for `test`, and under `truth: official` for training images that SBD alone outlines.
        """
        picture = self.picture(key)
        path = self._mask(key)
        if path is None:
            return None
        if path.suffix == ".mat":
            return voc_files.read_sbd_mask(path, picture, self.size(key))
        return read_mask(path, picture, self.size(key), voc_files.CODES, as_stored=True, fix=voc_files.MEANING)

    def write_submission(self, folder: Path, key: str, mask: NDArray[np.uint8]) -> Path:
        """Write the mask of a test image as VOC's server takes it, see `voc_files.write_submission_mask`.

        Raises:
            ValueError: If the mask has another size than the image, or holds what is no class.
            DataError: If there is no such image, or pixels of the mask have no class.
            WsssError: If it cannot be written.
        """
        check_mask_size(key, self.size(key), mask)
        return voc_files.write_submission_mask(folder, self._names[key], mask)

    @cached_property
    def _voc(self) -> Path:
        return voc_files.voc_folder(self.options.root)

    @cached_property
    def _sbd(self) -> Path | None:
        return None if self.options.sbd is None else voc_files.sbd_folder(self.options.sbd)

    @cached_property
    def _official(self) -> frozenset[str]:
        """The training and validation images that VOC outlines itself."""
        listed = {key for split in ("train", "val") for key in read_list(self._voc / voc_files.LISTS / f"{split}.txt")}
        return frozenset(key for key in self._keys if self._names[key] in listed)

    @cached_property
    def _keys(self) -> dict[str, str]:
        """The split of every image."""
        return {key: split for split, keys in self._splits.items() for key in keys}

    @cached_property
    def _splits(self) -> dict[str, tuple[str, ...]]:
        keys = {name: key for key, name in self._names.items()}
        return {split: tuple(sorted(keys[name] for name in names)) for split, names in self._listed.items()}

    @cached_property
    def _listed(self) -> dict[str, tuple[str, ...]]:
        """The names of each split's images."""
        lists, options = self._voc / voc_files.LISTS, self.options
        if options.train == "trainaug":
            train = voc_files.trainaug_list(self._voc, self._sbd, options.trainaug)
        else:
            train = read_list(lists / "train.txt")
        fix = f"unpack VOCtrainval_11-May-2012.tar ({voc_files.VOC_SOURCE}) again"
        splits = {"train": train, "val": read_list(lists / "val.txt", fix)}
        if options.test and (lists / "test.txt").is_file():
            splits["test"] = read_list(lists / "test.txt")
        check_disjoint(splits, lists, "take it out of one of the lists: trainaug is without VOC's validation images")
        return splits

    @cached_property
    def _names(self) -> dict[str, str]:
        """The name of every image, without suffix, by its key."""
        return keys_of_stems((name for names in self._listed.values() for name in names), self._voc / voc_files.LISTS)

    def _mask(self, key: str) -> Path | None:
        """Return the file of an image's truth: VOC's own mask before SBD's; None where there is none to use."""
        if key in self._official:
            return self._voc / "SegmentationClass" / f"{self._names[key]}.png"
        if self._keys[key] == "test" or self.options.truth == "official":
            return None
        if self._sbd is not None:
            return self._sbd / "cls" / f"{self._names[key]}.mat"
        return self._voc / voc_files.AUGMENTED / f"{self._names[key]}.png"

    def _check_sbd(self) -> None:
        """Check that training images that VOC does not outline have a mask of SBD."""
        extra = [self._names[key] for key in self._splits["train"] if key not in self._official]
        fix = f"download SBD ({voc_files.SBD_SOURCE}) and set data.sbd, or set data.truth to official"
        folder, suffix = (self._voc / voc_files.AUGMENTED, ".png") if self._sbd is None else (self._sbd / "cls", ".mat")
        check_present(extra, folder, suffix, "masks of SBD", fix)
