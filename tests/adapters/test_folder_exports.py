"""Tags in the shapes of annotation programs: all give the classes of the pictures, or one line says what to do."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from fake_folders import folder, pixels, save

from wsss_adapters.folder.look import look
from wsss_toolkit.cli import cli
from wsss_toolkit.errors import DataError

NAMES = [f"p{i:02d}" for i in range(12)]
SHOWN = {name: [(), ("cat",), ("dog",), ("cat", "dog")][i % 4] for i, name in enumerate(NAMES)}
ALL = {"fractions": {"train": 1.0}}


@pytest.fixture
def root(tmp_path):
    for number, name in enumerate(NAMES):
        save(tmp_path / "pics" / f"{name}.png", pixels(number, SHOWN[name])[0])
    return tmp_path / "pics"


def one_hot(true="1", false="0"):
    rows = [f"{name}.png,{true if 'cat' in s else false}, {true if 'dog' in s else false}" for name, s in SHOWN.items()]
    return "filename,cat, dog\n" + "\n".join(rows)


def long_table():
    return "image,class,x\n" + "\n".join(f"{n}.png,{c},{i}" for n, s in SHOWN.items() for i, c in enumerate(s or ("",)))


def label_studio(short=False):
    tasks = []
    for number, (name, shown) in enumerate(SHOWN.items()):
        image = f"/data/upload/1/0a1b2c3d-{name}.png"
        if short:
            choice = {"choice": shown[0] if len(shown) == 1 else {"choices": list(shown)}} if shown else {}
            tasks.append({"id": number, "image": image, "annotator": 1, "annotation_id": number, **choice})
        else:
            result = [{"type": "choices", "value": {"choices": list(shown)}}] if shown else []
            tasks.append({"id": number, "data": {"image": image}, "annotations": [{"result": result}]})
    return json.dumps(tasks)


def coco():
    names = {"cat": 7, "dog": 3}
    return json.dumps(
        {
            "images": [{"id": i, "file_name": f"{name}.png"} for i, name in enumerate(NAMES)],
            "categories": [{"id": number, "name": name} for name, number in names.items()],
            "annotations": [
                {"image_id": i, "category_id": names[c]} for i, n in enumerate(NAMES) for c in (*SHOWN[n], *SHOWN[n])
            ],
        }
    )


def cvat():
    parts = {"cat": '<tag label="cat"/>', "dog": '<box label="dog" xtl="1"/>'}
    rows = [f'<image id="0" name="{n}.png">{"".join(parts[c] for c in s)}</image>' for n, s in SHOWN.items()]
    return f"<annotations><meta><task/></meta>{''.join(rows)}</annotations>"


def quoted(value):
    """Return JSON as a cell of CSV."""
    return '"' + json.dumps(value).replace('"', '""') + '"'


FILES = {
    "_classes.csv": one_hot(),
    "hot.csv": one_hot("1.0", "0.0"),
    "flags.csv": one_hot("TRUE", "FALSE"),
    "long.csv": long_table(),
    "lists.csv": "image,classes\n" + "\n".join(f'{n}.png,"{list(s)}"' for n, s in SHOWN.items()),
    "choices.csv": "annotation_id,image,choice\n"
    + "\n".join(
        f'1,{n}.png,"{json.dumps({"choices": list(s)}).replace(chr(34), chr(34) * 2)}"' for n, s in SHOWN.items()
    ),
    "studio.json": label_studio(),
    "short.json": label_studio(short=True),
    "metadata.jsonl": "\n".join(json.dumps({"file_name": f"{n}.png", "label": list(s)}) for n, s in SHOWN.items()),
    "instances.json": coco(),
    "annotations.xml": cvat(),
}


@pytest.mark.parametrize("file", FILES)
def test_exports_are_read_and_found(root, file):
    (root / file).write_text(FILES[file])
    adapter = folder(root, tags=file, splits=ALL)
    assert {key: set(adapter.image_labels(key)) for key in NAMES} == {key: set(shown) for key, shown in SHOWN.items()}
    starter = look(root, None)
    assert (starter.data["tags"], starter.classes) == (file, ("cat", "dog"))


def test_yolo_labels_are_read_and_found(tmp_path):
    for number, name in enumerate(NAMES):
        split = "train" if number < 8 else "valid"
        save(tmp_path / split / "images" / f"{name}.png", pixels(number)[0])
        label = tmp_path / split / "labels" / f"{name}.txt"
        label.parent.mkdir(exist_ok=True)
        label.write_text("".join(f"{('dog', 'cat').index(c)} 0.5 0.5 0.1 0.1\n" for c in SHOWN[name]))
    (tmp_path / "data.yaml").write_text("train: images\nnames: {0: dog, 1: cat}\n")
    starter = look(tmp_path, None)
    assert starter.data["tags"] == "{split}/labels"
    assert starter.data["splits"] == {"folders": {"train": "train", "val": "valid"}}
    adapter = folder(**starter.data)
    assert {key: set(adapter.image_labels(key)) for key in NAMES} == {key: set(shown) for key, shown in SHOWN.items()}
    (tmp_path / "train" / "labels" / "p01.txt").write_text("7 0.5 0.5 0.1 0.1\n")
    with pytest.raises(DataError, match=r"p01\.txt:1: '7' is the number of no class"):
        folder(**starter.data).splits()


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("t.csv", "image,label\np00,0\np01,1\n", r"t.csv: every class is called by a number or by yes and no: 0, 1"),
        (
            "t.csv",
            one_hot().replace("p01.png,1", "p01.png,-1"),
            r"t.csv:3: the column 'cat' holds '-1', neither 0 nor 1",
        ),
        ("t.csv", one_hot().replace("p02.png,0", "p02.png,"), r"t.csv:4: the column 'cat' is empty, neither 0 nor 1"),
        ("t.csv", one_hot().replace("cat", "is_test"), "the column 'is_test' is called as a split"),
        ("t.csv", one_hot().replace("cat", "Unlabeled"), "'Unlabeled' could be a missing value or a class"),
        ("t.csv", "image,classes\np00,cat\np00,\n", r":3: 'p00' has a row already, in line 2, with other classes"),
        (
            "t.csv",
            one_hot() + "\np01.png,0,1\n",
            r"'p01.png' has a row already, in line 3, with other classes; write all",
        ),
        ("t.json", '[{"image": "p00"}]', "entry 0: names no classes, it has 'image'; the key of the classes is"),
        ("t.json", '[{"picture_of": "p00"}]', "expected an object with image and classes"),
        ("t.json", '{"images": [], "annotations": [{"image_id": 1}], "categories": []}', "is no COCO file"),
        ("t.xml", "<annotation><object/></annotation>", r"holds no <image> \(its root is <annotation>\)"),
        ("t.xml", '<!DOCTYPE a [<!ENTITY b "c">]><annotations/>', "has a DOCTYPE"),
        ("t.npy", None, "holds pickled Python objects, which could run anything, and is not read; where you trust"),
    ],
)
def test_what_is_refused(root, file, content, message):
    if content is None:
        np.save(root / file, {"p00": np.zeros(2)}, allow_pickle=True)
    else:
        (root / file).write_text(content)
    with pytest.raises(DataError, match=message):
        folder(root, tags=file, splits=ALL, untagged="leave_out").splits()


def test_numbers_that_the_recipe_knows_are_names(root):
    (root / "t.csv").write_text("image,label\n" + "\n".join(f"{n},{i % 2}" for i, n in enumerate(NAMES)))
    adapter = folder(root, tags="t.csv", splits=ALL, classes=["0", "1"])
    assert adapter.image_labels("p01") == ("1",)


def test_people_who_disagree_are_named(root):
    tasks = json.loads(label_studio())
    tasks[1]["annotations"].append({"result": [{"value": {"choices": ["dog"]}}]})
    (root / "t.json").write_text(json.dumps(tasks))
    with pytest.raises(DataError, match=r"task 1: people disagree: cat and dog; keep one"):
        folder(root, tags="t.json", splits=ALL).splits()
    tasks[1]["annotations"] = []
    (root / "t.json").write_text(json.dumps(tasks))
    with pytest.raises(DataError, match=r"1 of 12 pictures have no row: p01\.png"):
        folder(root, tags="t.json", splits=ALL).splits()


def split_table(root, words, header="image,classes,split"):
    rows = [f"{n},{';'.join(SHOWN[n])},{words[i % len(words)]}" for i, n in enumerate(NAMES)]
    (root / "tags.csv").write_text("\n".join([header, *rows]))


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("image,classes,split", ["train", "train", "val", "test"]),
        ("image,classes,Set", ["TRAIN", "Train", "valid", "Test"]),
    ],
)
def test_a_split_column_is_followed(root, header, words):
    split_table(root, words, header)
    expected = {"train": (0, 1), "val": (2,), "test": (3,)}
    wanted = {split: tuple(n for i, n in enumerate(NAMES) if i % 4 in places) for split, places in expected.items()}
    adapter = folder(root, tags="tags.csv")
    assert dict(adapter.splits()) == wanted and adapter.notices == ()
    starter = look(root, None)
    assert dict(folder(**starter.data).splits()) == wanted
    assert starter.data["splits"]["file"] == "tags.csv"


def test_a_split_column_without_val_and_one_that_is_not_used(root):
    split_table(root, ["train", "train", "train", "test"])
    starter = look(root, None)
    assert starter.splits == {"train": 8, "test": 3, "val": 1}
    adapter = folder(root, tags="tags.csv", splits=ALL)
    adapter.splits()
    assert adapter.notices == (
        "Splits are not those of the column 'split' of the tags; "
        "data.splits: {file: tags.csv, split_column: split} takes these.",
    )
    split_table(root, ["0", "1", "2"], "image,classes,fold")
    assert any("not those of the column 'fold'" in sentence for sentence in look(root, None).found)
    split_table(root, ["0", "1"], "image,classes,is_test")
    assert any("not those of the column 'is_test'" in sentence for sentence in look(root, None).found)
    for missing in ("", "nan"):
        split_table(root, ["train", missing, "val"])
        with pytest.raises(DataError, match=r"tags.csv:3: the row names no split"):
            folder(root, tags="tags.csv").splits()


def test_a_file_of_splits_may_call_them_otherwise(root):
    """`valid` was a split of its own, and nothing chose the best epoch."""
    (root / "tags.csv").write_text(one_hot())
    words = ["Training", "valid", "test_set", "extra"]
    (root / "s.csv").write_text("image,split\n" + "\n".join(f"{n},{words[i % 4]}" for i, n in enumerate(NAMES)))
    splits = folder(root, tags="tags.csv", splits={"file": "s.csv"}).splits()
    assert {split: len(keys) for split, keys in splits.items()} == {"train": 3, "val": 3, "test": 3, "extra": 3}
    (root / "s.csv").write_text("image,split\np00,train\np01,NaN\n")
    with pytest.raises(DataError, match=r"s.csv:3: the row names no split"):
        folder(root, tags="tags.csv", splits={"file": "s.csv"}).splits()


def test_a_row_of_a_class_that_is_not_there_is_refused(root):
    """Its count was not read, and every picture showed every class."""
    rows = [f"{name},{kind},{count}" for name in NAMES for kind, count in (("cat", 2), ("dog", 0))]
    (root / "tags.csv").write_text("\n".join(["image,class,count", *rows]))
    with pytest.raises(DataError, match=r"tags.csv:3: the column 'count' holds '0' beside the class dog; remove such"):
        folder(root, tags="tags.csv", splits=ALL).splits()
    (root / "tags.csv").write_text("\n".join(["image,class,count", *rows[::2]]))
    assert set(folder(root, tags="tags.csv", splits=ALL).image_labels("p00")) == {"cat"}


def test_few_pictures_with_several_rows_are_a_notice(root):
    rows = [f"{n},{'cat' if i % 2 else 'dog'}" for i, n in enumerate(NAMES)]
    (root / "tags.csv").write_text("\n".join(["image,classes", *rows, "p00,cat"]))
    adapter = folder(root, tags="tags.csv", splits=ALL)
    adapter.splits()
    assert set(adapter.image_labels("p00")) == {"cat", "dog"}
    assert adapter.notices == ("1 picture has several rows with different classes in tags.csv: these are joined.",)


def test_init_says_what_it_asks(root, monkeypatch, adapters):
    monkeypatch.chdir(root.parent)
    (root / "tags.csv").write_text(
        "image,classes\n" + "\n".join(f"{n},{'nan' if i % 2 else 'cat'}" for i, n in enumerate(NAMES))
    )
    result = CliRunner().invoke(cli, ["init", "pics"])
    assert result.exit_code == 2 and "tags.csv:3: 'nan' could be a missing value or a class" in result.stderr
    (root / "classes.txt").write_text("cat\nnan\n")
    assert CliRunner().invoke(cli, ["init", "pics"]).exit_code == 0 and Path("pics.yaml").is_file()
