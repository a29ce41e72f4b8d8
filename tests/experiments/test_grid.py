import pytest

from wsss_toolkit.errors import UsageError
from wsss_toolkit.experiments.grid import CASE, combinations, read_grid, split_top_level


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("0,0.2, 0.5", ["0", "0.2", "0.5"]),
        ("[1,1.5]", ["[1,1.5]"]),
        ("[1],[1, 1.5]", ["[1]", "[1, 1.5]"]),
        ("{method: fixed, value: 0.3},{method: otsu}", ["{method: fixed, value: 0.3}", "{method: otsu}"]),
        ("[{a: [1,2]},3],4", ["[{a: [1,2]},3]", "4"]),
        ('"a,b",c', ['"a,b"', "c"]),
        ("['x,y', z],w", ["['x,y', z]", "w"]),
        ("it's,o'clock", ["it's", "o'clock"]),  # quotes inside a word open nothing
        ("[1,2", ["[1,2"]),
        ("last", ["last"]),
        ("0,,1", ["0", "", "1"]),
        ("", [""]),
    ],
)
def test_commas_split_at_the_top_level_only(text, parts):
    assert split_top_level(text, ",") == parts


def test_the_last_axis_varies_fastest_and_single_values_hold_for_all():
    fixed, axes = read_grid(
        [
            "train.epochs=2",
            "model.token_masking=0,0.5",
            "pseudo_masks.scales=[1,1.5]",
            "pseudo_masks.source.layers=last,all",
        ]
    )
    assert fixed == ("train.epochs=2", "pseudo_masks.scales=[1,1.5]")
    assert [axis.name for axis in axes] == ["model.token_masking", "pseudo_masks.source.layers"]
    assert [[choice.number is not None for choice in axis.choices] for axis in axes] == [
        [True] * len(axes[0].choices),
        [False] * len(axes[1].choices),
    ]
    assert [[override for choice in one for override in choice.overrides] for one in combinations(axes)] == [
        ["model.token_masking=0", "pseudo_masks.source.layers=last"],
        ["model.token_masking=0", "pseudo_masks.source.layers=all"],
        ["model.token_masking=0.5", "pseudo_masks.source.layers=last"],
        ["model.token_masking=0.5", "pseudo_masks.source.layers=all"],
    ]


def test_without_an_axis_there_is_one_combination():
    fixed, axes = read_grid(["train.epochs=2"])
    assert (fixed, axes, list(combinations(axes))) == (("train.epochs=2",), (), [()])


def test_numbers_are_read_as_the_schema_reads_them():
    _, (axis,) = read_grid(["train.lr=1e-4,0.001,3"])
    assert [choice.number for choice in axis.choices] == [1e-4, 1e-3, 3.0]
    _, (axis,) = read_grid(["model.gates.enabled=true,false"])
    assert [choice.number for choice in axis.choices] == [None, None]
    _, (axis,) = read_grid(["train.lr=1,nan"])
    assert axis.choices[1].number is None


def test_cases_are_named_sets_of_values():
    cases = ["all", "neither: model.token_masking=0; pseudo_masks.scales=[1, 1.5];model.registers=0"]
    _, (axis,) = read_grid([], cases)
    assert axis.name == CASE
    assert [(choice.shown, choice.overrides) for choice in axis.choices] == [
        ("all", ()),
        ("neither", ("model.token_masking=0", "pseudo_masks.scales=[1, 1.5]", "model.registers=0")),
    ]


@pytest.mark.parametrize(
    ("options", "cases", "message"),
    [
        (["train.lr=1,,2"], [], "a value is empty"),
        (["train.lr=1,2", "train.lr=3,4"], [], "train.lr varies twice"),
        (["train.lr=1,2", "train.lr=3"], [], "train.lr varies in another --set"),
        (["train.lr=0.1,1e-1"], [], "1e-1 is given twice"),
        (["seed=1,2"], [], "seeds vary with --seeds"),
        ([], ["a", "a: train.lr=1"], "a is given twice"),
        ([], [": train.lr=1"], "expected NAME, or NAME: KEY=VALUE; KEY=VALUE"),
        ([], ["train.lr=1"], "expected NAME"),
        ([], ["fast: train.lr"], "expected NAME"),
    ],
)
def test_mistakes_are_refused(options, cases, message):
    with pytest.raises(UsageError, match=message):
        read_grid(options, cases)
