"""The same table gives the same labels as `labels.tag_file`, which the core reads, and as `data.tags` of a folder."""

import openpyxl
import pytest
from fake_folders import folder, pixels, save

from wsss_toolkit.errors import DataError
from wsss_toolkit.labels.image_labels import derive_labels
from wsss_toolkit.recipe.schema import Labels

NAMES = ("both", "cat", "dog", "none")
EXPECTED = {"both": (True, True), "cat": (True, False), "dog": (False, True), "none": (False, False)}


def both_ways(root, file, **columns):
    """Return the labels by key as each of the two says, or what both refuse with, without the recipe's key."""
    options = {"classes": ["chät", "dog"], "splits": {"fractions": {"train": 1.0}}}
    tagged = {"source": "tag_file", "tag_file": str(root / file), **columns}
    ways = (
        (folder(root, **options), Labels(**tagged)),
        (folder(root, tags=file, **columns, **options), Labels(source="dataset")),
    )
    found = []
    for adapter, section in ways:
        try:
            found.append(derive_labels(adapter, section).present)
        except DataError as error:
            found.append(str(error).replace("labels.tag_file", "KEY").replace("data.tags", "KEY"))
    return found


@pytest.fixture
def root(tmp_path):
    for number, name in enumerate(NAMES):
        save(tmp_path / f"{name}.png", pixels(number)[0])
    return tmp_path


@pytest.mark.parametrize(
    "content",
    [
        "image,classes\nboth,chät;dog\ncat,chät\ndog,dog\nnone,\n",
        'image;classes\nboth;"chät;dog"\ncat;chät\ndog;dog\nnone;\n',
        "image;classes\nboth;chät,dog\ncat;chät\ndog;dog\nnone;\n",
        "file\tx\ttags\nboth\t1\tchät|dog\ncat\t1\tchät\ndog\t\tdog\nnone\t1\n",
        "sep=;\nimage;label\nboth;chät|dog\ncat;chät\ndog;dog\nnone;\n",
        '"sep=,"\r\n\r\nFilename,Class\r\nboth,"chät,dog"\r\ncat,chät\r\ndog,dog\r\nnone,\r\n',
        "\n\n image , classes \n\nboth, chät ; dog ;\ncat,chät\n,\ndog,dog\nnone,\n\n",
        "classes,image,film\nchät;dog,both,f\nchät,cat,f\ndog,dog,f\n,none,f\n",
        "image,classes\nboth,chät,dog\ncat,chät\ndog,,dog\nnone\n",
        "image,class,class,film\nboth,dog,chät,f\ncat,chät,,f\ndog,dog,dog,f\nnone,,,f\n",
        "image,classes\nboth,cha\u0308t;dog\n./cat,chät\ndog,dog\nnone,\n",
        "\ufeffimage,classes\rboth,chät;dog\rcat,chät\rdog,dog\rnone,\r",
        "image,classes\nboth,chät;dog\ncat,chät\ndog,dog\nnone,\n".encode("utf-16"),
        b"\xfe\xff" + "image\tclasses\nboth\tchät;dog\ncat\tchät\ndog\tdog\nnone\t\n".encode("utf-16-be"),
    ],
)
def test_tables_that_both_read(root, content):
    (root / "t.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    assert both_ways(root, "t.csv") == [EXPECTED, EXPECTED]


def test_json_and_workbooks(root):
    (root / "t.json").write_text('{"both": ["chät", " dog"], "cat": ["chät"], "dog": ["dog"], "none": []}')
    assert both_ways(root, "t.json") == [EXPECTED, EXPECTED]
    book = openpyxl.Workbook()
    for row in (["Image", "Labels"], ["both", "chät;dog"], ["cat", "chät"], ["dog", "dog"], ["none", None]):
        book.active.append(row)
    book.save(root / "t.xlsx")
    assert both_ways(root, "t.xlsx") == [EXPECTED, EXPECTED]


def test_columns_that_the_recipe_chooses(root):
    text = "image,label,who,what\n1,x,both,chät;dog\n2,x,cat,chät\n3,x,dog,dog\n4,x,none,\n"
    (root / "t.csv").write_text(text)
    assert both_ways(root, "t.csv", image_column="who", classes_column="what") == [EXPECTED, EXPECTED]
    first, second = both_ways(root, "t.csv", image_column="who", classes_column="who")
    assert first == second and "t.csv:1: the column 'who' cannot name both image and classes" in first


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("image,classes\nbóth,dog\n".encode("cp1252"), ":2: is not UTF-8 text: the byte 0xF3 would be 'ó' in Windows"),
        ('image,classes\nboth,"dog\n', ":2: malformed: unexpected end of data; check the quotes"),
        ("image,classes,film\nboth,chät,dog,f\n", ":2: the row has 4 cells, the header names 3; write the classes"),
        ("image;classes\nboth,dog\ncat,dog\n", ":2: the row is separated by ',', the header by ';'; use one of them"),
        ("image,classes\n,dog\n", ":2: the row names no image; complete it or remove it"),
        ("image,what\nboth,dog\n", ":1: expected the columns image and classes, got image, what;"),
        ("image,classes\nboth,dogg\n", ":2: unknown class 'dogg'; did you mean dog?"),
        ("image,classes\nboth,\"['chät', dog]\"\n", ":2: \"['chät', dog]\" is a list that cannot be read; write its"),
        ("image,classes\nboth,nan\n", ":2: 'nan' could be a missing value or a class; write it as an empty cell"),
    ],
)
def test_tables_that_both_refuse_in_the_same_words(root, content, message):
    (root / "t.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    first, second = both_ways(root, "t.csv")
    assert message in first and message in second
    # What a name is near to is said of keys in the one and of pictures in the other.
    assert first.partition(";")[0] == second.partition(";")[0]
