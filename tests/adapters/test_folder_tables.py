"""Tables of tags as spreadsheets write them: columns beside the classes, separators, paths; what is wrong is named."""

import pytest
from fake_folders import folder, pixels, save, tagged

from wsss_toolkit.domain.tags import read_tag_rows
from wsss_toolkit.errors import DataError

ALL = {"fractions": {"train": 1.0}}


def labels(root, text, **options):
    """Return the classes of each picture by key, with a table."""
    (root / "tags.csv").write_text(text)
    adapter = folder(root, tags="tags.csv", **{"splits": ALL, **options})
    return {key: adapter.image_labels(key) for keys in adapter.splits().values() for key in keys}


@pytest.fixture
def below_images(tmp_path):
    """Pictures in data/images, beside which tables lie."""
    for name in ("one", "two"):
        save(tmp_path / "data" / "images" / f"{name}.png", pixels(1)[0])
    return tmp_path / "data"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("image,classes,film,width\na.png,cat,film0,80\n", ("cat",)),
        ("image,film,classes,width\na.png,film0,cat;dog,80\n", ("cat", "dog")),
        ("classes,image,film\ncat,a.png,film0\n", ("cat",)),
        ("image,classes,\na.png,cat,dog\n", ("cat", "dog")),
        ("image,classes,,film\na.png,cat,dog,film0\n", ("cat", "dog")),
        ("image,class,class,film\na.png,cat,dog,film0\n", ("cat", "dog")),
        ('image,classes\na.png,"cat, dog"\n', ("cat", "dog")),
        ('image,classes,film\na.png,"cat, dog",film0\n', ("cat", "dog")),
        ("sep=;\nimage;classes\na.png;cat,dog\n", ("cat", "dog")),
        ('"sep=,"\r\nimage,classes\r\na.png,cat\r\n', ("cat",)),
    ],
)
def test_only_the_columns_of_the_classes_name_classes(tmp_path, text, expected):
    (tmp_path / "t.csv").write_text(text)
    [row] = read_tag_rows(tmp_path / "t.csv", "data.tags")
    assert (row.image, row.classes) == ("a.png", expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "image,classes,film\na.png,cat,dog,film0\n",
            r":2: the row has 4 cells, the header names 3; write the classes",
        ),
        ("image;classes\na.png,cat\nb.png,dog\n", r":2: the row is separated by ',', the header by ';'; use one"),
        ("image,classes\na.png\tcat\n", r":2: the row is separated by '\\t', the header by ','; use one"),
        ("sep=;\nimage;tag\na.png\n;cat\n", r":4: the row names no image"),
        ("sep=;\nimage,classes\na.png,cat\n", r":2: expected the columns image and classes, got image,classes"),
    ],
)
def test_rows_that_do_not_fit_the_header(tmp_path, text, message):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DataError, match=rf"t\.csv{message}"):
        read_tag_rows(tmp_path / "t.csv", "data.tags")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,classes\n", r"csv:1: names no class: no row follows the header; add one for each picture"),
        ("image,classes\nphoto_0.png,\n", r"csv:2: the row names no class; write what each picture shows"),
        ("image,classes\n\nphoto_0.png,\nphoto_1.png\n", r"csv:3: the row names no class, nor do the other 1; write"),
        ("image,classes\nphoto_0.png\tcat,dog\n", r"csv:2: .*'photo_0.png\\tcat'; separate columns as the header does"),
        ("image,classes\n" + "".join(f"photo_0.png,c{i}\n" for i in range(256)), r"csv: 256 classes.*; merge classes"),
    ],
)
def test_tables_without_classes_or_with_too_many(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        labels(tagged(tmp_path), text)


def test_a_column_of_the_tags_groups_pictures(tmp_path):
    root = tagged(tmp_path)
    films = {f"photo_{i}": f"film{i % 4}" for i in range(12)}
    rows = [f"./{key}.png;{'cat' if i % 3 else 'dog'};{film}" for i, (key, film) in enumerate(films.items())]
    options = {"tags": "tags.csv", "splits": {"fractions": {"train": 0.5, "val": 0.5}, "group_by": "film"}}
    (root / "tags.csv").write_text("\n".join(["sep=;", "image;classes;film", *rows]))
    adapter = folder(root, **options)
    assert adapter.classes.names == ("cat", "dog")
    train, val = ({films[key] for key in adapter.splits()[split]} for split in ("train", "val"))
    assert len(train) == len(val) == 2 and not train & val
    options["splits"]["group_by"] = "movie"
    with pytest.raises(DataError, match="has no column 'movie'; it has image, classes, film"):
        folder(root, **options).splits()


@pytest.mark.parametrize(
    "ways", ["images/one.png two", "./images/one .{root}/images/two.png", "../data/images/one.png two.png"]
)
def test_rows_may_name_pictures_from_the_table_on(below_images, ways):
    first, second = ways.replace(".{root}", str(below_images)).split()
    found = labels(below_images, f"image,classes\n{first},cat\n{second},dog\n", images="images")
    assert found == {"one": ("cat",), "two": ("dog",)}


def test_absolute_names_through_a_link(below_images, tmp_path):
    (tmp_path / "link").symlink_to(below_images)
    text = f"image,classes\n{tmp_path}/link/images/one.png,cat\ntwo,dog\n"
    assert labels(below_images, text, images="images")["one"] == ("cat",)
    text = f"image,classes\n{below_images}/images/one.png,cat\ntwo,dog\n"
    assert labels(tmp_path / "link", text, images="images")["one"] == ("cat",)


def test_a_name_that_means_two_pictures_is_refused(tmp_path):
    for name in ("pics/one", "pics/sub/pics/one"):
        save(tmp_path / f"{name}.png", pixels(1)[0])
    (tmp_path / "pics" / "sub" / "tags.csv").write_text("image,classes\npics/one.png,cat\n")
    with pytest.raises(DataError, match=r"csv:2: 'pics/one.png' could be sub/pics/one.png or one.png; write folder"):
        folder(tmp_path, images="pics", tags="pics/sub/tags.csv", splits=ALL).splits()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../elsewhere/one.png", r"csv:2: '\.\./elsewhere/one\.png' lies outside .*data; write its path below"),
        ("/elsewhere/one.png", r"csv:2: '/elsewhere/one\.png' lies outside"),
        (r"C:\elsewhere\one.png", r"csv:2: 'C:/elsewhere/one\.png' lies outside"),
        ("images/oen.png", r"csv:2: there is no picture 'images/oen\.png'; did you mean one\.png\?"),
        ("images/new.heic", r"csv:2: 'images/new\.heic' is a file, but \.heic files are not read; convert it"),
    ],
)
def test_rows_that_name_no_picture(below_images, name, message):
    (below_images / "images" / "new.heic").write_bytes(b"RIFF")
    with pytest.raises(DataError, match=message):
        labels(below_images, f"image,classes\n{name},cat\ntwo,dog\n", images="images")


def test_folders_that_differ_in_case_only(tmp_path):
    for name in ("Cat", "cat", "dog"):
        save(tmp_path / name / f"{name}.png", pixels(1)[0])
    with pytest.raises(DataError, match=r"class 'cat' is written 'Cat' in the folder .*/Cat; write it in one way"):
        folder(tmp_path, class_folders=True, splits=ALL).splits()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (" cat ", "class ' cat ' begins or ends with a blank; call it 'cat', for example"),
        ("dog;x", "class 'dog;x' holds `;`, which separates classes; call it 'dog-x', for example"),
    ],
)
def test_folders_that_cannot_name_a_class(tmp_path, name, message):
    save(tmp_path / name / "a.png", pixels(1)[0])
    with pytest.raises(DataError, match=message):
        folder(tmp_path, class_folders=True, splits=ALL).splits()


def test_more_folders_than_masks_have_values(tmp_path):
    for number in range(256):
        (tmp_path / f"c{number}").mkdir()
        (tmp_path / f"c{number}" / f"{number}.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"256 classes, .*; masks hold 1 to 255; merge classes"):
        folder(tmp_path, class_folders=True, splits=ALL).classes  # noqa: B018  looks them up
