from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict

from wsss_toolkit.domain import Changes, Fingerprint, fingerprint_of
from wsss_toolkit.domain.fingerprint import as_fingerprint, settings


class Inner(BaseModel):
    steps: int = 0
    quick: Annotated[bool, Changes.NOTHING] = False


class Linear(BaseModel):
    kind: Literal["linear"] = "linear"
    width: int = 4


class Mean(BaseModel):
    kind: Literal["mean"] = "mean"
    width: int = 4


class Outer(BaseModel):
    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Inner]

    root: Annotated[Path, Changes.NOTHING] = Path()
    rate: float = 0.5
    flag: bool | int = 1
    inner: Inner = Inner(steps=3)
    maybe: Inner | None = None
    refined: Annotated[Inner, Changes.PREDICTIONS] = Inner()
    finished: Annotated[Inner | None, Changes.PREDICTIONS] = None
    heads: tuple[Linear | Mean, ...] = (Linear(),)
    weights: Annotated[str, Changes.CONTENT] = "none"
    needed: str


def of(**values):
    return settings(Outer(needed="x", **values))


def test_only_what_differs_from_the_defaults_counts():
    assert of() == {"needed": "x"}
    assert of(rate=0.5, inner={"steps": 3}, heads=[{"kind": "linear"}]) == {"needed": "x"}
    assert of(rate=0.25, inner={"steps": 4}) == {"needed": "x", "rate": 0.25, "inner": {"steps": 4}}
    # The section's own default is 0, but here 3 is.
    assert of(inner={"steps": 0}) == {"needed": "x", "inner": {"steps": 0}}
    assert of(maybe={}) == {"needed": "x", "maybe": {}}
    assert of(flag=True) == {"needed": "x", "flag": True}


def test_kinds_are_told_apart_by_their_only_choice():
    assert of(heads=[{"kind": "mean"}])["heads"] == [{"kind": "mean"}]
    assert of(heads=[Linear(), Mean(width=5)])["heads"] == [{"kind": "linear"}, {"kind": "mean", "width": 5}]


def test_what_changes_nothing_never_counts_and_predictions_count_where_asked():
    changed = {"root": "/data", "inner": {"steps": 3, "quick": True}, "refined": {"steps": 2, "quick": True}}
    assert of(**changed) == {"needed": "x"}
    predictions = settings(Outer(needed="x", rate=0.1, **changed), frozenset({Changes.PREDICTIONS}))
    assert predictions == {"refined": {"steps": 2}}
    finished = Outer(needed="x", finished={"steps": 5, "quick": True})
    assert settings(finished, frozenset({Changes.PREDICTIONS})) == {"finished": {"steps": 5}}


def test_further_keys_count_in_their_order():
    first, second = of(a=Inner(steps=1), b=Inner(quick=True)), of(b=Inner(), a=Inner(steps=1))
    assert list(first.items())[1:] == [("a", {"steps": 1}), ("b", {})]
    assert list(second)[1:] == ["b", "a"]


def test_a_file_counts_by_its_content(tmp_path):
    for name, content in (("a.pth", "1"), ("b.pth", "1"), ("c.pth", "2")):
        (tmp_path / name).write_text(content)
    a, b, c = (of(weights=str(tmp_path / name))["weights"] for name in ("a.pth", "b.pth", "c.pth"))
    assert a == b != c and len(a) == 64
    assert of(weights="timm")["weights"] == "timm"


def test_fingerprint_of_files(tmp_path):
    for name in ("a.png", "mask.png"):
        (tmp_path / name).write_text(name)

    def fingerprint(root, splits):
        options = Outer(needed="x", root=root)
        return fingerprint_of(
            options, {"splits": splits}, roots=[root], images=[root / "a.png"], masks=[root / "mask.png"]
        )

    first = fingerprint(tmp_path, {"train": ("a",)})
    assert first.options == {"needed": "x"}
    assert (list(first.images), list(first.masks), list(first.found)) == (["a.png"], ["mask.png"], ["splits"])
    assert fingerprint(tmp_path, {"val": ("a",)}).found != first.found
    tmp_path.rename(tmp_path.with_name("moved"))
    assert fingerprint(tmp_path.with_name("moved"), {"train": ("a",)}) == first


@pytest.mark.parametrize("found", ["text", Fingerprint({"fingerprint": "text"})])
def test_a_text_stands_for_everything(found):
    assert as_fingerprint(found) == Fingerprint({"fingerprint": "text"}, {}, {}, {})
