"""Names of pictures, tables of tags, and files that are no pictures: what is wrong is named."""

import unicodedata

import pytest
from fake_folders import class_folders, folder, pixels, save, tagged

from wsss_toolkit.domain import ChannelTable
from wsss_toolkit.domain.tags import read_tag_rows
from wsss_toolkit.errors import DataError

ALL = {"fractions": {"train": 1.0}}


def test_decomposed_names(tmp_path):
    composed, decomposed = (unicodedata.normalize(form, "Zoë.png") for form in ("NFC", "NFD"))
    for number in range(4):
        save(tmp_path / f"p{number}.png", pixels(number)[0])
    save(tmp_path / decomposed, pixels(9)[0])
    rows = [f"p{number}.png,dog" for number in range(4)]
    (tmp_path / "tags.csv").write_text("\n".join(["image,classes", *rows, f"{composed},cat"]))
    adapter = folder(tmp_path, tags="tags.csv", splits=ALL)
    [key] = [key for key in adapter.splits()["train"] if key.startswith("Zo")]
    assert adapter.image_labels(key) == ("cat",)
    assert adapter.read(key, ChannelTable(adapter.sensors)).size == (48, 64)


def test_names_may_leave_out_suffix_and_folder(tmp_path):
    for name in ("a/one", "a/two", "b/two"):
        save(tmp_path / f"{name}.png", pixels(1)[0])
    table = tmp_path / "tags.csv"
    table.write_text("image,classes\none,cat\na/two,dog\nb\\two.png,cat\n")
    adapter = folder(tmp_path, tags="tags.csv", splits=ALL)
    assert {key: adapter.image_labels(key) for key in adapter.splits()["train"]} == {
        "one": ("cat",),
        "a_two": ("dog",),
        "b_two": ("cat",),
    }
    table.write_text("image,classes\none,cat\ntwo,dog\n")
    with pytest.raises(DataError, match=r"tags\.csv:3: 'two' could be a/two\.png or b/two\.png; write folder"):
        folder(tmp_path, tags="tags.csv", splits=ALL).splits()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,classes\nphto_1.png,cat\n", r":2: there is no picture 'phto_1.png'; did you mean photo_1.png\?"),
        (
            "image,classes\nzzz,cat\nyyy,cat\n",
            r":2: there is no picture 'zzz', and 1 more like it; copy it to the other 12, or remove the row",
        ),
        ("image,classes\nphoto_1.png,cat;dog\nphoto_1,dog\n", r":3: 'photo_1' has a row already, in line 2"),
        (
            "image,classes\nphoto_1.png,cat\n",
            r"11 of 12 pictures have no row: photo_0.png, photo_10.png, photo_11.png, \.\.\.",
        ),
        ("image,classes\nphoto_1.png,\0\n", r":2: class '\\x00' holds a control character"),
        ('image,classes\nphoto_1.png,"c\vat"\n', r":2: class 'c\\x0bat' holds a control character or a line break"),
        ("image,classes\nphoto_1.png,\x1b[31mcat\n", r":2: class '\\x1b\[31mcat' holds a control character"),
        ("image,classes\nphoto_1.png,cat\nphoto_2.png,Cat\n", r":3: class 'Cat' is written 'cat' in line 2"),
        ("photo_1.png,cat\n", r":1: expected the columns image and classes, got photo_1.png, cat"),
        ("", r":1: expected the columns image and classes, got none"),
        ("image,classes\n,cat\n", r":2: the row names no image"),
        ('image,classes\n"photo_1.png,cat\n', r"malformed: "),
        ("image,classes\n", r"names no class"),
    ],
)
def test_tables_that_do_not_fit(tmp_path, text, message):
    tagged(tmp_path)
    (tmp_path / "tags.csv").write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        folder(tmp_path, tags="tags.csv", splits=ALL).splits()
    assert "\n" not in str(caught.value)


