from pathlib import Path

import pytest

from wsss_toolkit.errors import UsageError
from wsss_toolkit.recipe import RecipeErrors, bundled_recipes, find_recipe, load_recipe, recipe_digest

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
        Path("x.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
        return "x.yaml"

    return write


def lines(path, *overrides):
    with pytest.raises(UsageError) as caught:
        load_recipe(path, overrides)
    return str(caught.value).split("\n")


def test_good_recipe(write):
    recipe = load_recipe(write(GOOD + "train: {lr: 1e-4}\n"))
    assert recipe.train.lr == 1e-4
    assert recipe.data.root == Path()
    assert list(recipe.channels.sensors) == ["radar"]


def test_every_mistake_in_one_pass_in_the_order_of_the_file(write):
    path = write("""\
name: bad name
data:
  adapter: fake
  rot: 5
channels:
  radar: {bands: [VV, VH], scale: decibels}
  fussion: early
model:
  patch_sise: 8
  image_size: 100
  depth: 0
  gates: 5
  class_tokens: {enter_at: 4}
train:
  epochs: true
  precision: 32
  freeze_below: 6
pseudo_masks:
  source: {kind: fused,
    layers: [1, -2]}
  threshold: {method: fixed}
epochs: 3
model: {}
evaluation: {pseudo_masks: [train, foo]}
""")
    assert lines(path, "model.imagesize=3", "train.lr=-1") == [
        "x.yaml:1:7 name: expected text that matches ^[A-Za-z0-9][A-Za-z0-9._-]*$, got 'bad name'",
        "x.yaml:2:1 data.root: missing key",
        "x.yaml:4:3 data.rot: unknown key, did you mean root?",
        "x.yaml:6:35 channels.radar.scale: expected 'reflectance', 'decibel', 'zscore', "
        "'minmax', 'imagenet' or 'symmetric', "
        "got 'decibels'; did you mean decibel?",
        "x.yaml:7:3 channels.fussion: unknown key, did you mean fusion?",
        "x.yaml:9:3 model.patch_sise: unknown key, did you mean patch_size?",
        "x.yaml:10:15 model.image_size: 100 is not divisible by the patch size 16; the nearest are 96 or 112",
        "x.yaml:11:10 model.depth: must be at least 1, got 0",
        "x.yaml:12:10 model.gates: expected a section of keys, got 5",
        "x.yaml:15:11 train.epochs: expected a number, got true",
        "x.yaml:16:14 machine.precision: expected 'auto', '32', 'bf16' or '16', got 32; write it in quotes",
        "x.yaml:17:17 train.freeze_below: blocks below 6 are computed once and cached, but "
        "class tokens join at "
        "block 4; freeze at most 4 or raise model.class_tokens.enter_at",
        "x.yaml:19:3 pseudo_masks.source.head: needs a head 'patch', choose from class; add heads.patch",
        "x.yaml:20:17 pseudo_masks.source.layers.1: must be at least 0, got -2",
        "x.yaml:21:14 pseudo_masks.threshold: `value` is needed for `quantile` and `fixed`, and for these only",
        "x.yaml:22:1 epochs: unknown key, did you mean train.epochs or segmentation.epochs?",
        "x.yaml:23:1 model: key given twice, first at line 8",
        "x.yaml:24:28 evaluation.pseudo_masks: no pseudo-masks are written for 'foo'; add it to pseudo_masks.splits",
        "--set model.imagesize=3: unknown key, did you mean image_size?",
        "--set train.lr=-1: must be above 0, got -1",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "x.yaml: the recipe is empty; start from one that `wsss recipes` lists"),
        ("# only a comment\n", "x.yaml: the recipe is empty; start from one that `wsss recipes` lists"),
        ("- a\n", "x.yaml: a recipe is a mapping of keys such as `name: ...`, but this file holds a list"),
        (
            "text",
            "x.yaml: a recipe is a mapping of keys such as `name: ...`, but this file holds a single value",
        ),
        ("a: b: c\n", "x.yaml:1:5: malformed YAML: mapping values are not allowed here"),
        (
            "a:\n\tb: 1\n",
            "x.yaml:2:1: malformed YAML: found character '\\t' that cannot start any token; "
            "indent with spaces, not tabs",
        ),
        ("a: [1, 2\n", "x.yaml:2:1: malformed YAML: expected ',' or ']', but got '<stream end>'"),
        ("a: *b\n", "x.yaml:1:4: malformed YAML: found undefined alias 'b'"),
        ("a: 1\n---\nb: 2\n", "x.yaml:2:1: malformed YAML: but found another document"),
        (b"name: caf\xe9\n", "x.yaml:1: not UTF-8 text: byte 0xe9; save the file as UTF-8"),
        (b"name: x\nseed: \x00\n", "x.yaml:2: malformed YAML: character #x0000 is not allowed"),
        ("[" * 50_000, "x.yaml: nested more than 30 levels deep"),
        ("a: &a [*a]\n", "x.yaml: nested more than 30 levels deep"),
        (b"#" * 1_000_001, "x.yaml: larger than 1 MB, which no recipe is"),
    ],
)
def test_what_is_no_recipe_at_all(write, text, expected):
    assert lines(write(text)) == [expected]


def test_alias_bomb_is_refused(write):
    text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    text += "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 10))
    assert lines(write(text)) == ["x.yaml: more than 20000 values once aliases are written out"]


def test_aliases_are_fine(write):
    recipe = load_recipe(write(GOOD + "train: {augment: &a {vertical_flip: true}}\nsegmentation: {augment: *a}\n"))
    assert recipe.segmentation.augment.vertical_flip


