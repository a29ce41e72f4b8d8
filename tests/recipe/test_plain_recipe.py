import os

import pytest
import yaml

from wsss_toolkit.recipe.plain_recipe import (
    LOCAL_FILE,
    last_name,
    shareable,
    shareable_yaml,
    with_local_paths,
    write_recipe,
)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/home/jane doe/data/dfc2020/", "dfc2020"),
        ("./data/quickstart", "quickstart"),
        ("C:\\Users\\jane\\tiles", "tiles"),
        ("s3://bucket/jane/tiles?key=secret", "tiles"),
        ("~", "."),
        ("timm", "timm"),
    ],
)
def test_the_last_name_of_a_path(path, expected):
    assert last_name(path) == expected


def test_folders_of_the_machine_are_left_out():
    recipe = {
        "name": "x",
        "data": {"adapter": "sentinel", "root": "private/jane", "sensors": {"s2": {"path": "S2/{site}.tif"}}},
        "labels": {"tag_file": "/home/jane/my tags.csv"},
        "model": {"weights": "~/vit.safetensors", "class_tokens": {"noise_std": 0.02}},
        "data2": ["../up/there", "https://user:pw@host/a/b.tif?sig=1", "D:/x/y", "mask/coverage"],
    }
    shown = shareable(recipe)
    assert shown["data"] == {"adapter": "sentinel", "root": "jane", "sensors": {"s2": {"path": "S2/{site}.tif"}}}
    assert shown["labels"]["tag_file"] == "…/my tags.csv"
    assert shown["model"] == {"weights": "…/vit.safetensors", "class_tokens": {"noise_std": 0.02}}
    assert shown["data2"] == ["…/there", "…/b.tif", "…/y", "mask/coverage"]
    assert recipe["data"]["root"] == "private/jane", "the recipe itself stays"
    text = shareable_yaml(recipe)
    assert yaml.safe_load(text) == shown and "home" not in text and "pw" not in text


VALUES = {
    "name": "tiny",
    "data": {"root": "/home/jane/tiles", "adapter": "sentinel", "scenes": {"path": "{scene}.tif"}},
    "model": {"weights": "https://me:secret@host/w.pth?sig=1", "depth": 2},
    "labels": {"tag_file": "../jane/tags.csv"},
    "lists": ["/a/b", "c"],
}


def test_paths_of_a_run_lie_beside_its_recipe_and_come_back(tmp_path):
    path = tmp_path / "recipe.yaml"
    write_recipe(path, yaml.safe_dump(VALUES, sort_keys=False))
    shown = path.read_text()
    assert not any(text in shown for text in ("/home", "jane", "secret", "sig", "/a/"))
    values = yaml.safe_load(shown)
    assert list(values) == list(VALUES) and values["model"]["weights"] == "…/w.pth"
    with_local_paths(values, path)
    assert values == VALUES


def test_what_was_changed_in_the_recipe_stays(tmp_path):
    path = tmp_path / "recipe.yaml"
    write_recipe(path, yaml.safe_dump(VALUES))
    values = yaml.safe_load(path.read_text())
    values["data"]["root"] = "/other/place"
    del values["model"]
    with_local_paths(values, path)
    assert values["data"]["root"] == "/other/place" and "model" not in values
    assert values["labels"] == VALUES["labels"]


@pytest.mark.parametrize("text", [None, "", "[]", "{", "[" * 100_000, '{"data": 3, "name": {"a": 1}}'])
def test_without_the_paths_a_recipe_is_what_it_says(tmp_path, text):
    path = tmp_path / "recipe.yaml"
    write_recipe(path, yaml.safe_dump(VALUES))
    (tmp_path / LOCAL_FILE).unlink()
    if text is not None:
        (tmp_path / LOCAL_FILE).write_text(text)
    values = yaml.safe_load(path.read_text())
    before = yaml.safe_load(path.read_text())
    with_local_paths(values, path)
    assert values == before and values["data"]["root"] == "…/tiles"


def test_what_is_no_file_is_not_waited_for(tmp_path):
    path = tmp_path / "recipe.yaml"
    write_recipe(path, yaml.safe_dump(VALUES))
    (tmp_path / LOCAL_FILE).unlink()
    os.mkfifo(tmp_path / LOCAL_FILE)
    values = yaml.safe_load(path.read_text())
    with_local_paths(values, path)
    assert values == yaml.safe_load(path.read_text())
