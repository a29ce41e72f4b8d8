import os
import shutil

import numpy as np
import pytest
from fake_natural import SBD_EXTRA, VOC_TEST, VOC_TRAIN, VOC_VAL, read_png, save_palette, voc_mask, write_sbd, write_voc
from PIL import Image

from wsss_adapters.natural.voc import Voc, VocOptions
from wsss_adapters.natural.voc_files import PUBLISHED
from wsss_toolkit.domain.contract import check_adapter
from wsss_toolkit.errors import DataError
from wsss_toolkit.labels.ground_truth import keys_with_truth
from wsss_toolkit.labels.image_labels import derive_labels
from wsss_toolkit.recipe.schema import Labels

NAMES = (
    "background aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person "
    "pottedplant sheep sofa train tvmonitor"
).split()
"""In the order of the development kit's documentation."""


def voc(root, **options):
    return Voc(VocOptions.model_validate({"adapter": "voc", "root": root, **options}))


@pytest.fixture
def tree(tmp_path):
    return write_voc(tmp_path)


@pytest.mark.parametrize("options", [{}, {"train": "train", "test": False}, {"truth": "all", "difficult": "skip"}])
def test_contract(tree, tmp_path, options):
    check_adapter(voc(tree, **options), tmp_path / "masks", images=9, read_written=read_png)


def test_classes_and_colours_are_voc_s():
    classes = voc("nowhere").classes
    assert list(classes.names) == NAMES
    assert classes.background == 0
    known = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 3: (128, 128, 0), 7: (128, 128, 128), 15: (192, 128, 128)}
    assert {index: classes.colors[index] for index in known} == known
    assert classes.colors[20] == (0, 64, 128)


@pytest.mark.parametrize("below", ["", "VOCdevkit", "VOCdevkit/VOC2012"])
def test_root_may_be_voc2012_or_what_holds_it(tree, below):
    assert voc(tree / below).splits()["val"] == tuple(sorted(VOC_VAL))


@pytest.mark.parametrize("source", ["list", "sbd lists", "sbd masks", "png"])
def test_trainaug_is_train_and_sbd_without_val(tmp_path, source):
    write_voc(tmp_path, trainaug=source)
    options = {"sbd": tmp_path / "benchmark_RELEASE"} if source.startswith("sbd") else {}
    adapter = voc(tmp_path, **options)
    adapter.prepare()
    splits = {split: set(keys) for split, keys in adapter.splits().items()}
    assert splits == {"train": {*VOC_TRAIN, *SBD_EXTRA}, "val": {*VOC_VAL}, "test": {*VOC_TEST}}


def test_train_alone_needs_no_sbd(tmp_path):
    adapter = voc(write_voc(tmp_path, trainaug="none"), train="train")
    adapter.prepare()
    assert adapter.splits()["train"] == tuple(sorted(VOC_TRAIN))


def test_missing_sbd_names_all_remedies(tmp_path):
    with pytest.raises(DataError, match=r"needs SBD.*download SBD.*data\.sbd.*trainaug\.txt.*data\.train to train"):
        voc(write_voc(tmp_path, trainaug="none")).splits()


def test_a_given_list_may_name_paths(tree, tmp_path):
    (tmp_path / "aug.txt").write_text(
        "/JPEGImages/2008_000002.jpg /SegmentationClassAug/2008_000002.png\n2007_000032\n2007_000032\n\n"
    )
    assert voc(tree, trainaug=tmp_path / "aug.txt").splits()["train"] == ("2007_000032", "2008_000002")


def test_validation_images_must_not_be_trained_on(tree):
    path = tree / "VOCdevkit/VOC2012/ImageSets/Segmentation/trainaug.txt"
    path.write_text(path.read_text() + "2007_000033\n")
    with pytest.raises(DataError, match="'2007_000033' is in the splits 'train' and 'val'"):
        voc(tree).splits()


def test_masks_are_those_of_voc(tree):
    adapter = voc(tree)
    for key, names in (VOC_TRAIN | VOC_VAL).items():
        assert np.array_equal(adapter.read_mask(key), voc_mask(names)), key
    mask = adapter.read_mask("2007_000032")
    assert set(np.unique(mask)) == {0, 1, 15, 255}
    assert (mask[2:4, 2:14] == 255).all(), "the border around objects is void"


def test_official_truth_leaves_out_images_that_sbd_alone_outlines(tree):
    official, every = voc(tree), voc(tree, truth="all")
    train = official.splits()["train"]
    assert keys_with_truth(official, train) == tuple(sorted(VOC_TRAIN))
    assert keys_with_truth(every, train) == train
    assert all(official.read_mask(key) is None and every.read_mask(key) is None for key in VOC_TEST)


