import io
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from fake_domain import FakeDomain, FakeOptions
from pydantic import ValidationError

from wsss_toolkit.domain import ClassTable
from wsss_toolkit.domain.tags import read_tag_rows
from wsss_toolkit.errors import DataError, WsssError
from wsss_toolkit.labels.image_labels import (
    ImageLabels,
    check_trainable,
    coverage,
    derive_labels,
    frequency_table,
    label_warnings,
)
from wsss_toolkit.labels.tag_file import read_labels, read_tags, write_labels
from wsss_toolkit.recipe.schema import Labels

CLASSES = FakeDomain.classes


def mask(**shares):
    """Return a mask of 100 pixels; the rest is unlabelled."""
    values = [value for name, count in shares.items() for value in [int(name[1:])] * count]
    return np.array(values + [255] * (100 - len(values)), np.uint8).reshape(10, 10)


@pytest.fixture
def adapter():
    fake = FakeDomain(FakeOptions(adapter="fake", root=Path()))
    fake.masks = {
        "a": mask(c0=90, c1=10),
        "b": mask(c1=50),
        "c": mask(),
        "d": mask(c0=95, c1=5),
        "e": None,
    }
    return fake


def test_coverage_is_the_share_of_labelled_pixels():
    assert coverage(mask(c0=30, c2=10), CLASSES).tolist() == [0.75, 0.0, 0.25]
    assert coverage(mask(), CLASSES).tolist() == [0.0, 0.0, 0.0]


def test_background_is_labelled_but_no_class():
    classes = ClassTable(CLASSES.names, CLASSES.colors, background=0)
    assert coverage(mask(c0=30, c2=10), classes).tolist() == [0.0, 0.25]


def test_coverage_refuses_unknown_values():
    with pytest.raises(ValueError, match=r"^mask values \[7\] are neither one of 3 classes nor 255$"):
        coverage(mask(c7=1), CLASSES)


def test_labels_from_masks(adapter):
    steps = []
    labels = derive_labels(adapter, Labels(), progress=lambda done, total: steps.append((done, total)))
    assert labels.classes == ("Forest", "Water", "Urban")
    assert labels.splits == {"train": ("a", "b", "c"), "val": ("d",)}  # test has no ground truth
    assert labels.present == {
        "a": (True, True, False),
        "b": (False, True, False),
        "c": (False, False, False),
        "d": (True, False, False),
    }
    assert labels.with_a_class("train") == ("a", "b")
    assert labels.counts("train") == {"Forest": 1, "Water": 2, "Urban": 0}
    assert labels.provenance == {
        "source": "mask_coverage",
        "adapter": "FakeDomain",
        "negatives": False,
        "min_coverage": 0.1,
    }
    assert sorted(adapter.reads) == ["a", "b", "c", "d", "e"]  # once each
    assert steps[0] == (1, 5)


def test_zero_coverage_asks_for_a_pixel(adapter):
    assert derive_labels(adapter, Labels(min_coverage=0)).present["b"] == (False, True, False)


def test_many_classes_that_never_occur_are_one_warning():
    """Eighty classes of a small part of COCO were seventy lines."""
    names = tuple("abcdefg")
    labels = ImageLabels(
        names, {"train": ("x", "y")}, {"x": (True, *[False] * 6), "y": (False,) * 7}, {"negatives": True}
    )
    assert label_warnings(labels) == [
        "6 of 7 classes never occur in the split 'train': they cannot be learned: 'b', 'c', 'd', 'e', 'f', ..."
    ]


def test_warnings_and_table(adapter):
    labels = derive_labels(adapter, Labels())
    assert label_warnings(labels) == [
        "class 'Water' occurs in every training image: its absence cannot be learned",
        "class 'Urban' never occurs in the split 'train': it cannot be learned",
        "1 of 3 images of the split 'train' show no class and are kept out of training",
    ]
    from rich.console import Console

    console = Console(width=60, file=io.StringIO())
    console.print(frequency_table(labels))
    rows = [line.replace("│", " ").split() for line in console.file.getvalue().splitlines()]
    assert ["Water", "2", "0"] in rows
    assert ["no", "class", "1", "0"] in rows


def test_a_missing_or_wrong_mask_is_named(adapter):
    adapter.masks["b"] = None
    with pytest.raises(DataError, match=r"^image 'b' has no ground-truth mask"):
        derive_labels(adapter, Labels())
    adapter.masks["b"] = mask(c9=4)
    with pytest.raises(DataError, match=r"^mask of image 'b': mask values \[9\] are neither one of 3 classes nor 255$"):
        derive_labels(adapter, Labels())


