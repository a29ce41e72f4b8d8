"""`wsss init`: folders of many shapes give a recipe that `wsss check` accepts, or one line that says what to mend."""

import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from fake_folders import class_folders, deep, masked, pixels, save, tagged
from PIL import Image

from wsss_toolkit.cli import cli
from wsss_toolkit.recipe import load_recipe

pytestmark = pytest.mark.usefixtures("adapters")

TINY = [
    "train.epochs=1",
    "train.batch_size=4",
    "segmentation.epochs=1",
    "segmentation.batch_size=4",
    "model.image_size=32",
]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Run in an empty folder, to which the recipe's paths are relative."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def wsss(*arguments):
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def init(*arguments):
    """Run init and check, and return what init printed and the recipe as plain values."""
    result = wsss("init", *arguments)
    assert result.exit_code == 0, result.output
    path = re.search(r"^recipe: (.+)$", result.output, re.MULTILINE)[1]
    checked = wsss("check", path)
    assert checked.exit_code == 0, checked.output
    assert "ready" in checked.output
    return result.output, yaml.safe_load(Path(path).read_text(encoding="utf-8"))


def patients(folder, *columns):
    """Write twelve tagged pictures, of which three belong together; columns are given with their values."""
    tagged(folder)
    rows = (folder / "tags.csv").read_text().splitlines()
    for name, values in columns:
        rows = [f"{row},{value}" for row, value in zip(rows, [name, *values], strict=True)]
    (folder / "tags.csv").write_text("\n".join(rows), encoding="utf-8")


IDS = [f"P{number // 2:02}" for number in range(12)]


@pytest.mark.parametrize("column", [
    "patient", "Patient ID", "patientId", "video_name", "CaseNo", "site", "pid", "MRN", "Patientennummer", "N° patient",
    "id_paziente", "№ пациента", "患者番号", "地点", "환자번호", "Vidéo", "StudyInstanceUID", "centre",
])  # fmt: skip
def test_a_column_that_looks_like_a_patient_keeps_its_images_together(column):
    patients(Path("photos"), (column, IDS), ("age", range(12)))
    said, recipe = init("photos")
    assert recipe["data"]["splits"]["group_by"] == column
    assert f"images of one {column}, a column of the tags, stay in one split" in said


@pytest.mark.parametrize(
    "columns", [("patient", range(12)), ("patient", ["a"] * 12), ("age", IDS), ("showcase", IDS), ("patient_age", IDS)]
)
def test_columns_that_say_nothing_of_patients(columns):
    patients(Path("photos"), columns)
    assert "group_by" not in init("photos")[1]["data"]["splits"]


def test_a_patient_column_that_cannot_be_followed_is_named():
    patients(Path("photos"), ("patient", ["P1", "p01", *IDS[2:]]))
    said, recipe = init("photos")
    assert "group_by" not in recipe["data"]["splits"] and "images of one patient are not kept in one split:" in said
    assert "in the column 'patient' differ only in case" in said
    patients(Path("two"), ("patient", IDS), ("split", (["train"] * 5 + ["val"] * 3 + ["test"] * 4)))
    said, recipe = init("two")
    assert "values of patient lie in several splits, P02 in " in said and "split_column" in recipe["data"]["splits"]