@pytest.mark.parametrize("source", ["sbd lists", "png"])
def test_masks_of_sbd(tmp_path, source):
    write_voc(tmp_path, trainaug=source)
    options = {"sbd": tmp_path / "benchmark_RELEASE"} if source == "sbd lists" else {}
    adapter = voc(tmp_path, truth="all", **options)
    adapter.prepare()
    expected = voc_mask(["boat", "person"])
    if source == "sbd lists":
        expected = np.where(expected == 255, 0, expected)  # SBD has no void
    assert np.array_equal(adapter.read_mask("2008_000007"), expected)
    both = adapter.read_mask("2007_000032")
    assert (both == 255).any(), "VOC's own mask comes before SBD's"


def test_labels_come_from_the_xml_and_not_from_masks(tree):
    shutil.rmtree(tree / "VOCdevkit/VOC2012/SegmentationClass")
    shutil.rmtree(tree / "VOCdevkit/VOC2012/SegmentationClassAug")
    adapter = voc(tree)
    shown = {key: adapter.image_labels(key) for keys in adapter.splits().values() for key in keys}
    assert shown == {
        "2007_000032": ("aeroplane", "person"),
        "2007_000039": ("tvmonitor",),
        "2007_000063": (),
        "2008_000002": ("cat",),
        "2008_000007": ("boat", "person"),
        "2007_000033": ("aeroplane",),
        "2007_000042": ("train",),
        "2008_000006": None,
        "2008_000011": None,
    }


def test_the_core_derives_the_labels(tree):
    labels = derive_labels(voc(tree), Labels(source="dataset"))
    assert set(labels.splits) == {"train", "val"}, "the split test has no labels"
    assert labels.counts("train") == {name: 0 for name in NAMES[1:]} | {
        "aeroplane": 1, "boat": 1, "cat": 1, "person": 2, "tvmonitor": 1,
    }  # fmt: skip
    assert labels.negatives, "an image without objects is an example of absence"


def test_annotations_are_read_once(tree):
    adapter = voc(tree)
    first = adapter.image_labels("2007_000032")
    (tree / "VOCdevkit/VOC2012/Annotations/2007_000032.xml").unlink()
    assert adapter.image_labels("2007_000032") == first


@pytest.mark.parametrize(
    ("name", "cause", "fix"),
    [
        ("JPEGImages/2007_000039.jpg", "1 pictures are missing, 2007_000039.jpg first", "VOCtrainval_11-May-2012.tar"),
        ("Annotations/2008_000002.xml", "1 annotations are missing", "VOCtrainval_11-May-2012.tar"),
        ("SegmentationClass/2007_000033.png", "1 masks are missing", "VOCtrainval_11-May-2012.tar"),
        ("JPEGImages/2008_000006.jpg", "pictures of the split 'test' are missing", "data.test to false"),
        ("SegmentationClassAug/2008_000002.png", "masks of SBD are missing", "data.sbd, or set data.truth to official"),
    ],
)
def test_incomplete_copies_are_named(tree, name, cause, fix):
    (tree / "VOCdevkit/VOC2012" / name).unlink()
    with pytest.raises(DataError) as refused:
        voc(tree, truth="all").prepare()
    assert cause in str(refused.value) and fix in str(refused.value)


def test_a_missing_root_names_both_remedies(tmp_path):
    with pytest.raises(DataError, match=r"nowhere: no such folder; unpack VOCtrainval.*or set data\.root"):
        voc(tmp_path / "nowhere").prepare()
    with pytest.raises(DataError, match=r"no ImageSets/Segmentation/train\.txt; unpack VOCtrainval"):
        voc(tmp_path).prepare()
    assert voc(tmp_path / "nowhere").notices == ()


def test_a_wrong_sbd_folder_is_named(tree):
    with pytest.raises(DataError, match=r"SBD not found: there is no folder cls; unpack benchmark\.tgz"):
        voc(tree, sbd=tree).splits()


def test_notices_say_that_lists_are_not_the_published_ones(tree, monkeypatch):
    assert "5 in train instead of 10582" in voc(tree).notices[0]
    monkeypatch.setattr("wsss_adapters.natural.voc_files.PUBLISHED", {"trainaug": 5, "train": 3, "val": 2, "test": 2})
    assert voc(tree).notices == ()
    assert voc(tree, train="train").notices == ()
    assert "SBD's masks" in voc(tree, truth="all").notices[0]
    assert PUBLISHED == {"train": 1464, "trainaug": 10582, "val": 1449, "test": 1456}


def test_an_image_that_a_list_names_twice_is_one_image(tree):
    path = tree / "VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt"
    path.write_text("2007_000033\n2007_000042\n2007_000033\nJPEGImages/2007_000042.jpg\n")
    assert voc(tree).splits()["val"] == ("2007_000033", "2007_000042")


