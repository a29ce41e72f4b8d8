import json
import os
from pathlib import Path

import numpy as np
import pytest
from fake_natural import (
    COCO_SIZE,
    box,
    coco_annotation,
    coco_truth,
    exif_photo,
    read_png,
    save_photo,
    write_coco,
    write_coco_json,
)
from PIL import Image
from pydantic import ValidationError

from wsss_adapters.natural.coco import Coco
from wsss_adapters.natural.coco_classes import COCO
from wsss_adapters.natural.coco_options import CocoOptions
from wsss_toolkit.domain import ChannelTable, Sensor
from wsss_toolkit.domain.contract import check_adapter
from wsss_toolkit.errors import DataError
from wsss_toolkit.labels.image_labels import derive_labels
from wsss_toolkit.recipe.schema import Labels

RGB = ChannelTable((Sensor("rgb", ("R", "G", "B")),))
TRAIN, VAL = (
    [f"COCO_{name}_{first + i:012d}" for i in range(4)] for name, first in (("train2014", 100), ("val2014", 200))
)


def coco(root, **options):
    return Coco(CocoOptions.model_validate({"adapter": "coco", "root": root, **options}))


@pytest.fixture
def tree(tmp_path):
    return write_coco(tmp_path)


def change(tree, edit, name="train2014"):
    """Edit an annotation file's content in place."""
    path = tree / "annotations" / f"instances_{name}.json"
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize("options", [{}, {"cache": "cache"}, {"without_objects": "keep"}])
def test_contract(tree, tmp_path, options):
    if "cache" in options:
        options = {"cache": tmp_path / "cache"}
    check_adapter(coco(tree, **options), tmp_path / "masks", images=9, read_written=read_png)


def test_sparse_ids_become_1_to_80():
    classes = coco("nowhere").classes
    assert len(classes.names) == 81 and classes.background == 0 and len(set(classes.colors)) == 81
    known = {
        1: "person",
        11: "fire hydrant",
        12: "stop sign",
        17: "dog",
        41: "wine glass",
        62: "toilet",
        80: "toothbrush",
    }
    assert {index: classes.names[index] for index in known} == known
    absent = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}
    assert set(COCO) == set(range(1, 91)) - absent


def test_masks_are_those_made_by_hand(tree):
    adapter = coco(tree)
    for keys in (TRAIN, VAL):
        for index, key in enumerate(keys):
            assert np.array_equal(adapter.read_mask(key), coco_truth(index)), key


def test_labels_need_no_pycocotools_and_no_outlines(tree, monkeypatch):
    monkeypatch.setattr("wsss_adapters.natural.coco.read_objects", None)
    monkeypatch.setitem(__import__("sys").modules, "pycocotools", None)
    adapter = coco(tree)
    shown = [adapter.image_labels(key) for key in TRAIN]
    assert shown == [("person", "toothbrush"), ("dog", "person"), ("stop sign",), ()], (
        "a crowd of persons shows persons"
    )
    with pytest.raises(Exception, match=r"need pycocotools.*pip install 'wsss-toolkit\[natural\]'"):
        coco_with_objects(tree, monkeypatch).read_mask(TRAIN[0])


def coco_with_objects(tree, monkeypatch):
    from wsss_adapters.natural.coco_annotations import read_objects

    monkeypatch.setattr("wsss_adapters.natural.coco.read_objects", read_objects)
    return coco(tree)


@pytest.mark.parametrize(
    ("rule", "counts", "notices"),
    [
        ("skip_in_train", (3, 4), ["1 of 4 images of the split 'train' show no object and are left out."]),
        ("skip", (3, 3), ["split 'train'", "split 'val'"]),
        ("keep", (4, 4), []),
    ],
)
def test_images_without_objects_are_left_out_and_counted(tree, rule, counts, notices):
    adapter = coco(tree, without_objects=rule)
    assert tuple(map(len, adapter.splits().values())) == counts
    assert len(adapter.notices) == len(notices)
    assert all(part in sentence for part, sentence in zip(notices, adapter.notices, strict=True))


