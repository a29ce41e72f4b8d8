import json

import pytest

from wsss_toolkit.errors import UsageError, WsssError
from wsss_toolkit.files import file_for
from wsss_toolkit.runs.folder import RunFolder, digest


def finish(run, stage, inputs, text="x"):
    with run.work(stage, inputs) as (path, result):
        (path / "file").write_text(text)
        result["n"] = 1


def test_a_finished_stage_is_found_by_its_digest_only(tmp_path):
    run = RunFolder(tmp_path / "run", "r")
    finish(run, "train", "d1")
    record = run.find("train", "d1")
    assert record.result == {"n": 1} and record.seconds >= 0 and record.peak_memory_mb > 1
    assert run.find("train", "d2") is None
    assert not list((tmp_path / "run").glob("*.partial"))


def test_an_interrupted_stage_keeps_its_files_for_the_same_inputs_only(tmp_path):
    run = RunFolder(tmp_path, "r")
    with pytest.raises(KeyboardInterrupt), run.work("train", "d1") as (path, _):
        (path / "checkpoint").write_text("half")
        (path / ".last.4711.partial.ckpt").write_text("what a killed process was writing")
        raise KeyboardInterrupt
    assert run.find("train", "d1") is None
    with run.work("train", "d1") as (path, _):
        assert (path / "checkpoint").read_text() == "half" and not list(path.glob(".last*"))
    with pytest.raises(KeyboardInterrupt), run.work("train", "d2") as (path, _):
        assert not (path / "checkpoint").exists()
        raise KeyboardInterrupt
    assert run.find("train", "d1") is not None, "an unfinished attempt must not touch the finished result"


def test_an_older_result_is_set_aside_and_comes_back(tmp_path):
    run = RunFolder(tmp_path, "r")
    finish(run, "train", "d1", "one")
    finish(run, "train", "d2", "two")
    assert (run.stage("train") / "file").read_text() == "two"
    assert run.find("train", "d1") is not None
    assert (run.stage("train") / "file").read_text() == "one"
    assert run.find("train", "d2") is not None
    assert (run.stage("train") / "file").read_text() == "two"


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    with pytest.raises(UsageError, match="the folder is not a run and not empty"):
        RunFolder(tmp_path / "mine", "r")
    RunFolder(tmp_path / "run", "r")
    with pytest.raises(UsageError, match="holds a run of recipe 'r', not 'other'"):
        RunFolder(tmp_path / "run", "other")
    RunFolder(tmp_path / "run", "r")


def test_digest_tells_values_and_orders_apart():
    assert digest({"a": 1, "b": [1, 2]}) == digest({"a": 1, "b": [1, 2]})
    # The order of sensors in a recipe is the order of the input channels.
    assert digest({"a": 1, "b": [1, 2]}) != digest({"b": [1, 2], "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})
    assert digest([1, 2]) != digest([2, 1])


def test_overwriting_replaces_a_result_only_when_the_new_one_is_there(tmp_path):
    run = RunFolder(tmp_path, "r")
    finish(run, "train", "d1", "one")
    with pytest.raises(KeyboardInterrupt), run.work("train", "d1"):
        raise KeyboardInterrupt
    assert (run.stage("train") / "file").read_text() == "one"
    finish(run, "train", "d1", "two")
    assert (run.stage("train") / "file").read_text() == "two"
    assert not (tmp_path / "superseded").exists()


@pytest.mark.parametrize("key", ["../x", "a/b", "", "..", "a b", "x\n"])
def test_unsafe_keys_never_become_paths(tmp_path, key):
    with pytest.raises(WsssError, match="not safe as a file name"):
        file_for(tmp_path, key)


def test_records_are_plain_json(tmp_path):
    run = RunFolder(tmp_path, "r")
    finish(run, "labels", "d")
    assert json.loads((run.stage("labels") / "stage.json").read_text())["digest"] == "d"
