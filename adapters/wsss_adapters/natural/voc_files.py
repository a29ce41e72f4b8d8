"""The files of Pascal VOC 2012 and of SBD: where they lie, which images their lists name, annotations and masks."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from wsss_adapters.natural.images import bit_palette, read_list
from wsss_adapters.pictures.decoding import Size, check_there
from wsss_adapters.pictures.masks import encode_mask
from wsss_adapters.xml_text import MOST_BYTES, read_xml
from wsss_toolkit.domain import IGNORE_INDEX
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

OBJECTS: Final = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
"""The twenty classes in the order of mask values 1..20."""

CODES: Final = {code: code for code in (*range(21), IGNORE_INDEX)}

MEANING: Final = "masks of VOC hold 0 (background), 1 to 20 and 255 (void)"

SUBMISSION: Final = Path("results", "VOC2012", "Segmentation", "comp6_test_cls")
"""Where the test server looks for masks of networks that were trained on other data too, such as ImageNet."""


def voc_folder(root: Path) -> Path:
    """Return the folder `VOC2012`: the root or one of the usual places in it.

    Raises:
        DataError: If there is none.
    """
    for place in PLACES:
        if (root / place / LISTS / "train.txt").is_file():
            return root / place
    where = "no such folder" if not root.is_dir() else f"Pascal VOC 2012 not found: no {LISTS.as_posix()}/train.txt"
    fix = f"unpack VOCtrainval_11-May-2012.tar ({VOC_SOURCE}) there, or set data.root to the folder of VOC2012"
    raise DataError(where, where=str(root), fix=fix)


def sbd_folder(sbd: Path) -> Path:
    """Return the folder of SBD's `cls`.

    Raises:
        DataError: If there is none.
    """
    for place in SBD_PLACES:
        if (sbd / place / "cls").is_dir():
            return sbd / place
    fix = f"unpack benchmark.tgz ({SBD_SOURCE}) there, or set data.sbd to the folder of cls"
    raise DataError("SBD not found: there is no folder cls", where=str(sbd), fix=fix)


def trainaug_list(voc: Path, sbd: Path | None, given: Path | None) -> tuple[str, ...]:
    """Return the images of `trainaug`: VOC's training images and SBD's, without VOC's validation images.

    They come from the first of: the list given, `ImageSets/Segmentation/trainaug.txt`, SBD's own lists or masks, the
    files of `SegmentationClassAug`.

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


@dataclass(frozen=True, slots=True)
class Annotation:
    """What an XML file says of its image."""

    size: Size | None
    """Height and width in pixels, None where it is silent."""
    clear: tuple[str, ...]
    """Classes with an object that is not marked as difficult, each once, sorted."""
    difficult: tuple[str, ...]
    """Classes all of whose objects are marked as difficult, sorted."""


def read_annotation(path: Path) -> Annotation:
    """Read an annotation; one without objects shows none.

    Raises:
        DataError: If the file is missing, empty, malformed, has a DOCTYPE (entities can be made to fill the memory), or
            names a class that is none of VOC's.
    """
    check_there(path)
    with path.open("rb") as file:
        tree = read_xml(file.read(MOST_BYTES + 1), str(path))
    if tree.tag != "annotation":
        raise DataError(f"is no annotation of VOC but <{tree.tag}>", where=str(path), fix="unpack it again")
    found: dict[str, bool] = {}
    for element in tree.findall("object"):  # not iter: an object's parts, such as hands, have names too
        name = (element.findtext("name") or "").strip()
        if name not in OBJECTS:
            raise DataError(f"names the class {name!r}, which VOC does not have", where=str(path), fix="correct it")
        difficult = (element.findtext("difficult") or "0").strip()
        if difficult not in ("0", "1"):
            raise DataError(f"says difficult {difficult!r}, not 0 or 1", where=str(path), fix="correct it")
        found[name] = found.get(name, True) and difficult == "1"
    return Annotation(
        _size(tree),
        tuple(sorted(name for name, only_difficult in found.items() if not only_difficult)),
        tuple(sorted(name for name, only_difficult in found.items() if only_difficult)),
    )


def _size(tree: ElementTree.Element) -> Size | None:
    texts = [(tree.findtext(f"size/{side}") or "").strip() for side in ("height", "width")]
    if not all(re.fullmatch(r"[1-9][0-9]{0,6}", text) for text in texts):
        return None
    return int(texts[0]), int(texts[1])


def read_sbd_mask(path: Path, picture: Path, size: Size) -> NDArray[np.uint8]:
    """Read a mask of SBD's `cls`: uint8 `h w`, 0..20; SBD has no void.

    Raises:
        DataError: If the file is missing, damaged, no mask of SBD, of another size than its picture, or holds other
            values.
    """
    from scipy.io import loadmat

    check_there(path)
    try:
        pixels = np.asarray(loadmat(path, squeeze_me=True, variable_names=["GTcls"])["GTcls"]["Segmentation"].item())
    except Exception as error:  # scipy raises many kinds where bytes make no sense
        what = f"is no readable mask of SBD (GTcls.Segmentation): {error}"
        raise DataError(what, where=str(path), fix="unpack benchmark.tgz again") from error
    if pixels.ndim != 2 or pixels.dtype.kind not in "ui":
        what = f"GTcls.Segmentation is {pixels.dtype} {pixels.shape}, not an index mask"
        raise DataError(what, where=str(path), fix="unpack it again")
    return encode_mask(pixels, path, picture, size, CODES, MEANING)


def write_submission_mask(folder: Path, key: str, mask: NDArray[np.uint8]) -> Path:
    """Write a mask as VOC's test server takes it: ``results/VOC2012/Segmentation/comp6_test_cls/KEY.png``.

    Args:
        folder: Of the submission; pack ``results`` as a .tar.gz and upload that.
        key: The image.
        mask: uint8 `h w` of the image's own size, 0..20: the server knows no pixels without a class.

    Returns:
        The file: an 8-bit PNG with VOC's palette and nothing else in it.

    Raises:
        ValueError: If a pixel is no class.
        DataError: If a pixel is 255.
        WsssError: If it cannot be written.
    """
    from PIL import Image

    from wsss_toolkit.files import complete_file

    if mask.dtype != np.uint8 or mask.ndim != 2:
        raise ValueError(f"a mask is uint8 `h w`, got {mask.dtype} {mask.shape}")
    values = set(np.unique(mask).tolist())
    if IGNORE_INDEX in values:
        what = f"the mask of {key!r} has pixels without a class (255), which the test server does not take"
        raise DataError(what, fix="submit masks of the segmentation network, or set pseudo_masks.ignore_below to 0")
    if not values <= set(range(21)):
        raise ValueError(f"the mask of {key!r} holds {sorted(values - set(range(21)))}, which are no classes")
    path = folder / SUBMISSION / f"{key}.png"
    image = Image.fromarray(mask)
    image.putpalette([value for color in bit_palette(256) for value in color])
    with complete_file(path, companions=False) as partial:
        image.save(partial, format="PNG", bits=8)
    return path