def test_the_core_derives_the_labels(tree):
    labels = derive_labels(coco(tree), Labels(source="dataset"))
    counts = {name: number for name, number in labels.counts("train").items() if number}
    assert counts == {"person": 2, "dog": 1, "stop sign": 1, "toothbrush": 1}
    assert labels.splits["val"] == tuple(VAL)


def test_release_of_2017_and_pictures_in_images(tmp_path):
    write_coco(tmp_path, sets=("train2017", "val2017"))
    (tmp_path / "images").mkdir()
    (tmp_path / "val2017").rename(tmp_path / "images" / "val2017")
    adapter = coco(tmp_path, year=2017)
    adapter.prepare()
    assert [key.split("_")[1] for key in adapter.splits()["val"]] == ["val2017"] * 4
    assert adapter.read(adapter.splits()["val"][0], RGB).size == COCO_SIZE


def test_sets_may_be_named(tree):
    adapter = coco(tree, sets={"train": "val2014", "test": "train2014"})
    assert adapter.splits() == {"train": tuple(VAL[:3]), "test": tuple(TRAIN)}


def test_one_set_is_divided_at_random(tree):
    rule = {"set": "train2014", "fractions": {"train": 0.5, "val": 0.25, "test": 0.25}}
    first = coco(tree, divide=rule, without_objects="keep").splits()
    assert {split: len(keys) for split, keys in first.items()} == {"train": 2, "val": 1, "test": 1}
    assert sorted(key for keys in first.values() for key in keys) == TRAIN
    assert first == coco(tree, divide=rule, without_objects="keep").splits()
    seeds = {str(coco(tree, divide={**rule, "seed": seed}, without_objects="keep").splits()) for seed in range(8)}
    assert len(seeds) > 1


def test_pictures_of_one_group_stay_together(tree):
    found = coco(tree, divide={"set": "train2014", "lists": {"train": TRAIN[:1], "val": TRAIN[1:]}}).splits()
    assert found["val"] == tuple(sorted(TRAIN[1:]))
    with pytest.raises(DataError, match="split 'val' gets no image"):  # all of them are one group
        rule = {"set": "train2014", "counts": {"train": 3, "val": 1}, "group_pattern": "^(.)"}
        coco(tree, divide=rule).splits()


def test_a_set_without_annotations_has_neither_labels_nor_masks(tree):
    path = tree / "annotations" / "instances_val2014.json"
    content = json.loads(path.read_text())
    del content["annotations"]
    path.unlink()
    (tree / "annotations" / "image_info_val2014.json").write_text(json.dumps(content))
    adapter = coco(tree, without_objects="skip")
    assert adapter.splits()["val"] == tuple(VAL)
    assert adapter.image_labels(VAL[0]) is None and adapter.read_mask(VAL[0]) is None


def test_other_categories_are_refused_or_taken_from_the_file(tree):
    pets = {7: "cat", 3: "dog"}
    for name in ("train2014", "val2014"):
        images = [{"id": 1, "file_name": f"{name}.jpg", "height": 24, "width": 32}]
        write_coco_json(
            tree / "annotations" / f"instances_{name}.json", images, [coco_annotation(1, 1, 7, box(0, 0, 9, 9))], pets
        )
        save_photo(tree / name / f"{name}.jpg", COCO_SIZE)
    with pytest.raises(
        DataError, match=r"category 7 is 'cat', which is not COCO's 'train'; set data\.categories to file"
    ):
        coco(tree).splits()
    adapter = coco(tree, categories="file")
    adapter.prepare()
    assert adapter.classes.names == ("background", "dog", "cat")
    assert set(np.unique(adapter.read_mask("train2014"))) == {0, 2}
    change(tree, lambda content: content["categories"].pop(), "val2014")
    change(tree, lambda content: content["annotations"].clear(), "val2014")
    with pytest.raises(
        DataError, match=r"val2014\.json: its categories differ from those of instances_train2014\.json"
    ):
        coco(tree, categories="file").prepare()


