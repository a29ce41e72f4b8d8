import pytest
import yaml

from wsss_toolkit.recipe import load, load_recipe, open_recipe
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
    load._say_once.cache_clear()

    def write(text):
        (tmp_path / "x.yaml").write_text(text)
        return "x.yaml"

    return write


def test_every_key_that_moved_is_read_where_it_was():
    old = {"train": {"precision": "16", "devices": 2, "workers": 3, "cache": "disk", "images_in_memory_mb": 5, "lr": 1}}
    new, lines = upgrade(old)
    assert new["machine"] == {name: value for name, value in old["train"].items() if name != "lr"}
    assert new["train"] == {"lr": 1}
    assert len(lines) == len(MOVED) and lines[2] == "train.workers is machine.workers now"
    assert old["train"]["workers"] == 3, "what was given is not changed"
    assert upgrade(new) == (new, [])


@pytest.mark.parametrize("values", [{"train": 5}, {"train": None}, {"train": ["workers"]}, {}])
def test_what_is_no_recipe_is_left_as_it_is(values):
    assert upgrade(values) == (values, [])
    assert upgrade({"train": {"workers": 1}, "machine": 3})[0] == {"train": {"workers": 1}, "machine": 3}


def test_the_new_spelling_is_said_once_on_standard_error(write, capsys):
    path = write(GOOD + "train: {workers: 2}\n")
    assert load_recipe(path, ["train.devices=3"]).machine.model_dump(exclude_defaults=True) == {
        "workers": 2,
        "devices": 3,
    }
    assert capsys.readouterr().err.splitlines() == [
        "x.yaml: train.workers is machine.workers now; the older spelling is read by this version only",
        "--set train.devices=3: train.devices is machine.devices now; the older spelling is read by this version only",
    ]
    assert open_recipe(path).outdated == (
        "x.yaml: train.workers is machine.workers now; the older spelling is read by this version only",
    )
    load_recipe(path)
    assert capsys.readouterr().err == ""


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


def test_a_recipe_in_todays_spelling_says_nothing(write, capsys):
    recipe = load_recipe(write(GOOD + yaml.safe_dump({"machine": {"cache": "disk"}})))
    assert recipe.machine.cache == "disk" and capsys.readouterr().err == ""
