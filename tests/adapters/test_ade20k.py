import os
import shutil

import numpy as np
import pytest
from fake_natural import ADE, ade_mask, exif_photo, read_png, save_palette, save_photo, write_ade
from PIL import Image

from wsss_adapters.natural.ade20k import CLASSES, CODES, NAMES, PUBLISHED, Ade20k, Ade20kOptions
from wsss_toolkit.domain import ChannelTable, Sensor
from wsss_toolkit.domain.contract import check_adapter
from wsss_toolkit.errors import DataError
from wsss_toolkit.labels.image_labels import derive_labels
from wsss_toolkit.recipe.schema import Labels

RGB = ChannelTable((Sensor("rgb", ("R", "G", "B")),))


def ade(root):
    return Ade20k(Ade20kOptions.model_validate({"adapter": "ade20k", "root": root}))


@pytest.fixture
def tree(tmp_path):
    return write_ade(tmp_path)


@pytest.fixture
def folder(tree):
    return tree / "ADEChallengeData2016"


def test_contract(tree, tmp_path):
    check_adapter(ade(tree), tmp_path / "masks", images=9, read_written=read_png)


def test_classes():
    assert len(NAMES) == 150 and CLASSES.background is None
    known = {0: "wall", 1: "building", 12: "person", 58: "screen door", 99: "buffet", 130: "screen", 149: "flag"}
    assert {index: NAMES[index] for index in known} == known
    assert len(set(CLASSES.colors)) == 150 and (0, 0, 0) not in CLASSES.colors


def test_mask_values_are_shifted_and_0_is_void(tree):
    adapter = ade(tree)
    for images in ADE.values():
        for key, codes in images.items():
            stored = ade_mask(codes).astype(int)
            assert np.array_equal(adapter.read_mask(key), np.where(stored == 0, 255, stored - 1)), key
    assert CODES[0] == 255 and CODES[1] == 0 and CODES[150] == 149 and len(CODES) == 151


def test_splits(tree):
    adapter = ade(tree)
    adapter.prepare()
    assert adapter.splits() == {"train": tuple(ADE["training"]), "val": tuple(ADE["validation"])}
    assert ade(tree / "ADEChallengeData2016").splits() == adapter.splits()


def test_labels_come_from_coverage_with_the_minimum_stated(tree):
    labels = derive_labels(ade(tree), Labels(source="mask_coverage", min_coverage=0.4))
    assert labels.provenance["min_coverage"] == 0.4
    shown = {
        key: [name for name, on in zip(labels.classes, row, strict=True) if on] for key, row in labels.present.items()
    }
    assert shown == {
        "ADE_train_00000001": ["wall", "flag"],  # each half of the labelled pixels
        "ADE_train_00000002": ["building", "sky"],
        "ADE_train_00000003": [],  # nothing but 0
        "ADE_val_00000001": [],  # a third each
        "ADE_val_00000002": ["flag"],
    }
    lower = derive_labels(ade(tree), Labels(source="mask_coverage", min_coverage=0.3))
    assert sum(lower.present["ADE_val_00000001"]) == 3
    assert not labels.negatives, "an image without a class is no example: there is no background"


def test_the_data_set_has_no_labels_of_its_own(tree):
    with pytest.raises(DataError, match="knows no image-level labels"):
        derive_labels(ade(tree), Labels(source="dataset"))


OFFICIAL = "Idx\tRatio\tTrain\tVal\tName\n" + "".join(
    f"{number} \t0.1\t10\t1\t{name}, another word \n" for number, name in enumerate(NAMES, start=1)
)