@pytest.mark.parametrize(
    ("edit", "what"),
    [
        (lambda c: c["annotations"][0].update(category_id=12), "annotation 101 of image 100 has the category id 12"),
        (lambda c: c["annotations"][0].update(category_id="1"), "has the category id '1', which is none"),
        (
            lambda c: c["annotations"][0].update(image_id=5),
            "annotation 101 is of image 5, which the file does not list",
        ),
        (lambda c: c["annotations"][0].update(iscrowd=2), "annotation 101 says iscrowd 2"),
        (lambda c: c["annotations"].append(c["annotations"][0]), "annotation id 101 is given twice"),
        (lambda c: c["annotations"][0].update(id=[1]), "annotation id [1] of image 100 is no number"),
        (lambda c: c["annotations"][0].update(id={"a": 1}), "annotation id {'a': 1} of image 100 is no number"),
        (lambda c: c["images"].append(c["images"][0]), "image id 100 is listed twice"),
        (lambda c: c["images"].append({**c["images"][0], "id": 9}), "image file 'COCO_train2014_000000000100.jpg' is"),
        (lambda c: c["images"][0].update(height=0), "image 100 has no size: height 0, width 32"),
        (lambda c: c["images"][0].pop("file_name"), "image 100 has no whole id or no file_name"),
        (lambda c: c["images"][0].update(file_name="COCO_train2014_000000000101.png"), "differ in suffix or folder"),
        (lambda c: c["categories"].append(c["categories"][0]), "category id 1 is given twice"),
        (lambda c: c["categories"][0].update(name="dog"), "category 'dog' is given twice"),
        (lambda c: c["categories"][0].update(name="a\0"), "category 'a\\x00' holds a control character"),
        (lambda c: c["categories"].clear(), "lists 0 categories"),
        (lambda c: c.pop("images"), "has no list 'images'"),
        (lambda c: c.update(annotations={}), "has no list 'annotations'"),
    ],
)
def test_contradictions_are_named(tree, edit, what):
    path = change(tree, edit)
    with pytest.raises(DataError) as refused:
        coco(tree).splits()
    assert str(path) in str(refused.value) and what in str(refused.value)


@pytest.mark.parametrize(
    ("text", "what"), [("", "is empty"), ("{", "is no readable JSON"), ("[]", "no annotation file")]
)
def test_damaged_files_are_named(tree, text, what):
    path = tree / "annotations" / "instances_train2014.json"
    path.write_text(text)
    with pytest.raises(DataError, match=what):
        coco(tree).splits()


def test_what_is_missing_is_named_with_both_remedies(tree, tmp_path):
    with pytest.raises(DataError, match=r"no annotations/instances_train2014\.json; unpack .*cocodataset.*data\.root"):
        coco(tmp_path / "nowhere").prepare()
    assert coco(tmp_path / "nowhere").notices == ()
    with pytest.raises(DataError, match=r"no annotations/instances_train2017\.json.*data\.year"):
        coco(tree, year=2017).splits()
    (tree / "train2014" / f"{TRAIN[1]}.jpg").unlink()
    with pytest.raises(DataError, match=rf"1 pictures are missing, {TRAIN[1]}\.jpg first; .*unpack train2014\.zip"):
        coco(tree).prepare()
    (tree / "val2014").rename(tree / "gone")
    with pytest.raises(DataError, match=r"no folder val2014 or images/val2014"):
        coco(tree).fingerprint()


def test_a_missing_picture_that_takes_no_part_does_not_matter(tree):
    (tree / "train2014" / f"{TRAIN[3]}.jpg").unlink()
    coco(tree).prepare()