def refused(*arguments):
    """Run init, which refuses, and return its one line."""
    before = sorted(Path().rglob("*"))
    result = wsss("init", *arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert sorted(Path().rglob("*")) == before, "nothing is written"
    [line] = result.stderr.splitlines()
    return line


def with_blanks(root):
    class_folders(root, classes=("cat", "dog"))
    (root / "dog").rename(root / "große Hunde")
    for path in sorted((root / "cat").iterdir()):
        path.rename(path.with_name(f"Bild {path.stem} ä.jpg"))
    return root


def splits_of(output):
    found = re.search(r"^decided: splits: (.+)$", output, re.MULTILINE)[1]
    return {split: int(number) for split, number in (part.split() for part in found.split(", "))}


def test_class_folders():
    output, recipe = init(class_folders(Path("pets"), each=20))
    assert "found: 40 pictures (40 jpg) of 48 x 64 pixels, red, green and blue" in output
    assert "found: pictures by class: cat 20, dog 20" in output
    assert splits_of(output) == {"train": 28, "val": 6, "test": 6}
    assert output.endswith("recipe: pets.yaml\nnext: wsss check pets.yaml\n      wsss run pets.yaml\n")
    assert recipe["data"]["class_folders"] is True
    assert [entry["name"] for entry in recipe["data"]["classes"]] == ["background", "cat", "dog"]
    assert recipe["pseudo_masks"]["background"] == "threshold"
    assert recipe["labels"] == {"source": "dataset"}
    assert recipe["evaluation"] == {"pseudo_masks": [], "segmentation": []}


@pytest.mark.parametrize("header", ["image,classes", "image;classes", "image\tclasses"])
def test_tags(header):
    _, recipe = init(tagged(Path("photos"), header=header))
    assert recipe["data"]["tags"] == "tags.csv"
    assert recipe["data"]["background"] == "background"


def test_scenes_have_no_background():
    root = tagged(Path("streets"), number=9)
    rows = [f"photo_{i},{'cat;dog;tree;sky' if i % 2 else 'cat;tree;sky'}" for i in range(9)]
    (root / "tags.csv").write_text("\n".join(["image,classes", *rows]))
    _, recipe = init(root)
    assert recipe["data"]["background"] is None
    assert recipe["pseudo_masks"]["background"] == "none"


def test_unicode_and_blanks():
    output, recipe = init(with_blanks(Path("Füße & Fell")), "--out", "mein rezept.yaml")
    assert recipe["name"] == "Fue-Fell"
    assert recipe["data"]["root"] == "Füße & Fell"
    assert [entry["name"] for entry in recipe["data"]["classes"]] == ["background", "cat", "große Hunde"]
    assert "next: wsss check 'mein rezept.yaml'" in output


def test_16_bit_bands():
    output, recipe = init(deep(Path("microscope"), names=("DAPI", "GFP")))
    assert "2 x uint16: DAPI, GFP" in output
    assert recipe["channels"] == {"image": {"bands": "all", "scale": "zscore"}}
    assert recipe["train"]["augment"]["color_jitter"] == 0


def test_masks_alone():
    output, recipe = init(masked(Path("streets"), height=120, width=160))
    assert "the masks hold the values 0, 1, 2, 3" in output
    assert recipe["labels"]["source"] == "mask_coverage"
    assert recipe["data"]["crop"] == 56
    assert splits_of(output) == {"train": 28, "val": 8, "test": 4}
    assert "crop_size" in recipe["segmentation"] and "image_size" not in recipe["segmentation"]
    assert recipe["evaluation"] == {"pseudo_masks": ["train", "val", "test"], "segmentation": ["val", "test"]}


def test_black_and_white_masks():
    for number in range(10):
        picture, mask = pixels(number, ("cat",) if number % 2 else ())
        save(Path("cracks/images") / f"{number}.jpg", picture)
        save(Path("cracks/masks") / f"{number}_mask.png", (mask > 0).astype(np.uint8) * 255)
    _, recipe = init("cracks")
    assert recipe["data"]["mask_suffix"] == "_mask"
    assert recipe["data"]["codes"] == {0: "background", 255: "object"}
    assert recipe["data"]["background"] == "background"


def test_names_of_masks_from_a_list_and_void():
    masked(Path("streets"))
    Path("streets/classes.txt").write_text("nothing\ncat\ndog\n")
    _, recipe = init("streets")
    assert [entry["name"] for entry in recipe["data"]["classes"]] == ["nothing", "cat", "dog"]
    assert recipe["data"]["ignore"] == [3], "one value after the last class is void"
    Path("streets/classes.txt").write_text("nothing\ncat\n")
    assert "masks hold the values 0, 1, 2, 3, but there are 2 classes: nothing, cat" in refused(
        "streets", "--overwrite"
    )


def test_masks_beside_and_masks_that_do_not_fit():
    masked(Path("in/streets"))
    Path("in/streets/masks").rename("in/drawn")
    _, recipe = init("in/streets", "--masks", "in/drawn")
    assert (recipe["data"]["root"], recipe["data"]["images"], recipe["data"]["masks"]) == (
        "in",
        "streets/images",
        "drawn",
    )

    tagged(Path("photos"), number=10)
    for number in range(10):
        save(Path("photos/masks") / f"photo_{number}.png", np.full((48, 64), number % 5, np.uint8))
    output, recipe = init("photos")
    assert "masks are not used: photos/masks: masks hold the values 0, 1, 2, 3, 4, but there are 3 classes: " in output
    assert recipe["evaluation"] == {"pseudo_masks": [], "segmentation": []}
    assert "list all classes in classes.txt" in refused("photos", "--masks", "photos/masks", "--overwrite")


def test_folders_of_splits():
    for split in ("train", "val"):
        masked(Path("streets") / split)
    output, recipe = init("streets")
    assert recipe["data"]["images"] == "{split}/images"
    assert recipe["data"]["masks"] == "{split}/masks"
    assert recipe["data"]["splits"] == {"folders": {"train": "train", "val": "val"}}
    assert splits_of(output) == {"train": 10, "val": 10}
    for split in ("training", "valid"):
        class_folders(Path("pets/Images") / split, each=4)
    _, recipe = init("pets")
    assert recipe["data"]["images"] == "Images/{split}"
    assert recipe["data"]["splits"] == {"folders": {"train": "training", "val": "valid"}}


def test_negatives():
    class_folders(Path("polyps"), classes=("cat",))
    shutil.copytree("polyps/cat", "polyps/negative")
    output, recipe = init("polyps")
    assert "cat 8; none 8" in output
    assert recipe["data"]["negatives"] == ["negative"]


def missing_image(root):
    tagged(root)
    (root / "photo_3.png").unlink()


def misspelt_image(root):
    tagged(root)
    path = root / "tags.csv"
    path.write_text(path.read_text().replace("photo_3.png", "foto_3.png"))


def misspelt_class(root):
    tagged(root, number=48)
    path = root / "tags.csv"
    path.write_text(path.read_text().replace("photo_5.png,dog", "photo_5.png,dogg"))


def class_not_in_the_list(root):
    tagged(root)
    (root / "classes.txt").write_text("cat\nbird\n")


def tagged_twice(root):
    tagged(root)
    with (root / "tags.csv").open("a") as file:
        file.write("photo_2,cat\n")


def zero_bytes(root):
    (class_folders(root) / "cat" / "3.jpg").write_bytes(b"")


def beside_folders(root):
    save(class_folders(root) / "x.jpg", pixels(1)[0])


def pairs(root):
    for number in range(9):
        save(root / f"{number}.jpg", pixels(number)[0])
        save(root / f"{number}.png", pixels(number)[1])


def odd_bands(root):
    save(class_folders(root) / "cat" / "deep.png", np.zeros((9, 9), np.uint16))


def masks_are_pictures(root):
    masked(root)
    for path in (root / "masks").iterdir():
        Image.fromarray(np.arange(48 * 64, dtype=np.uint16).reshape(48, 64).astype(np.uint8)).save(path)


def no_labels(root):
    tagged(root)
    (root / "tags.csv").unlink()


def class_missing_in_training(root):
    class_folders(root / "train", each=4)
    class_folders(root / "val", classes=("cat", "tree"), each=4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            missing_image,
            r"x/tags\.csv:5: there is no picture 'photo_3\.png'; copy it to the other 11, or remove the row",
        ),
        (misspelt_image, r"x/tags\.csv:5: there is no picture 'foto_3\.png'; did you mean photo_3\.png\?"),
        (
            misspelt_class,
            r"x/tags\.csv: unknown class 'dogg' \(1 of 48 pictures\), did you mean 'dog'\?; correct it, or",
        ),
        (class_not_in_the_list, r"x/tags\.csv:3: unknown class 'dog'; data\.classes has bird, cat"),
        (tagged_twice, r"x/tags\.csv:14: 'photo_2' has a row already, in line 4, with other classes; write all its"),
        (zero_bytes, r"x/cat/3\.jpg: is empty \(0 bytes\)"),
        (beside_folders, r"x: 1 pictures lie beside the folders cat, dog, x\.jpg first; move each"),
        (pairs, r"x: 9 names are there with two suffixes, 0 first: picture and mask\?; move the masks"),
        (odd_bands, r"x: 1 of 17 pictures have other bands than the rest \(red, green and blue\): cat/deep\.png"),
        (masks_are_pictures, r"x/masks/0\.png: holds values up to 255, 256 so far: a picture, not a mask"),
        (
            no_labels,
            r"x: there are no labels; put the pictures of each class into a folder of its own, write tags\.csv",
        ),
        (class_missing_in_training, r"x: the folder 'tree' is in val and not in train"),
        (lambda root: class_folders(root, classes=("cat",)), r"x: every picture shows the same: cat; add pictures"),
        (lambda root: class_folders(root, each=3), r"x: holds 6 pictures; the least is 8"),
        (lambda root: root.mkdir(), r"x: holds no picture; pictures end in"),
        (lambda root: None, r"x: no such folder; correct the path"),
    ],
)
def test_problems_are_one_line(make, message):
    make(Path("x"))
    assert re.search(rf"^error: {message}", refused("x"))