def test_the_data_set_s_own_list_is_compared(tree, folder):
    (folder / "objectInfo150.txt").write_text(OFFICIAL)
    ade(tree).prepare()
    (folder / "objectInfo150.txt").write_text(OFFICIAL.replace("windowpane", "window"))
    with pytest.raises(DataError, match="calls class 9 'window', not 'windowpane'; this is another release"):
        ade(tree).prepare()
    (folder / "objectInfo150.txt").write_text(OFFICIAL[: len(OFFICIAL) // 2])
    with pytest.raises(DataError, match=r"objectInfo150\.txt: lists \d+ classes, not 150"):
        ade(tree).prepare()


@pytest.mark.parametrize("damage", ["code", "colours", "16 bit", "size", "empty", "truncated"])
def test_damaged_masks_are_named(tree, folder, damage):
    path = folder / "annotations/training/ADE_train_00000001.png"
    mask = ade_mask((0, 1, 150))
    match damage:
        case "code":
            mask[0, :2] = 151, 255
            Image.fromarray(mask).save(path)
            expected = "unknown label codes 151, 255; masks of ADEChallengeData2016 hold 0 to 150"
        case "colours":
            Image.fromarray(np.dstack([mask, mask, mask + 1])).save(path)
            expected = "has colours; masks hold one number for each pixel"
        case "16 bit":
            Image.fromarray(mask.astype(np.uint16) + 256).save(path)
            expected = "unknown label codes 256, 257, 406"
        case "size":
            Image.fromarray(mask[:, :-1].copy()).save(path)
            expected = "is 18 x 23 pixels, its picture 18 x 24"
        case "empty":
            path.write_bytes(b"")
            expected = "is empty"
        case "truncated":
            path.write_bytes(path.read_bytes()[:50])
            expected = "truncated or damaged"
    with pytest.raises(DataError, match=rf"00000001\.png: .*{expected}"):
        ade(tree).read_mask("ADE_train_00000001")


def test_palette_masks_are_read_by_index(tree, folder):
    save_palette(folder / "annotations/training/ADE_train_00000001.png", ade_mask((0, 1, 150)))
    assert set(np.unique(ade(tree).read_mask("ADE_train_00000001"))) == {0, 149, 255}


def test_incomplete_copies_are_named(tree, folder):
    (folder / "annotations/training/ADE_train_00000002.png").unlink()
    with pytest.raises(DataError, match=r"1 of 3 images have no mask, ADE_train_00000002\.png first; .*unpack"):
        ade(tree).prepare()
    shutil.copy(folder / "annotations/training/ADE_train_00000001.png", folder / "annotations/training/other.png")
    shutil.copy(
        folder / "annotations/training/ADE_train_00000001.png",
        folder / "annotations/training/ADE_train_00000002.png",
    )
    with pytest.raises(DataError, match=r"1 masks have no image, other\.png first"):
        ade(tree).prepare()
    shutil.rmtree(folder / "annotations/validation")
    (folder / "annotations/training/other.png").unlink()
    with pytest.raises(DataError, match=r"annotations/validation: no such folder"):
        ade(tree).prepare()
    shutil.rmtree(folder / "images/validation")
    with pytest.raises(DataError, match=r"images/validation: no such folder"):
        ade(tree).splits()


def test_a_missing_root_names_both_remedies(tmp_path):
    with pytest.raises(
        DataError, match=r"nowhere: no such folder; unpack ADEChallengeData2016\.zip.*or set data\.root"
    ):
        ade(tmp_path / "nowhere").prepare()
    with pytest.raises(DataError, match=r"no folder images/training; unpack ADEChallengeData2016\.zip"):
        ade(tmp_path).prepare()
    assert ade(tmp_path / "nowhere").notices == ()


def test_the_same_image_twice_is_named(tree, folder):
    save_photo(folder / "images/training/ADE_train_00000001.png", (18, 24))
    with pytest.raises(
        DataError, match=r"ADE_train_00000001\.jpg and ADE_train_00000001\.png have the same name but for suffix"
    ):
        ade(tree).splits()
    (folder / "images/training/ADE_train_00000001.png").unlink()
    shutil.copy(folder / "images/training/ADE_train_00000001.jpg", folder / "images/validation/ADE_train_00000001.jpg")
    with pytest.raises(DataError, match="'ADE_train_00000001' is in the splits 'train' and 'val'"):
        ade(tree).splits()


def test_exif_rotation_follows_the_mask_s_size(tree, folder):
    exif_photo(folder / "images/training/ADE_train_00000001.jpg", (18, 24), 6)
    exif_photo(folder / "images/training/ADE_train_00000002.jpg", (24, 18), 8)
    assert [ade(tree).read(key, RGB).size for key in ("ADE_train_00000001", "ADE_train_00000002")] == [(18, 24)] * 2


def test_notices_count_what_is_missing(tree, monkeypatch):
    assert ade(tree).notices == (
        "Images are not all of ADE20K's: 3 in train instead of 20210, 2 in val instead of 2000.",
    )
    monkeypatch.setattr("wsss_adapters.natural.ade20k.PUBLISHED", {"train": 3, "val": 2})
    assert ade(tree).notices == ()
    assert PUBLISHED == {"train": 20210, "val": 2000}


def test_fingerprint_follows_files(tree, folder):
    first = ade(tree).fingerprint()
    assert first == ade(tree).fingerprint()
    mask = folder / "annotations/validation/ADE_val_00000001.png"
    os.utime(mask, ns=(1, 1))
    assert first == ade(tree).fingerprint(), "a touched file is the same file"
    mask.write_bytes(mask.read_bytes() + b"x")
    assert first.images == ade(tree).fingerprint().images and first.masks != ade(tree).fingerprint().masks
