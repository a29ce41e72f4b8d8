import json

from wsss_toolkit.experiments import sharing
from wsss_toolkit.runs.folder import RunFolder


def finish(run, stage, digest, text):
    with run.work(stage, digest) as (path, result):
        (path / "sub").mkdir()
        (path / "sub" / "file").write_text(text)
        result["text"] = text


def test_a_stage_is_taken_over_with_its_record_and_by_links(tmp_path):
    one, two = (RunFolder(tmp_path / name, "x") for name in ("one", "two"))
    finish(one, "train", "d1", "hello")
    shelf = sharing.shelf_of(tmp_path, ["train"])
    assert shelf == {("train", "d1"): tmp_path / "one" / "train"}
    assert sharing.take_over(two, "train", "d1", shelf) == tmp_path / "one" / "train"
    assert two.find("train", "d1") == one.record("train")
    assert two.record("train").result == {"text": "hello"}
    files = [run.stage("train") / "sub" / "file" for run in (one, two)]
    assert files[0].stat().st_ino == files[1].stat().st_ino
    assert sharing.take_over(two, "train", "d1", shelf) is None, "it is there already"
    assert sharing.take_over(two, "train", "d2", shelf) is None, "nobody has it"


def test_an_older_result_is_set_aside_and_older_results_are_shared_too(tmp_path):
    one, two = (RunFolder(tmp_path / name, "x") for name in ("one", "two"))
    finish(one, "train", "d1", "old")
    finish(one, "train", "d2", "new")
    finish(two, "train", "d3", "other")
    shelf = sharing.shelf_of(tmp_path, ["train"])
    assert set(shelf) == {("train", "d1"), ("train", "d2"), ("train", "d3")}
    sharing.take_over(two, "train", "d1", shelf)
    assert (two.stage("train") / "sub" / "file").read_text() == "old"
    assert json.loads((tmp_path / "two/superseded/train-d3/stage.json").read_text())["digest"] == "d3"


def test_files_are_copied_where_links_fail(tmp_path, monkeypatch):
    def refuse(*arguments):
        raise OSError("no links here")

    monkeypatch.setattr(sharing.os, "link", refuse)
    one, two = (RunFolder(tmp_path / name, "x") for name in ("one", "two"))
    finish(one, "train", "d1", "hello")
    sharing.take_over(two, "train", "d1", sharing.shelf_of(tmp_path, ["train"]))
    files = [run.stage("train") / "sub" / "file" for run in (one, two)]
    assert files[1].read_text() == "hello"
    assert files[0].stat().st_ino != files[1].stat().st_ino
