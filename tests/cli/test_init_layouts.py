"""`wsss init` on folders that are laid out in less usual ways: each works, or one line says what to do."""

import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from fake_folders import class_folders, masked, pixels, save, tagged

from wsss_toolkit.cli import cli

pytestmark = pytest.mark.usefixtures("adapters")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Run in a folder below an empty one, to which the recipe's paths are relative."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def wsss(*arguments):
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def init(*arguments):
    """Run init and check, and return what init printed and the `data` section."""
    result = wsss("init", *arguments, "--out", "r.yaml", "--overwrite")
    assert result.exit_code == 0, result.output
    checked = wsss("check", "r.yaml")
    assert checked.exit_code == 0, checked.output
    return result.output, yaml.safe_load(Path("r.yaml").read_text(encoding="utf-8"))["data"]


def refused(*arguments):
    """Run init, which refuses, and return its one line."""
    result = wsss("init", *arguments)
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    [line] = result.stderr.splitlines()
    assert "unexpected" not in line
    return line


def folders_called(root, *names):
    """Write eight pictures into each folder."""
    for name in names:
        class_folders(root, classes=("cat",))
        (root / "cat").rename(root / f"{name}.new")
    for name in names:
        (root / f"{name}.new").rename(root / name)


def places(data):
    return data["root"], data["images"], data["masks"]


def test_masks_by_relative_and_absolute_paths(here, monkeypatch):
    masked(Path("frames"))
    Path("frames/masks").rename("frames-masks")
    for folder, masks in ((here / "frames", "frames-masks"), ("frames", here / "frames-masks")):
        _, data = init(folder, "--masks", masks)
        assert places(data) == (str(here), "frames/images", "frames-masks")
    _, data = init("../here/frames", "--masks", "frames-masks")
    assert places(data) == (".", "frames/images", "frames-masks")
    monkeypatch.chdir("frames")
    _, data = init(".", "--masks", "../frames-masks")
    assert places(data) == ("..", "frames/images", "frames-masks")
    _, data = init(here / "frames", "--masks", "../frames-masks")
    assert places(data) == (str(here), "frames/images", "frames-masks")


def test_masks_among_pictures_and_around_them():
    for number in range(10):
        picture, mask = pixels(number, ("cat",) if number % 2 else ("dog",))
        save(Path("frames/pictures") / f"{number}.png", picture)
        save(Path("frames") / f"{number}_gt.png", mask)
        save(Path("mixed") / f"{number}.png", picture)
        save(Path("mixed") / f"{number}_mask.png", mask)
    _, data = init("frames/pictures", "--masks", "frames")
    assert (*places(data), data["mask_suffix"]) == ("frames", "pictures", ".", "_gt")
    _, data = init("mixed", "--masks", "./mixed")
    assert (*places(data), data["mask_suffix"]) == ("mixed", ".", ".", "_mask")
    assert refused("frames/pictures", "--masks", "frames/pictures") == (
        "error: frames/pictures: holds no mask beside a picture; "
        "call them NAME_mask.png beside NAME.jpg, or name their own folder"
    )


def test_names_with_marks_of_globs():
    masked(Path("frames [old]"))
    Path("frames [old]/masks").rename("drawn")
    assert places(init("frames [old]", "--masks", "drawn")[1]) == (".", "frames [old]/images", "drawn")


def test_a_film_beside_the_classes_is_no_class():
    rows = [f"photo_{i}.png,{'cat' if i % 2 else 'dog'},film{i % 3},80" for i in range(12)]
    tagged(Path("photos"), rows=rows, header="image,classes,film,width")
    output, _ = init("photos")
    assert "pictures by class: cat 6, dog 6\n" in output


@pytest.mark.parametrize("header", ["image,classes", "id;file;class", "sep=;\nimage;classes"])
def test_tables_of_any_name(header):
    separator = ";" if ";" in header else ","
    first = ["x"] if "id" in header else []
    rows = [separator.join([*first, f"photo_{i}.png", "cat" if i % 2 else "dog"]) for i in range(12)]
    tagged(Path("photos"), rows=rows, header=header)
    Path("photos/tags.csv").rename("photos/zoo.csv")
    assert init("photos")[1]["tags"] == "zoo.csv"


def test_rows_may_start_at_the_table():
    for number in range(10):
        save(Path("photos/images") / f"{number}.png", pixels(number)[0])
    rows = [f"images/{number}.png,{'cat' if number % 2 else 'dog'}" for number in range(10)]
    Path("photos/tags.csv").write_text("\n".join(["image,classes", *rows]))
    output, data = init("photos")
    assert "pictures by class: cat 5, dog 5" in output
    assert data["images"] == "images"