@pytest.mark.parametrize(
    ("present", "expected"),
    [
        ({}, "the split 'train' is empty; check the data folder and the recipe's data section"),
        (
            {"a": (False,), "b": (False,)},
            "none of 2 training images shows a class; lower labels.min_coverage, which is 0.1",
        ),
        (
            {"a": (True,), "b": (True,), "c": (False,)},
            "every training image that shows a class shows the same: Polyp; "
            "there is nothing to tell apart; train on images that differ in their classes",
        ),
    ],
)
def test_labels_that_teach_nothing(present, expected):
    labels = ImageLabels(("Polyp",), {"train": tuple(present)}, present, {"min_coverage": 0.1})
    with pytest.raises(DataError) as caught:
        check_trainable(labels)
    assert str(caught.value) == expected


IMAGES = ("a", "b", "c")
JOIN = "write all its classes into one row, separated by ; or |, or one class into each row"
COLUMNS = (
    "the first line names the columns: image,classes, or image and a column of 0 and 1 for each class; "
    "or choose them: image_column, classes_column"
)


def test_tag_files(tmp_path):
    (tmp_path / "t.csv").write_text("\ufeffimage,classes\na,Forest; Water\nb,\n\nc,Urban\n", encoding="utf-8")
    (tmp_path / "t.json").write_text('{"a": ["Forest", "Water"], "b": [], "c": ["Urban"]}')
    expected = {"a": (True, True, False), "b": (False, False, False), "c": (False, False, True)}
    assert read_tags(tmp_path / "t.csv", CLASSES.names, IMAGES) == expected
    assert read_tags(tmp_path / "t.json", CLASSES.names, IMAGES) == expected


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("t.csv", "image,classes\na,Forrest\n", "t.csv:2: unknown class 'Forrest'; did you mean Forest?"),
        ("t.csv", "image,classes\na,X\n", "t.csv:2: unknown class 'X'; there are Forest, Urban, Water"),
        ("t.csv", "image,classes\nz,Forest\n", "t.csv:2: the data have no image 'z'; there are a, b, c"),
        (
            "t.csv",
            "image,classes\na,Forest\na,\n",
            f"t.csv:3: 'a' has a row already, in line 2, with other classes; {JOIN}",
        ),
        ("t.csv", "file,what\n", f"t.csv:1: expected the columns image and classes, got file, what; {COLUMNS}"),
        ("t.csv", "", f"t.csv:1: expected the columns image and classes, got none; {COLUMNS}"),
        ("t.csv", 'image,classes\na,"Forest\n', "t.csv:2: malformed: unexpected end of data; check the quotes"),
        (
            "t.json",
            '{"a": ["Forest"], "a": []}',
            f"t.json: image 'a': 'a' has a row already, at t.json: image 'a', with other classes; {JOIN}",
        ),
        ("t.json", '{"a": "Forest"}', "t.json: image 'a': expected a list of class names"),
        ("t.json", '{"a": ["Watre"]}', "t.json: image 'a': unknown class 'Watre'; did you mean Water?"),
        ("t.json", "[1]", "t.json: expected an object {image: [class, ...]}"),
        ("t.json", '{"a": [}', "t.json:1:8: malformed JSON: Expecting value"),
    ],
)
def test_wrong_tag_files(tmp_path, monkeypatch, name, text, expected):
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError) as caught:
        read_tags(Path(name), CLASSES.names, IMAGES)
    assert str(caught.value) == expected


def test_missing_tag_file(tmp_path):
    with pytest.raises(DataError, match=r"t.csv: no such file; correct labels.tag_file"):
        read_tags(tmp_path / "t.csv", CLASSES.names, IMAGES)
    with pytest.raises(DataError, match=r"^t.csv: no such file; .*, which is looked for from /"):
        read_tags(Path("t.csv"), CLASSES.names, IMAGES)


def test_a_class_whose_name_holds_a_comma(tmp_path):
    (tmp_path / "t.csv").write_text('image,classes\na,"Bare, sparse;Water"\nb,"Water,Forest"\nc,Water|Forest\n')
    tags = read_tags(tmp_path / "t.csv", ("Bare, sparse", "Forest", "Water"), IMAGES)
    assert tags == {"a": (True, False, True), "b": (False, True, True), "c": (False, True, True)}


