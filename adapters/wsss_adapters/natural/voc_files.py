"""Where the files of Pascal VOC 2012 and of SBD lie, and which images their lists name."""

from pathlib import Path
from typing import Final

from wsss_adapters.natural.image_lists import read_list
from wsss_toolkit.errors import DataError

LISTS: Final = Path("ImageSets", "Segmentation")
"""The folder of lists below `VOC2012`."""

PLACES: Final = ("", "VOC2012", "VOCdevkit/VOC2012", "TrainVal/VOCdevkit/VOC2012", "trainval/VOCdevkit/VOC2012")
"""Where `VOC2012` may lie below the root."""

SBD_PLACES: Final = ("", "dataset", "benchmark_RELEASE/dataset")
"""Where SBD's `cls` and lists may lie below its folder."""

AUGMENTED: Final = "SegmentationClassAug"
"""The folder of SBD's masks as PNG, which many keep beside `SegmentationClass`."""

PUBLISHED: Final = {"train": 1464, "trainaug": 10582, "val": 1449, "test": 1456}
"""Number of images in each published list."""

VOC_SOURCE: Final = "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/"
SBD_SOURCE: Final = "http://home.bharathh.info/pubs/codes/SBD/download.html"


def voc_folder(root: Path) -> Path:
    """Return the folder `VOC2012`: the root or one of the usual places in it.

    Raises:
        DataError: If there is none.
    """
    for place in PLACES:
        if (root / place / LISTS / "train.txt").is_file():
            return root / place
    where = "no such folder" if not root.is_dir() else f"Pascal VOC 2012 not found: no {LISTS.as_posix()}/train.txt"
    raise DataError(
        where,
        where=str(root),
        fix=f"unpack VOCtrainval_11-May-2012.tar ({VOC_SOURCE}) there, or set data.root to the folder of VOC2012",
    )


def sbd_folder(sbd: Path) -> Path:
    """Return the folder of SBD's `cls`.

    Raises:
        DataError: If there is none.
    """
    for place in SBD_PLACES:
        if (sbd / place / "cls").is_dir():
            return sbd / place
    raise DataError(
        "SBD not found: there is no folder cls",
        where=str(sbd),
        fix=f"unpack benchmark.tgz ({SBD_SOURCE}) there, or set data.sbd to the folder of cls",
    )


def trainaug_list(voc: Path, sbd: Path | None, given: Path | None) -> tuple[str, ...]:
    """Return the images of `trainaug`: VOC's training images and SBD's, without VOC's validation images.

    They come from the first of: the list given, `ImageSets/Segmentation/trainaug.txt`, SBD's own lists or masks, the
    files of `SegmentationClassAug`.

    Args:
        voc: The folder `VOC2012`.
        sbd: The folder of SBD's `cls`, or None.
        given: A list, or None.

    Raises:
        DataError: If there is none of them, or a list cannot be read.
    """
    own = voc / LISTS / "trainaug.txt"
    if given is not None:
        return read_list(given, fix="correct data.trainaug")
    if own.is_file():
        return read_list(own)
    if sbd is not None:
        extra = _sbd_images(sbd)
    elif (voc / AUGMENTED).is_dir():
        extra = {path.stem for path in (voc / AUGMENTED).glob("*.png")}
    else:
        raise DataError(
            f"`train: trainaug` needs SBD's images: neither {own.name}, {AUGMENTED} nor data.sbd is there",
            where=str(voc),
            fix=f"download SBD ({SBD_SOURCE}) and set data.sbd, put trainaug.txt beside train.txt, or set "
            "data.train to train",
        )
    known = set(read_list(voc / LISTS / "train.txt"))
    return tuple(sorted((extra | known) - set(read_list(voc / LISTS / "val.txt"))))


def _sbd_images(sbd: Path) -> set[str]:
    """Return all images of SBD by its lists, or where there are none by its masks."""
    lists = [sbd / name for name in ("train.txt", "val.txt")]
    if all(path.is_file() for path in lists):
        return {name for path in lists for name in read_list(path)}
    return {path.stem for path in (sbd / "cls").glob("*.mat")}
