import copy

import pytest
import yaml

from wsss_toolkit.recipe import load_recipe, open_recipe
from wsss_toolkit.recipe.load import RecipeErrors
from wsss_toolkit.recipe.upgrade import MOVED, upgrade

pytestmark = pytest.mark.usefixtures("adapters")

GOOD = """\
name: x
data: {adapter: fake, root: .}
channels:
  radar: {bands: [VV], scale: decibel}
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(text):
        (tmp_path / "x.yaml").write_text(text)
        return "x.yaml"

    return write


def test_every_key_that_moved_is_read_where_it_was():
    moved = {"precision": "16", "devices": 2, "workers": 3, "cache": "disk", "images_in_memory_mb": 5}
    values = {"train": {**moved, "lr": 1}}
    lines = upgrade(values)
    assert values == {"train": {"lr": 1}, "machine": moved}
    assert len(lines) == len(MOVED) and lines[2] == "train.workers is now machine.workers"
    assert upgrade(values) == []


@pytest.mark.parametrize("values", [{"train": 5}, {"train": None}, {"train": ["workers"]}, {}])
def test_what_is_no_recipe_is_left_as_it_is(values):
    before = copy.deepcopy(values)
    assert upgrade(values) == [] and values == before
    values = {"train": {"workers": 1}, "machine": 3}
    assert upgrade(values) == [] and values == {"train": {"workers": 1}, "machine": 3}


def test_each_older_spelling_is_told_once(write):
    path = write(GOOD + "train: {workers: 2}\n")
    file = open_recipe(path, ["train.devices=3", "train.devices=4"])
    assert file.recipe.machine.model_dump(exclude_defaults=True) == {"workers": 2, "devices": 4}
    assert file.upgraded == ("train.workers is now machine.workers", "train.devices is now machine.devices")


@pytest.mark.parametrize("file", ["train: {workers: 8}\n", "machine: {workers: 8}\n"])
@pytest.mark.parametrize("option", ["train.workers=2", "machine.workers=2"])
def test_set_wins_over_the_file_in_either_spelling(write, file, option):
    assert load_recipe(write(GOOD + file), [option]).machine.workers == 2


def test_mistakes_are_reported_where_they_are_written(write):
    with pytest.raises(RecipeErrors) as caught:
        load_recipe(write(GOOD + "train:\n  workers: -1\n  cache: disc\n"), ["train.devices=0"])
    lines = str(caught.value).splitlines()
    assert [line.partition(": ")[0] for line in lines] == [
        "x.yaml:6:12 machine.workers",
        "x.yaml:7:10 machine.cache",
        "--set train.devices=0 machine.devices",
    ]
    with pytest.raises(RecipeErrors, match=r"^--set train.workers=-1 machine.workers: must be at least 0"):
        load_recipe(write(GOOD + "machine: {workers: 1}\n"), ["train.workers=-1"])


def test_a_recipe_in_todays_spelling_says_nothing(write):
    file = open_recipe(write(GOOD + yaml.safe_dump({"machine": {"cache": "disk"}})))
    assert file.recipe.machine.cache == "disk" and file.upgraded == ()
