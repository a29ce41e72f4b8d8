import pytest
import yaml

from wsss_toolkit.report.plain_recipe import last_name, shareable, shareable_yaml


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