def test_names_that_usually_mean_none_are_remarked_in_tags():
    rows = [f"photo_{i}.png,{'cat' if i % 2 else 'normal'}" for i in range(12)]
    output, _ = init(tagged(Path("photos"), rows=rows))
    assert "found: tags name a class normal: if that means none of the classes, leave the cell empty\n" in output


@pytest.mark.parametrize("name", ["mask", "gt"])
def test_a_class_may_be_called_as_masks_are(name):
    folders_called(Path("faces"), f"no_{name}", "other")
    random = np.random.default_rng(0)
    for number in range(8):
        save(Path("faces") / name / f"{number}.jpg", random.integers(0, 256, (48, 64, 3), np.uint8))
    output, _ = init("faces")
    assert f"pictures by class: {name} 8, no_{name} 8, other 8" in output


def test_masks_of_other_names_are_refused():
    class_folders(Path("pets"))
    for number in range(8):
        save(Path("pets/masks") / f"drawn_{number}.png", pixels(number)[1])
    assert refused("pets") == (
        "error: pets/masks: holds no mask that is named as a picture; name masks as their pictures; "
        "if the folder holds the pictures of a class, give it another name"
    )


def test_classes_one_folder_down():
    folders_called(Path("wrap/my data"), "animals", "plants")
    message = r"wrap: every picture shows the same: my data; add .*; or, if the classes are animals, plants: wsss init"
    assert re.search(message + r" 'wrap/my data'$", refused("wrap"))
    output, _ = init("wrap/my data")
    assert "animals 8, plants 8" in output


def videos(root):
    for number in range(4):
        (root / "cat" / f"new{number}.mp4").write_bytes(b"RIFF")
    (root / "README").touch()


def linked(root):
    class_folders(root.parent / "elsewhere", classes=("tree",))
    (root / "tree").symlink_to("../elsewhere/tree")
    (root / "loop").symlink_to(".")


def broken(root):
    (root / "cat" / "gone.jpg").symlink_to("nowhere.jpg")


@pytest.mark.parametrize(
    ("add", "sentence"),
    [
        (videos, "not read, other kinds of files: 4 .mp4, 1 without suffix"),
        (linked, "not followed, folders that are links: loop, tree; copy or move them here"),
        (broken, "links that lead nowhere: 1, cat/gone.jpg first"),
    ],
)
def test_what_is_not_read_is_named(add, sentence):
    add(class_folders(Path("pets")))
    output, _ = init("pets")
    assert f"found: {sentence}\n" in output
    add(class_folders(Path("cats"), classes=("cat",)))
    assert f"every picture shows the same: cat ({sentence})" in refused("cats")


def test_pictures_beside_those_of_a_folder_images_are_named():
    masked(Path("streets"))
    (Path("streets/classes.txt")).write_text("a\nb\nc\nd\n")
    assert "not read" not in init("streets")[0]
    save(Path("streets/extra/x.png"), pixels(1)[0])
    assert "found: not read, outside images: 1 pictures, extra/x.png first\n" in init("streets")[0]


def only_videos(root):
    root.mkdir()
    (root / "a.mp4").touch()


def twice(root):
    folders_called(root, "cat", "Cat")


def many(root):
    for number in range(255):  # with the background there are 256
        (root / f"c{number}").mkdir(parents=True)
        save(root / f"c{number}" / f"{number}.png", np.zeros((8, 8, 3), np.uint8))


def listed(root):
    tagged(root)
    (root / "classes.txt").write_text("cat\ndog;x\n")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (only_videos, r"x: holds no picture \(not read, other kinds of files: 1 \.mp4\); pictures end in"),
        (lambda root: folders_called(root, "cat", " dog "), r"x: class ' dog ' begins or ends with a blank; "),
        (lambda root: folders_called(root, "cat", "dog;x"), r"x: class 'dog;x' holds `;`, which separates "),
        (twice, r"x: class 'cat' is written 'Cat' in the folder x/Cat; write it in one way"),
        (many, r"x: 256 classes, counting the background where there is one; masks hold 1 to 255; merge classes"),
        (listed, r"x/classes\.txt:2: class 'dog;x' holds `;`, which separates classes; correct the list"),
        (lambda root: tagged(root, rows=[]), r"x/tags\.csv:1: names no class: no row follows the header; add one"),
    ],
)
def test_problems_are_one_line(make, message):
    make(Path("x"))
    assert re.search(rf"^error: {message}", refused("x"))
