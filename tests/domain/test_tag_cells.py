"""How cells and values of JSON become names of classes: lists of programs, and what is asked about."""

import re

import pytest

from wsss_toolkit.domain.cells import class_names, names_of, refuse_numbers
from wsss_toolkit.errors import DataError


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("", ()),
        ("cat", ("cat",)),
        ("cat; dog ;cat", ("cat", "dog")),
        ("cat|dog,tree", ("cat", "dog", "tree")),
        ("black cat", ("black cat",)),
        ("['cat', 'dog']", ("cat", "dog")),
        ("['cat' 'dog']", ("cat", "dog")),  # as numpy writes it
        ("('cat',)", ("cat",)),
        ("{'dog', 'cat'}", ("dog", "cat")),
        ("[]", ()),
        ("set()", ()),
        ("{}", ()),
        ("""["dog's", 'cat']""", ("dog's", "cat")),
        (r"['na\xefve']", ("naïve",)),
        ('["cat", "dog"]', ("cat", "dog")),
        ('"cat"', ("cat",)),
        ("'cat','dog'", ("cat", "dog")),
        ("[cat, dog]", ("cat", "dog")),
        ("{cat,dog}", ("cat", "dog")),  # as PostgreSQL writes it
        ('{"choices": ["cat", "dog"]}', ("cat", "dog")),
        ('[{"x": 1.5, "y": 2, "rectanglelabels": ["cat"], "original_width": 64}]', ("cat",)),
        ('[{"label": "cat", "score": 1}, {"label": "dog"}]', ("cat", "dog")),
        ('{"cat": 1, "dog": 0}', ("cat",)),
        ('{"cat": true, "dog": false}', ("cat",)),
        ("(other)", ("(other)",)),
        ("[ 'cat' ,]", ("cat",)),
    ],
)
def test_cells(cell, expected):
    assert class_names(cell, (), "t.csv:2") == expected


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("nan", "t.csv:2: 'nan' could be a missing value or a class; write it as an empty cell, or put it among the"),
        ("cat;N/A", "'N/A' could be a missing value"),
        ("-", "'-' could be"),
        ("[nan]", "'nan' could be"),
        ("[None, 'cat']", "is a list that cannot be read"),
        ("[null]", "'null' could be"),
        ('["cat"', "is a list that cannot be read; write its names separated by ; or |"),
        ("{'cat': 1}", "is a list that cannot be read"),
        ('{"cat": 0.7, "dog": 0.3}', "does not say which classes there are"),
        ("[" * 5000 + "]" * 5000, "[[["),  # too deep for JSON before Python 3.13, and for us after it
        ("[" + " " * 50_000 + "x'", "is a list that cannot be read"),
        ("a" * 200_000, "a cell holds 200,000 characters"),
    ],
)
def test_cells_that_are_asked_about(cell, message):
    with pytest.raises(DataError, match=re.escape(message)):
        class_names(cell, (), "t.csv:2")


def test_known_names_are_names():
    assert class_names("none", ("none",), "t") == ("none",)
    assert class_names("Bare, sparse", ("Bare, sparse",), "t") == ("Bare, sparse",)
    assert class_names("[odd]", ("[odd]",), "t") == ("[odd]",)
    assert names_of(["none"], ("none",), "t") == ("none",)


def test_numbers_alone_are_asked_about():
    for names in (["0", "1"], ["1.0"], ["yes", "no"], ["True", "False"], ["3", "17", "3"]):
        with pytest.raises(DataError, match="every class is called by a number or by yes and no: "):
            refuse_numbers(names, (), "t.csv")
    for names, known in ((["3", "cat"], ()), (["0", "1"], ("0", "1")), ([], ())):
        refuse_numbers(names, known, "t.csv")


@pytest.mark.parametrize(
    "cell",
    [
        "frozenset({'cat', 'dog'})",
        "array(['cat'], dtype=object)",
        'c("cat", "dog")',
        "Counter({'cat': 2})",
        "deque([])",
    ],
)
def test_pieces_of_program_text_are_no_names(cell):
    with pytest.raises(DataError, match="is a piece of a list; write its names separated by"):
        class_names(cell, (), "t.csv:2")
    assert class_names("sedge (wet); cat's", (), "t.csv:2") == ("sedge (wet)", "cat's")


@pytest.mark.parametrize(
    "cell", ["n.a.", "<NA>", "(none)", "...", "??", r"\N", "Not available", "no_label", "~", "TBD"]
)
def test_missing_values_are_known_in_other_spellings(cell):
    with pytest.raises(DataError, match="could be a missing value or a class"):
        class_names(cell, (), "t.csv:2")


def test_line_ends_separate_classes():
    assert class_names("cat\ndog\r\nbig cat", (), "t.xlsx:2") == ("cat", "dog", "big cat")


@pytest.mark.parametrize("name", ["0", "-1", "no", "nein"])
def test_one_number_beside_names_is_asked_about(name):
    with pytest.raises(DataError, match=f"'{name}', beside names of classes, could mean none of them"):
        refuse_numbers(["cat", name, "dog"], (), "t.csv")
    refuse_numbers(["cat", name, "dog"], (name,), "t.csv")
    refuse_numbers(["A", "B", "0", "1"], (), "t.csv")  # the characters of number plates
    with pytest.raises(DataError, match="called by a number or by yes and no: ja, nein"):
        refuse_numbers(["ja", "nein"], (), "t.csv")


def test_shares_behind_names_are_refused():
    for cell in ("cat:0.9", "cat=.5;dog", "dog: 80 %", "cat:1.0"):
        with pytest.raises(DataError, match="ends with a number of its own; write the class's name alone"):
            class_names(cell, (), "t.csv:2")
    assert class_names("scale 1:25000;grade:3", (), "t.csv:2") == ("scale 1:25000", "grade:3")