def test_lists_are_checked(tree):
    path = tree / "VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt"
    path.write_text("\n")
    with pytest.raises(DataError, match=r"val\.txt: the list is empty"):
        voc(tree).splits()
    path.write_text("2007_000033\n'late'\n")
    with pytest.raises(DataError, match=r"val\.txt:2: \"'late'\" is no image name"):
        voc(tree).splits()
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"val\.txt: cannot be read as text"):
        voc(tree).splits()
    path.unlink()
    with pytest.raises(DataError, match=r"val\.txt: no such list"):
        voc(tree).splits()


@pytest.mark.parametrize("damage", ["code", "colours", "size", "empty", "truncated", "jpeg"])
def test_damaged_masks_are_named(tree, damage):
    path = tree / "VOCdevkit/VOC2012/SegmentationClass/2007_000032.png"
    mask = voc_mask(VOC_TRAIN["2007_000032"])
    match damage:
        case "code":
            mask[0, 0], mask[0, 1] = 21, 254
            save_palette(path, mask)
            expected = r"unknown label codes 21, 254; masks of VOC hold 0 \(background\), 1 to 20 and 255 \(void\)"
        case "colours":
            Image.fromarray(np.dstack([mask, mask, mask + 1])).save(path)
            expected = "has colours; masks hold one number for each pixel"
        case "size":
            save_palette(path, mask[:-1])
            expected = "is 19 x 30 pixels, its picture 20 x 30"
        case "empty":
            path.write_bytes(b"")
            expected = r"is empty \(0 bytes\)"
        case "truncated":
            path.write_bytes(path.read_bytes()[:60])
            expected = "truncated or damaged"
        case "jpeg":
            shutil.copy(tree / "VOCdevkit/VOC2012/JPEGImages/2007_000032.jpg", path)
            expected = "masks cannot be JPEG"
    with pytest.raises(DataError, match=rf"2007_000032\.png: .*{expected}"):
        voc(tree).read_mask("2007_000032")


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_grey_masks_of_few_bits_keep_their_values(tree, bits):
    mask = (voc_mask(["aeroplane"]) == 1).astype(np.uint8)
    path = tree / "VOCdevkit/VOC2012/SegmentationClass/2007_000033.png"
    Image.fromarray(mask * (255 // (2**bits - 1))).convert("1" if bits == 1 else "L").save(path, bits=bits)
    if bits > 1:
        write_grey_of(path, mask, bits)
    assert np.array_equal(voc(tree).read_mask("2007_000033"), mask)


def write_grey_of(path, mask, bits):
    """Write a grey PNG with 2 or 4 bits per pixel, which Pillow does not write by itself."""
    import struct
    import zlib

    rows = []
    for row in mask:
        levels = "".join(format(int(value), f"0{bits}b") for value in row)
        levels += "0" * (-len(levels) % 8)
        rows.append(b"\0" + bytes(int(levels[i : i + 8], 2) for i in range(0, len(levels), 8)))
    content = b"\x89PNG\r\n\x1a\n"
    head = struct.pack(">IIBBBBB", mask.shape[1], mask.shape[0], bits, 0, 0, 0, 0)
    for name, data in ((b"IHDR", head), (b"IDAT", zlib.compress(b"".join(rows))), (b"IEND", b"")):
        content += struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    path.write_bytes(content)


@pytest.mark.parametrize("damage", ["other", "code", "text", "shape"])
def test_damaged_masks_of_sbd_are_named(tmp_path, damage):
    write_voc(tmp_path, trainaug="sbd lists")
    adapter = voc(tmp_path, truth="all", sbd=tmp_path / "benchmark_RELEASE/dataset")
    path = tmp_path / "benchmark_RELEASE/dataset/cls/2008_000002.mat"
    match damage:
        case "other":
            from scipy.io import savemat

            savemat(path, {"GTinst": 1})
            expected = "is no readable mask of SBD"
        case "code":
            write_sbd(path, np.full((20, 30), 21, np.uint8))
            expected = "unknown label codes 21"
        case "text":
            path.write_text("no MATLAB")
            expected = "is no readable mask of SBD"
        case "shape":
            write_sbd(path, np.zeros((20, 30), np.float64))
            expected = "is float64"
    with pytest.raises(DataError, match=rf"2008_000002\.mat: .*{expected}"):
        adapter.read_mask("2008_000002")


def test_fingerprint_follows_files_and_options(tree):
    first = voc(tree).fingerprint()
    assert first == voc(tree).fingerprint()
    assert first != voc(tree, difficult="skip").fingerprint()
    for name, images in (
        ("JPEGImages/2007_000039.jpg", True),
        ("Annotations/2008_000002.xml", True),
        ("SegmentationClass/2007_000033.png", False),
    ):
        path, before = tree / "VOCdevkit/VOC2012" / name, voc(tree).fingerprint()
        os.utime(path, ns=(1, 1))
        assert voc(tree).fingerprint() == before, "a touched file is the same file"
        path.write_bytes(path.read_bytes() + b" ")
        after = voc(tree).fingerprint()
        assert (after.images != before.images, after.masks != before.masks) == (images, not images), name