def test_unknown_classes_and_missing_tables(tmp_path):
    tagged(tmp_path)
    options = {"tags": "tags.csv", "splits": ALL}
    with pytest.raises(DataError, match=r"tags\.csv:3: unknown class 'dog'; did you mean dogs\?"):
        folder(tmp_path, classes=["cat", "dogs"], **options).splits()
    with pytest.raises(DataError, match=r"tag\.csv: no such file; correct data\.tags"):
        folder(tmp_path, **{**options, "tags": "tag.csv"}).splits()
    (tmp_path / "tags.csv").write_bytes("image,classes\nä,cat\n".encode("cp1252"))
    with pytest.raises(DataError, match=r"csv:2: is not UTF-8 text: the byte 0xE4 would be 'ä' in Windows-1252; save"):
        folder(tmp_path, **options).splits()


def test_pictures_without_a_row_are_left_out_where_the_recipe_says_so(tmp_path):
    tagged(tmp_path, rows=["photo_1.png,cat", "photo_3,dog", "photo_4.png,"])
    adapter = folder(tmp_path, tags="tags.csv", untagged="leave_out", splits=ALL)
    assert adapter.splits() == {"train": ("photo_1", "photo_3", "photo_4")}
    assert adapter.image_labels("photo_4") == ()
    assert adapter.image_labels("photo_0") is None


@pytest.mark.parametrize(
    "text", ["image,classes\na.png,cat,dog\n", 'image;classes\na.png;"cat,dog"\n', "file\tx\ttags\na\t1\tcat|dog\n"]
)
def test_ways_to_write_classes(tmp_path, text):
    (tmp_path / "t.csv").write_text(text)
    [row] = read_tag_rows(tmp_path / "t.csv", "data.tags")
    assert row.classes == ("cat", "dog")


def test_a_class_that_a_row_names_twice_is_one_class(tmp_path):
    (tmp_path / "t.csv").write_text("image,classes\na.png,cat;dog; cat ;\n")
    [row] = read_tag_rows(tmp_path / "t.csv", "data.tags")
    assert row.classes == ("cat", "dog")


def test_damaged_files_are_named(tmp_path):
    class_folders(tmp_path)
    options = {"class_folders": True, "splits": ALL}
    (tmp_path / "cat" / "0.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"cat/0\.jpg: is empty \(0 bytes\)"):
        folder(tmp_path, **options).splits()
    (tmp_path / "cat" / "0.jpg").write_bytes(b"no picture at all")
    with pytest.raises(DataError, match=r"cat/0\.jpg: is no readable picture"):
        folder(tmp_path, **options).splits()
    content = (tmp_path / "cat" / "1.jpg").read_bytes()
    (tmp_path / "cat" / "0.jpg").write_bytes(content[: len(content) // 2])
    adapter = folder(tmp_path, **options)
    with pytest.raises(DataError, match=r"cat/0\.jpg: is no readable picture, truncated or damaged"):
        adapter.read("cat_0", ChannelTable(adapter.sensors))


def test_missing_folders_and_pictures(tmp_path):
    with pytest.raises(DataError, match=r"nowhere: no such folder; set data\.root"):
        folder(tmp_path / "nowhere", classes=["cat"]).splits()
    with pytest.raises(DataError, match=r"holds no picture; pictures end in \.avif, \.bmp"):
        folder(tmp_path, classes=["cat"]).splits()
    save(tmp_path / "a.png", pixels(1)[0])
    (tmp_path / "masks").mkdir()
    with pytest.raises(DataError, match=r"masks: holds no mask that is named as a picture"):
        folder(tmp_path, classes=["cat"], masks="masks").splits()


@pytest.mark.parametrize(("name", "what"), [("c\nat", "holds a control character"), ("a;b", "holds `;`")])
def test_class_folders_that_cannot_name_a_class(tmp_path, name, what):
    class_folders(tmp_path)
    (tmp_path / "cat").rename(tmp_path / name)
    with pytest.raises(DataError, match=what) as refused:
        folder(tmp_path, class_folders=True).splits()
    assert refused.value.where == str(tmp_path) and "\n" not in str(refused.value)
