"""Which file of a folder holds tags, and what tables and exports say besides names: columns, people, scores."""

import json

import pytest
from fake_folders import folder, pixels, save

from wsss_adapters.folder.class_names import distinct_names
from wsss_adapters.folder.look import look
from wsss_toolkit.errors import DataError

NAMES = [f"p{i:02d}" for i in range(12)]
SHOWN = {name: [(), ("cat",), ("dog",), ("cat", "dog")][i % 4] for i, name in enumerate(NAMES)}
ALL = {"fractions": {"train": 1.0}}


@pytest.fixture
def root(tmp_path):
    for number, name in enumerate(NAMES):
        save(tmp_path / "pics" / f"{name}.png", pixels(number, SHOWN[name])[0])
    return tmp_path / "pics"


def table(root, header, row, file="tags.csv"):
    (root / file).write_text("\n".join([header, *(row(name, SHOWN[name]) for name in NAMES)]) + "\n")


def labels(root, file="tags.csv", **options):
    adapter = folder(root, tags=file, splits=ALL, **options)
    return {name: set(adapter.image_labels(name) or ()) for name in NAMES}


RIGHT = {name: set(shown) for name, shown in SHOWN.items()}


@pytest.mark.parametrize("columns", ["label,label2", "label_1,label_2", "class,class.1", "Label 1,Label 2"])
def test_numbered_columns_all_name_classes(root, columns):
    """Only the first was read, and the second class of each picture was lost."""
    table(root, f"image,{columns},film", lambda name, shown: ",".join([name, *(*shown, "", "")[:2], "f1"]))
    assert labels(root) == RIGHT


@pytest.mark.parametrize(
    ("image", "classes"),
    [("image_id", "label"), ("Image Index", "Finding Labels"), ("img_path", "class_name"), ("patch_id", "Labels")],
)
def test_usual_names_of_columns_are_known_in_many_spellings(root, image, classes):
    table(root, f"{image},{classes}", lambda name, shown: f"{name},{'|'.join(shown)}")
    assert labels(root) == RIGHT


def test_names_of_classes_come_before_their_numbers(root):
    numbers = {(): "", ("cat",): "0", ("dog",): "1", ("cat", "dog"): "0;1"}
    table(root, "image,label,class_name", lambda name, shown: f"{name},{numbers[shown]},{';'.join(shown)}")
    assert labels(root) == RIGHT


@pytest.mark.parametrize(
    ("column", "there", "absent"),
    [
        ("confidence", "0.97", "0.02"),
        ("Confidence", "1", "0"),
        ("is_present", "True", "False"),
        ("present", "ja", "nein"),
        ("score", "0.5", "0.49"),
    ],
)
def test_rows_of_classes_that_are_not_there_are_refused(root, column, there, absent):
    """Open Images and detectors have a row for each class, with how sure it is."""
    head = f"image,class,{column}\n"
    right = "".join(f"{name},{kind},{there}\n" for name in NAMES for kind in SHOWN[name])
    (root / "tags.csv").write_text(head + right)
    assert labels(root, untagged="leave_out", classes=["cat", "dog"])["p03"] == {"cat", "dog"}
    (root / "tags.csv").write_text(head + right + f"p00,cat,{absent}\n")
    with pytest.raises(DataError, match=f"the column '{column}' holds '{absent}' beside the class cat"):
        labels(root, untagged="leave_out")


def test_a_column_of_a_known_class_that_holds_more_than_flags_is_refused(root):
    """It was left alone, and no picture showed the class."""
    table(root, "image,cat,dog", lambda name, shown: f"{name},{int('cat' in shown)},{3 if 'dog' in shown else 2}")
    with pytest.raises(DataError, match="the column 'dog' holds '2', neither 0 nor 1"):
        labels(root, classes=["cat", "dog"])


def test_a_known_class_may_be_called_as_a_split(root):
    """VOC and COCO have a class `train`."""
    table(root, "image,cat,train", lambda name, shown: f"{name},{int('cat' in shown)},{int('dog' in shown)}")
    adapter = folder(root, tags="tags.csv", splits=ALL, classes=["cat", "train"])
    assert set(adapter.image_labels("p03")) == {"cat", "train"} and adapter.notices == ()


@pytest.mark.parametrize("header", ["kfold", "data_split", "cv_fold"])
def test_folds_are_no_classes(root, header):
    rows = iter(range(12))
    table(root, f"image,cat,dog,{header}", lambda n, s: f"{n},{int('cat' in s)},{int('dog' in s)},{next(rows) % 2}")
    found = look(root, None)
    assert found.classes == ("cat", "dog")
    assert any(f"not those of the column '{header}'" in sentence for sentence in found.found)