def test_labels_from_a_tag_file_read_no_mask(adapter, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("image,classes\na,Forest\nb,Water\nc,Urban\nd,Water\n")
    labels = derive_labels(adapter, Labels(source="tag_file", tag_file=str(path)))
    assert adapter.reads == []
    assert labels.splits == {"train": ("a", "b", "c"), "val": ("d",)}
    assert len(labels.provenance["sha256"]) == 64
    path.write_text("image,classes\na,Forest\n")
    with pytest.raises(DataError, match=r"2 of 3 images of the split 'train' have no entry: b, c; add one for each"):
        derive_labels(adapter, Labels(source="tag_file", tag_file=str(path)))


def test_columns_of_the_tag_file_are_chosen_in_the_recipe(adapter, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("image,classes,tile,cover\n1,x,a,Forest\n2,x,b,Water\n3,x,c,Urban\n4,x,d,Water\n")
    chosen = {"image_column": "tile", "classes_column": "cover"}
    labels = derive_labels(adapter, Labels(source="tag_file", tag_file=str(path), **chosen))
    assert labels.counts("train") == {"Forest": 1, "Urban": 1, "Water": 1}
    with pytest.raises(DataError, match=r"t.csv:1: has no column 'tiel'; did you mean tile\?"):
        derive_labels(adapter, Labels(source="tag_file", tag_file=str(path), image_column="tiel"))
    with pytest.raises(ValidationError, match="image_column and classes_column are columns of tag_file"):
        Labels(**chosen)


class Described(FakeDomain):
    """Knows its images' labels without a mask, and has a background."""

    classes = ClassTable(("Nothing", "Forest", "Water"), CLASSES.colors, background=0)
    described: ClassVar = {"a": ("Forest",), "b": ("Water", "Forest"), "c": (), "d": ("Water",), "e": None}

    def image_labels(self, key):
        return self.described[key]


def test_labels_of_the_data_set_itself_read_no_mask(adapter):
    adapter = Described(adapter.options)
    labels = derive_labels(adapter, Labels(source="dataset"))
    assert adapter.reads == []
    assert labels.present["b"] == (True, True)
    assert labels.splits == {"train": ("a", "b", "c"), "val": ("d",)}  # nothing is known of the split test
    assert labels.provenance == {"source": "dataset", "adapter": "Described", "negatives": True}
    adapter.described = {**Described.described, "b": None}
    with pytest.raises(DataError, match=r"^adapter Described: 1 of 3 images of the split 'train' have no entry: b; "):
        derive_labels(adapter, Labels(source="dataset"))
    adapter.described = {**Described.described, "b": ("Frost",)}
    with pytest.raises(DataError, match=r"^b: the label 'Frost' is none of the classes Forest, Water$"):
        derive_labels(adapter, Labels(source="dataset"))


def test_data_sets_without_labels_of_their_own_say_so(adapter):
    with pytest.raises(DataError, match=r"^adapter FakeDomain knows no image-level labels; set labels.source to "):
        derive_labels(adapter, Labels(source="dataset"))


def test_images_without_a_class_are_examples_where_there_is_a_background(adapter):
    labels = derive_labels(Described(adapter.options), Labels(source="dataset"))
    assert labels.usable("train") == ("a", "b", "c")
    assert not any("show no class" in sentence for sentence in label_warnings(labels))
    one_class = ImageLabels(("Polyp",), {"train": ("a", "b")}, {"a": (True,), "b": (False,)}, {"negatives": True})
    check_trainable(one_class)  # present and absent are two labels
    with pytest.raises(DataError, match="nothing to tell apart"):
        check_trainable(ImageLabels(("Polyp",), one_class.splits, one_class.present, {"negatives": False}))


def test_labels_round_trip(adapter, tmp_path):
    labels = derive_labels(adapter, Labels())
    path = write_labels(labels, tmp_path / "labels")
    assert path.read_text() == "image,split,classes\na,train,Forest;Water\nb,train,Water\nc,train,\nd,val,Forest\n"
    assert read_labels(tmp_path / "labels") == labels
    assert sorted(file.name for file in path.parent.iterdir()) == ["labels.csv", "provenance.json"]


def test_missing_and_damaged_labels(adapter, tmp_path):
    with pytest.raises(WsssError, match=r"the run has no labels; run the stage `labels`$"):
        read_labels(tmp_path)
    path = write_labels(derive_labels(adapter, Labels()), tmp_path)
    path.write_text(path.read_text().replace("Forest", "Frost"))
    with pytest.raises(WsssError, match=r"the labels of the run are damaged; delete the folder"):
        read_labels(tmp_path)


def test_class_names_with_the_separator_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"^the class name 'a;b' holds ';', which separates classes; rename it$"):
        write_labels(ImageLabels(("a;b",), {}, {}, {}), tmp_path)


def test_class_names_that_look_like_formulas_are_written_as_text_and_read_back(tmp_path):
    names = ("=1+1", "'=2", "@home", "+plus", "-minus", "plain")
    present = {"-a": (True,) * 6, "b": (False, True, False, False, False, True)}
    labels = ImageLabels(names, {"train": ("-a", "b")}, present, {})
    path = write_labels(labels, tmp_path)
    assert "'-a,train,'=1+1;''=2;'@home" in path.read_text().splitlines()[1]
    assert read_labels(tmp_path) == labels
    assert [row.classes for row in read_tag_rows(path, "labels.tag_file", names)] == [names, ("'=2", "plain")]