def test_a_recipe_is_not_overwritten():
    class_folders(Path("pets"))
    Path("pets.yaml").write_text("mine")
    assert refused("pets") == "error: pets.yaml: exists already; use --overwrite, or --out for another name"
    assert Path("pets.yaml").read_text() == "mine"
    init("pets", "--overwrite")
    assert load_recipe("pets.yaml").name == "pets"


def test_where_nothing_can_be_written():
    class_folders(Path("pets"))
    assert refused("pets", "--out", "nowhere/pets.yaml").startswith(
        "error: nowhere/pets.yaml: cannot write: No such file"
    )


@pytest.mark.slow
@pytest.mark.parametrize("make", [with_blanks, deep, masked], ids=["blanks", "16 bit", "masks"])
def test_recipes_run(make):
    make(Path("data"))
    init("data", "--out", "r.yaml")
    result = wsss("run", "r.yaml", *(part for value in TINY for part in ("--set", value)), "--device", "cpu")
    assert result.exit_code == 0, result.output
    masks = sorted(Path("runs/data/export/test").glob("*.png"))
    assert masks
    with Image.open(masks[0]) as mask:
        assert mask.mode == "P"
        assert set(np.unique(np.asarray(mask))) <= set(range(len(load_recipe("r.yaml").data.classes)))
    found = wsss("pseudolabel", "--tiles", "data", "--out", "labelled", "--device", "cpu")
    assert found.exit_code == 0, found.output
    assert list(Path("labelled").glob("*_mask.png"))


@pytest.mark.real_data
@pytest.mark.skipif("WSSS_TEST_DATA" not in os.environ, reason="WSSS_TEST_DATA is not set")
def test_camvid():
    output, recipe = init(Path(os.environ["WSSS_TEST_DATA"]) / "natural" / "camvid")
    assert "468 pictures (468 jpg) of 360 x 480 pixels" in output
    assert splits_of(output) == {"train": 4 * 367, "val": 4 * 101}
    assert recipe["data"]["crop"] == 176