@pytest.mark.parametrize("words", [("Training set", "val set", "test set"), ("train_split", "dev_split", "test_split")])
def test_words_of_splits_may_say_that_they_are_sets(root, words):
    rows = iter([words[0]] * 6 + [words[1]] * 3 + [words[2]] * 3)
    table(root, "image,classes,dataset", lambda name, shown: f"{name},{';'.join(shown)},{next(rows)}")
    assert {split: len(keys) for split, keys in folder(root, tags="tags.csv").splits().items()} == {
        "train": 6,
        "val": 3,
        "test": 3,
    }


@pytest.mark.parametrize("second", ["big  cat", "big_cat", "Big Cat", "big cat\u200b", "big-cat"])
def test_one_class_in_two_spellings_is_refused(root, second):
    table(
        root, "image,classes", lambda name, shown: f"{name},{second if name == 'p03' else 'big cat' if shown else ''}"
    )
    with pytest.raises(DataError, match="is written 'big cat' in line 3; write it in one way"):
        folder(root, tags="tags.csv", splits=ALL).splits()


@pytest.mark.parametrize("mark", ["/", " + ", " & ", " and ", " "])
def test_two_classes_in_one_name_are_asked_about(root, mark):
    table(root, "image,classes", lambda name, shown: f"{name},{mark.join(shown)}")
    with pytest.raises(DataError, match=r"tags.csv:5: class 'cat.*dog' could be 'cat' and 'dog'; separate classes by"):
        folder(root, tags="tags.csv", splits=ALL).splits()
    adapter = folder(root, tags="tags.csv", splits=ALL, classes=["cat", "dog", f"cat{mark}dog"])
    assert adapter.image_labels("p03") == (f"cat{mark}dog",)


def test_people_who_disagree_in_a_table_are_named(root):
    """Their classes were joined, as those of a table with a row for each class."""
    rows = [f"{name},{kind},{who}" for name in NAMES[1:] for kind in SHOWN[name] or [""] for who in "AB"]
    (root / "tags.csv").write_text("\n".join(["image,choice,annotator", "p00,,A", "p00,,B", *rows]))
    assert labels(root) == RIGHT
    (root / "tags.csv").write_text("\n".join(["image,choice,annotator", "p00,,A", "p00,cat,B", *rows]))
    with pytest.raises(DataError, match=r"tags.csv:2: people disagree on 'p00': none and cat; keep the rows of one"):
        labels(root)


def short(**more):
    """Return Label Studio's JSON-MIN, which has no answer where nothing was chosen."""
    entries = []
    for number, (name, shown) in enumerate(SHOWN.items()):
        answer = {"animal": {"choices": list(shown)}} if shown else {}
        entries.append({"id": number, "pic": f"/data/upload/1/0a1b2c3d-{name}.png", "annotation_id": number, **answer})
    return json.dumps(entries)


def test_keys_of_json_are_chosen_as_columns_are(root):
    (root / "t.json").write_text(short())
    assert labels(root, "t.json", image_column="pic", classes_column="animal") == RIGHT
    with pytest.raises(DataError, match="entry 0: names no classes, it has 'id', 'pic', 'annotation_id'"):
        labels(root, "t.json", image_column="pic")