def test_pictures_of_another_size_than_stated_are_refused(tree):
    save_photo(tree / "train2014" / f"{TRAIN[0]}.jpg", (12, 16))
    with pytest.raises(DataError, match=r"000100\.jpg: is 12 x 16 pixels, 24 x 32 in the annotation file"):
        coco(tree).read(TRAIN[0], RGB)
    with pytest.raises(DataError, match="is 12 x 16 pixels"):
        coco(tree).read_mask(TRAIN[0])


def test_exif_rotation_follows_the_stated_size(tree):
    exif_photo(tree / "train2014" / f"{TRAIN[0]}.jpg", COCO_SIZE, 6)
    exif_photo(tree / "train2014" / f"{TRAIN[1]}.jpg", COCO_SIZE[::-1], 6)
    assert [coco(tree).read(key, RGB).size for key in TRAIN[:2]] == [COCO_SIZE] * 2


@pytest.mark.parametrize(
    "options",
    [
        {"sets": {"train": "a"}, "divide": {"set": "a", "fractions": {"train": 1.0}}},
        {"sets": {}},
        {"sets": {"train": "a", "val": "a"}},
        {"sets": {"train": "../a"}},
        {"divide": {"set": "a", "fractions": {"train": 0.5}}},
        {"divide": {"set": "a", "fractions": {"train": 1.0}, "group_by": "license"}},
        {"year": 2015},
    ],
)
def test_contradicting_options_are_refused(options):
    with pytest.raises(ValidationError):
        coco("nowhere", **options)


def test_fingerprint_follows_files_and_options_but_not_the_cache(tree, tmp_path):
    first = coco(tree).fingerprint()
    assert first == coco(tree, cache=tmp_path / "cache").fingerprint()
    assert first != coco(tree, without_objects="keep").fingerprint()
    for path in (tree / "annotations" / "instances_val2014.json", tree / "train2014" / f"{TRAIN[0]}.jpg"):
        before = coco(tree).fingerprint()
        os.utime(path, ns=(1, 1))
        assert coco(tree).fingerprint() == before, "a touched file is the same file"
        path.write_bytes(path.read_bytes() + b" ")
        assert coco(tree).fingerprint().images != before.images


def test_masks_are_cached_and_follow_the_annotations(tree, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    expected = coco(tree, cache=cache).read_mask(TRAIN[0])
    [kept] = cache.rglob("*.png")
    assert np.array_equal(read_png(kept), expected) and kept.stem == TRAIN[0]
    assert not [path for path in cache.rglob("*") if "partial" in path.name]
    with monkeypatch.context() as patch:
        patch.setattr("wsss_adapters.natural.coco.read_objects", None)
        assert np.array_equal(coco(tree, cache=cache).read_mask(TRAIN[0]), expected), "read from the cache"
    kept.write_bytes(kept.read_bytes()[:40])
    assert np.array_equal(coco(tree, cache=cache).read_mask(TRAIN[0]), expected), "a damaged file is made anew"
    Image.fromarray(expected[:-1]).save(kept)
    assert np.array_equal(coco(tree, cache=cache).read_mask(TRAIN[0]), expected), "so is one of another size"
    change(tree, lambda content: content["annotations"].pop(0))
    assert set(np.unique(coco(tree, cache=cache).read_mask(TRAIN[0]))) == {0, 1}


def test_a_cache_that_cannot_be_written_is_named(tree, tmp_path):
    (tmp_path / "cache").write_text("a file where a folder is wanted")
    with pytest.raises(Exception, match="cannot write"):
        coco(tree, cache=tmp_path / "cache").read_mask(TRAIN[0])


def test_nothing_is_printed(tree, capfd):
    coco(tree).read_mask(TRAIN[0])
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_keys_are_checked(tree):
    with pytest.raises(DataError, match=r"no image is called '\.\./\.\./etc/passwd'"):
        coco(tree).picture("../../etc/passwd")
    change(tree, lambda content: content["images"][0].update(file_name="../../evil.jpg"))
    adapter = coco(tree)
    assert adapter.picture("evil").parent == Path(tree / "train2014"), "file names do not leave the folder"