def test_objects_are_never_built(write):
    path = write(GOOD + "seed: !!python/object/apply:os.system ['touch pwned']\n")
    assert (
        "x.yaml:5:7 seed: the tag !!python/object/apply:os.system is not allowed; recipes "
        "hold plain values only" in (lines(path))
    )
    assert not Path("pwned").exists()


def test_merge_keys_are_refused(write):
    path = write(GOOD + "train: {<<: {epochs: 3}}\n")
    assert lines(path) == ["x.yaml:5:9 train: merge keys (<<) are not supported; write the keys out"]


def test_missing_file_and_folder(tmp_path):
    assert lines(tmp_path / "y.yaml") == [
        f"{tmp_path}/y.yaml: no such recipe file; `wsss recipes` lists those installed"
    ]
    assert lines(tmp_path) == [f"{tmp_path}: this is a folder, not a recipe file; name a .yaml file in it"]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (
            "{root: .}",
            "x.yaml:2:1 data.adapter: missing key; choose from ade20k, coco, dfc2020, fake, folder, hyperkvasir, "
            "sentinel, synthetic, voc",
        ),
        (
            "{adapter: fakes, root: .}",
            "x.yaml:2:17 data.adapter: no adapter is called 'fakes'; did you mean fake?",
        ),
        ("{adapter: 3}", "x.yaml:2:17 data.adapter: expected the name of an adapter, got 3"),
        ("{adapter: fake}", "x.yaml:2:1 data.root: missing key"),
        ("{adapter: fake, root: 4}", "x.yaml:2:29 data.root: expected a path, got 4; put it in quotes"),
        ("{adapter: fake, root: ., size: x}", "x.yaml:2:38 data.size: expected a whole number, got 'x'"),
    ],
)
def test_data_section(write, data, expected):
    assert lines(write(GOOD.replace("{adapter: fake, root: .}", data))) == [expected]


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("train.epochs", "--set train.epochs: expected KEY=VALUE; for example --set train.epochs=5"),
        ("=5", "--set =5: expected KEY=VALUE; for example --set train.epochs=5"),
        (
            "train.epochs=[1",
            "--set train.epochs=[1: malformed YAML: expected ',' or ']', but got '<stream end>'; "
            "put the value in quotes",
        ),
        ("name.x=1", "--set name.x=1: name is a value, not a section"),
        (
            "channels.radar.bands.0=VH",
            "--set channels.radar.bands.0=VH: channels.radar.bands is a list; set it as a whole",
        ),
        ("epochs=5", "--set epochs=5: unknown key, did you mean train.epochs or segmentation.epochs?"),
        ("train.epochs=x", "--set train.epochs=x: expected a whole number, got 'x'"),
        ("train={epochs: 0}", "--set train={epochs: 0} train.epochs: must be at least 1, got 0"),
        (
            "channels.radar.bands=[VX]",
            "--set channels.radar.bands=[VX] channels.radar.bands.0: sensor 'radar' has no "
            "band 'VX', choose from VV, VH",
        ),
    ],
)
def test_wrong_overrides(write, override, expected):
    assert lines(write(GOOD), override) == [expected]


def test_overrides_win_in_order_and_reach_into_absent_sections(write):
    recipe = load_recipe(
        write(GOOD + "segmentation: null\n"),
        ["train.epochs=3", "train.epochs=4", "segmentation.epochs=7", "data.root=/else", "train.lr=1e-3"],
    )
    assert (recipe.train.epochs, recipe.segmentation.epochs, recipe.train.lr) == (4, 7, 1e-3)
    assert recipe.data.root == Path("/else")


def test_digest_follows_values_and_the_order_of_sensors(write):
    base = load_recipe(write(GOOD))
    assert recipe_digest(base) == recipe_digest(load_recipe(write(GOOD + "train: {epochs: 30}\nseed: 0\n")))
    assert recipe_digest(base) != recipe_digest(load_recipe(write(GOOD + "seed: 1\n")))
    two = "  optical: {scale: reflectance}\n"
    one_order = load_recipe(write(GOOD + two))
    other = load_recipe(write(GOOD.replace("channels:\n", "channels:\n" + two)))
    assert recipe_digest(one_order.channels) != recipe_digest(other.channels)


def test_recipe_errors_survive_pickling_between_processes():
    import copy

    error = copy.copy(RecipeErrors(["a", "b"]))
    assert (str(error), error.lines, error.exit_code) == ("a\nb", ("a", "b"), 2)


def test_bundled_recipes_are_valid_and_say_what_they_are():
    found = bundled_recipes()
    assert {"quickstart", "dfc2020", "paper/dfc2020", "sentinel_samples", "forest"} <= set(found)
    for path, comment in found.values():
        load_recipe(path)
        assert len(comment) > 20


def test_quickstart_spells_out_what_people_edit():
    text = find_recipe("quickstart").read_text()
    assert "token_masking: 0.5" in text
    assert "  epochs: " in text


def test_find_recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_recipe("paper/dfc2020").name == "dfc2020.yaml"
    Path("quickstart").write_text("mine")
    assert find_recipe("quickstart") == Path("quickstart")
    with pytest.raises(UsageError, match=r"^'dfc202' is neither a file nor a bundled recipe; did you mean dfc2020\?$"):
        find_recipe("dfc202")
    Path("folder").mkdir()
    with pytest.raises(UsageError, match=r"^folder: this is a folder"):
        find_recipe("folder")


def test_a_pattern_on_the_command_line_needs_no_quotes_of_yaml(write):
    recipe = load_recipe(write(GOOD), ['data.root={scene}/"{band}: x".tif'])
    assert recipe.data.root == Path('{scene}/"{band}: x".tif')
    assert lines("x.yaml", "train={epochs}")[0].startswith("--set train={epochs}"), "a mapping stays one"