def test_a_split_in_json_lines_is_followed(root):
    rows = [
        {"file_name": f"{n}.png", "label": list(SHOWN[n]), "split": "train" if n < "p08" else "test"} for n in NAMES
    ]
    (root / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    adapter = folder(root, tags="metadata.jsonl")
    assert {split: len(keys) for split, keys in adapter.splits().items()} == {"train": 8, "test": 4}


def test_answers_to_several_questions_are_asked_about(root):
    tasks = []
    for name, shown in SHOWN.items():
        parts = [("animal", list(shown)), ("quality", ["good"])]
        result = [{"from_name": question, "value": {"choices": chosen}} for question, chosen in parts]
        tasks.append({"data": {"image": f"{name}.png"}, "annotations": [{"result": result}]})
    (root / "t.json").write_text(json.dumps(tasks))
    with pytest.raises(DataError, match="task 0: answers several questions: animal, quality; choose the one"):
        labels(root, "t.json")
    assert labels(root, "t.json", classes_column="animal") == RIGHT


def coco(**more):
    names = {"cat": 1, "dog": 2}
    return {
        "images": [{"id": i, "file_name": f"{name}.png"} for i, name in enumerate(NAMES)],
        "categories": [{"id": number, "name": name} for name, number in names.items()],
        "annotations": [{"image_id": i, "category_id": names[c]} for i, n in enumerate(NAMES) for c in SHOWN[n]],
        **more,
    }


def test_panoptic_coco_is_read_and_ids_given_twice_are_refused(root):
    segments = [
        {"image_id": i, "segments_info": [{"category_id": 1}] * ("cat" in SHOWN[n])} for i, n in enumerate(NAMES)
    ]
    (root / "t.json").write_text(json.dumps(coco(annotations=segments)))
    assert labels(root, "t.json", classes=["cat"]) == {name: set(shown) & {"cat"} for name, shown in SHOWN.items()}
    (root / "t.json").write_text(json.dumps(coco(categories=[*coco()["categories"], {"id": 2, "name": "bird"}])))
    with pytest.raises(DataError, match="two of its categories have one id"):
        labels(root, "t.json")


def yolo(root, names="names: [cat, no]\n", line="{} 0.5 0.5 0.1 0.1\n", file="data.yaml"):
    (root / "labels").mkdir(exist_ok=True)
    for name, shown in SHOWN.items():
        numbers = [("cat", "dog").index(kind) for kind in shown]
        (root / "labels" / f"{name}.txt").write_text("".join(line.format(number) for number in numbers))
    (root / file).write_text(names)


def test_names_of_yolo_are_texts_and_keep_their_places(root):
    yolo(root)
    assert labels(root, "labels", classes=["cat", "no"])["p03"] == {"cat", "no"}
    yolo(root, "names: [cat, dog]\n")
    assert not any("not read" in sentence for sentence in look(root, None).found), "data.yaml was read"
    (root / "data.yaml").unlink()
    yolo(root, "cat\n\ndog\n", file="classes.txt")
    with pytest.raises(DataError, match=r"p02\.txt:1: '1' is the number of no class"):
        labels(root, "labels")


@pytest.mark.parametrize("line", ["{} 0.5 0.5 0.1 0.1 0.03\n", "{} .1 .2 .3 .4 .5 .6 0.9\n"])
def test_predictions_of_yolo_are_no_labels(root, line):
    yolo(root, "names: [cat, dog]\n", line)
    with pytest.raises(DataError, match=r"p01\.txt:1: has \d values: a label has its class and pairs of numbers"):
        labels(root, "labels")


def test_tags_are_the_file_that_names_the_pictures(root):
    """A first JSON or table that speaks of something else was taken, and then refused."""
    (root / "about.json").write_text('{"authors": ["cat"]}')
    (root / "classes.csv").write_text("name,label\nx,cat\ny,dog\n")
    (root / "annotations").mkdir()
    (root / "annotations" / "instances_default.json").write_text(json.dumps(coco()))
    found = look(root, None)
    assert found.data["tags"] == "annotations/instances_default.json" and found.classes == ("cat", "dog")
    (root / "annotations" / "instances_default.json").unlink()
    with pytest.raises(DataError, match=r"classes.csv:2: there is no picture 'x'"):
        look(root, None)


def test_init_says_why_an_export_holds_no_tags(root):
    """It said that there were no labels."""
    tasks = [
        {
            "data": {"image": f"{n}.png"},
            "annotations": [{"result": [{"value": {"choices": [c]}}]} for c in ("cat", "dog")],
        }
        for n in NAMES
    ]
    (root / "export.json").write_text(json.dumps(tasks))
    with pytest.raises(DataError, match=r"there are no labels \(.*export.json: task 0: people disagree: cat and dog"):
        look(root, None)


def test_folders_of_sets_are_splits(tmp_path):
    """`training_set` and `test_set` were taken as two classes, and so were COCO's folders with a year."""
    for split, number in (("training_set", 8), ("test2017", 4)):
        for kind in ("cat", "dog"):
            for i in range(number):
                save(tmp_path / split / kind / f"{split}{kind}{i}.png", pixels(i, (kind,))[0])
    found = look(tmp_path, None)
    assert found.data["splits"] == {"folders": {"train": "training_set", "test": "test2017"}}
    assert found.classes == ("cat", "dog")


def test_folders_of_folds_are_no_classes(tmp_path):
    for fold in ("fold0", "fold1"):
        for i in range(5):
            save(tmp_path / fold / f"{fold}{i}.png", pixels(i)[0])
    with pytest.raises(DataError, match="the folders fold0, fold1 are called as folds, not as classes"):
        look(tmp_path, None)


@pytest.mark.parametrize("name", ["no", "healthy", "No_Finding", "Normal"])
def test_folders_of_nothing_are_negatives(tmp_path, name):
    for kind in ("yes", name):
        for i in range(5):
            save(tmp_path / kind / f"{kind}{i}.png", pixels(i)[0])
    found = look(tmp_path, None)
    assert found.classes == ("yes",) and found.data["negatives"] == [name]


def test_a_table_without_a_column_of_classes_is_told(root):
    table(root, "image_id,breed", lambda name, shown: f"{name},{';'.join(shown)}", "labels.csv")
    with pytest.raises(
        DataError, match=r"no labels \(.*labels.csv:1: names images in 'image_id', and no column is called"
    ):
        look(root, None)


def test_init_says_which_columns_it_reads(root):
    """A second column of tags was left alone without a word."""
    table(root, "image,class,tags,film", lambda name, shown: f"{name},{(*shown, '')[0]},{';'.join(shown[1:])},f")
    assert any(
        sentence.endswith("tags.csv: images in image, classes in class; left alone: tags, film")
        for sentence in look(root, None).found
    )
    table(root, "image,cat,dog,age", lambda name, shown: f"{name},{int('cat' in shown)},{int('dog' in shown)},41")
    assert any(sentence.endswith("classes in cat, dog; left alone: age") for sentence in look(root, None).found)


@pytest.mark.parametrize(
    ("names", "refused"),
    [
        (["scab", "rust", "leaf_spot", "complex", "scab leaf_spot complex", "rust complex"], True),
        (["screen", "door", "screen door", "pool table", "hot dog", "Sea and ocean"], False),  # of ADE20K, and more
        ([f"{color} {thing}" for color in ("red", "blue", "green") for thing in ("car", "bus", "van")], False),
        (["Tomato___healthy", "Tomato___rust", "Potato___rust"], False),
        (
            "haze primary;clear primary;clear primary water;clear agriculture primary;haze water;haze primary water;"
            "agriculture haze primary;clear water;agriculture clear primary water;clear agriculture".split(";"),
            True,
        ),
    ],
)
def test_lists_with_blanks_are_told_from_compound_words(names, refused):
    written = [(name, f"t.csv:{place}", f"line {place}") for place, name in enumerate(names, start=2)]
    if refused:
        with pytest.raises(
            DataError, match=r"t.csv:\d+: .* could be 'scab' and 'leaf_spot' and|10 classes are made of 5"
        ):
            distinct_names(written)
    else:
        assert distinct_names(written) == tuple(sorted(names))


@pytest.mark.parametrize("file", ["annotations/instances_{}.json", "{}.csv"])
def test_each_split_has_a_file_of_its_own_beside_the_others(tmp_path, file):
    """The first of the files was taken for all pictures."""
    places = {"train": NAMES[:8], "test": NAMES[8:]}
    for split, names in places.items():
        for number, name in enumerate(names):
            save(tmp_path / "images" / split / f"{name}.png", pixels(number, SHOWN[name])[0])
        path = tmp_path / file.format(split)
        path.parent.mkdir(exist_ok=True)
        if path.suffix == ".csv":
            path.write_text("id,label\n" + "".join(f"{name},{';'.join(SHOWN[name])}\n" for name in names))
            continue
        entries = [{"id": i, "file_name": f"{name}.png"} for i, name in enumerate(NAMES) if name in names]
        shown = [part for part in coco()["annotations"] if NAMES[part["image_id"]] in names]
        path.write_text(json.dumps(coco(images=entries, annotations=shown)))
    found = look(tmp_path, None)
    assert found.data["tags"] == file.format("{split}") and found.splits == {"train": 8, "test": 4}
    adapter = folder(**found.data)
    assert {name: set(adapter.image_labels(name)) for name in NAMES} == RIGHT


def test_tags_name_pictures_by_addresses(root):
    rows = [{"id": i, "image": f"/data/local-files/?d=in/{n}.png", "choice": "cat"} for i, n in enumerate(NAMES)]
    (root / "export.json").write_text(json.dumps(rows))
    (root / "about.json").write_text('{"authors": ["cat"]}')
    with pytest.raises(DataError, match="every picture shows the same: cat"):
        look(root, None)


def test_labels_of_yolo_beside_the_pictures_are_told_where_to_go(root):
    yolo(root, "cat\ndog\n", file="classes.txt")
    for path in (root / "labels").iterdir():
        path.rename(root / path.name)
    with pytest.raises(
        DataError, match=r"no labels \(.*pics: text files are called as the pictures; YOLO's labels are"
    ):
        look(root, None)
