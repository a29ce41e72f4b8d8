"""Values that YAML reads as something else than people write: one line says how to write them."""

from pathlib import Path

import pytest

from wsss_toolkit.recipe.document import Document
from wsss_toolkit.recipe.home import with_home
from wsss_toolkit.recipe.load import load_recipe
from wsss_toolkit.recipe.messages import RecipeErrors
from wsss_toolkit.recipe.schema import Labels

TEXT = """\
name: r
data: {adapter: folder, root: ., tags: tags.csv, background: background,
  classes: [background, CLASS]}
channels: {rgb: {bands: all, scale: imagenet}}
labels: {source: dataset}
model: {backbone: vit_tiny_patch16_224, weights: none, image_size: 32, patch_size: 16, depth: 1}
train: {epochs: 1, batch_size: 4, lr: 1.0e-3}
pseudo_masks: {splits: [train], classes: predicted, assign: argmax, background: threshold}
segmentation: null
evaluation: {pseudo_masks: [], segmentation: []}
export: {splits: []}
"""


def refused(tmp_path, text, *overrides):
    path = tmp_path / "r.yaml"
    path.write_text(text)
    with pytest.raises(RecipeErrors) as caught:
        load_recipe(path, overrides)
    [line] = caught.value.lines
    return line


@pytest.mark.parametrize(
    ("written", "read"),
    [("no", "false"), ("yes", "true"), ("on", "true"), ("Off", "false"), ("~", "null"), ("null", "null"), ("3", "3"),
     ("1_000", "1000"), ("1.5", "1.5"), (".inf", "Infinity")],
)  # fmt: skip
def test_class_names_that_are_none_to_yaml(tmp_path, adapters, written, read):
    line = refused(tmp_path, TEXT.replace("CLASS", written))
    hint = f": YAML reads {written} as {read}" if written != read else ""
    assert line.endswith(f"; put it in quotes{hint}"), line
    assert ":3:25 data.classes.1: " in line
    load_recipe(tmp_path / "r.yaml", [f'data.classes=[background, "{written}"]'])
    assert "put it in quotes" in refused(
        tmp_path, TEXT.replace("CLASS", "cat"), f"data.classes=[background, {written}]"
    )


@pytest.mark.parametrize(
    ("written", "value"), [("010", 8), ("0777", 511), ("1:30", 90), ("-1:00", -60), ("1:30:00", 5400)]
)
def test_numbers_that_nobody_reads_as_yaml_does(tmp_path, adapters, written, value):
    expected = f"YAML reads {written} as {value}; write {value}, or put it in quotes"
    assert refused(tmp_path, TEXT.replace("CLASS", written)).endswith(expected)
    assert refused(tmp_path, TEXT.replace("CLASS", "cat"), f"train.epochs={written}").endswith(expected)
    if 0 <= value <= 255:
        changes = f"data.codes={{{written}: cat}}", "data.masks=m"
        assert expected in refused(tmp_path, TEXT.replace("CLASS", "cat"), *changes)


def test_what_is_meant_is_silent(tmp_path, adapters):
    path = tmp_path / "r.yaml"
    path.write_text(TEXT.replace("CLASS", "2024-05-01"))
    assert load_recipe(path).data.classes[1].name == "2024-05-01"
    assert load_recipe(path, ["train.epochs=10", "seed=0", "train.lr=0.5"]).train.lr == 0.5
    assert Document("a: 0\nb: 0.5\nc: 1_000\nd: 12:30 o'clock\n", "x").problems == []
    line = refused(tmp_path, TEXT.replace("CLASS", "cat"), "train.epochs=no")
    assert line.endswith("must be at least 1, got false")


def test_a_tilde_is_the_home_folder_in_every_path(tmp_path, monkeypatch, adapters):
    monkeypatch.setenv("HOME", str(tmp_path))
    path = tmp_path / "r.yaml"
    path.write_text(TEXT.replace("CLASS", "cat").replace("root: .", "root: ~/pics"))
    assert load_recipe(path).data.root == tmp_path / "pics"
    changes = ["data.root='~'", "data.tags=~/t.csv", "data.splits={lists: {train: ~/a.txt, val: [~b]}}"]
    recipe = load_recipe(path, [*changes, "model.weights=~/w.pth"])
    assert (recipe.data.root, recipe.data.tags, recipe.model.weights) == (
        tmp_path, tmp_path / "t.csv", f"{tmp_path}/w.pth",
    )  # fmt: skip
    assert recipe.data.splits.lists == {"train": tmp_path / "a.txt", "val": ("~b",)}
    assert with_home(Labels(source="tag_file", tag_file="~/t.csv")).tag_file == f"{tmp_path}/t.csv"


def test_a_home_of_nobody_and_paths_without_one_stay(tmp_path):
    section = Labels(source="tag_file", tag_file="~nobody-of-that-name/t.csv")
    assert with_home(section) is section
    plain = Labels(source="tag_file", tag_file=str(Path("a~b.csv")))
    assert with_home(plain) is plain
