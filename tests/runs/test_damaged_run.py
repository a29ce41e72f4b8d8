"""Files of a finished run that something has damaged: one line names the file and says what to do."""

import json

import pytest
from click.testing import CliRunner

from wsss_toolkit.cli.main import cli
from wsss_toolkit.errors import DataError, UsageError
from wsss_toolkit.files import write_json
from wsss_toolkit.runs.folder import RunFolder, newest_run, read_report

DAMAGES = {
    "empty": b"",
    "zeros": bytes(300),
    "another encoding": '{"name": "Grünland"}'.encode("latin-1"),
    "UTF-16": '{"name": "x"}'.encode("utf-16"),
    "a list": b"[1, 2]",
    "a number": b"3",
    "nothing": b"null",
    "deep": b"[" * 100_000,
    "no finite number": b'{"digest": NaN, "run": NaN, "channels": 1e999, "section": NaN, "images": NaN}',
    "half a character": b'{"digest": "\\ud800", "run": {"name": "\\ud800"}, "channels": "\\ud800"}',
    "other keys": b'{"a": {"b": 1}}',
}


def values_replaced(content):
    """Yield JSON texts in which one value, wherever it lies, is of another type."""
    value = json.loads(content)

    def places(part, path=()):
        for key, child in part.items() if isinstance(part, dict) else enumerate(part):
            yield (*path, key)
            if isinstance(child, dict | list):
                yield from places(child, (*path, key))

    for path in places(value):
        copy = json.loads(content)
        part = copy
        for key in path[:-1]:
            part = part[key]
        part[path[-1]] = 7 if isinstance(part[path[-1]], dict | list | str) else ["x"]
        yield json.dumps(copy).encode()


def failed_in_words(result):
    assert result.exit_code in (0, 1, 2), repr(result.exception)
    assert "Traceback" not in result.output and "unexpected" not in result.output, result.output
    return [line for line in result.output.splitlines() if line.startswith("error: ")]


def wsss(*arguments):
    return failed_in_words(CliRunner().invoke(cli, [str(argument) for argument in arguments]))


LABELLING = ["report.json", "train/stage.json", "segmentation/stage.json", "train/preprocessing.json"]
SHOWING = ["report.json", "evaluation/stage.json", "evaluation/gallery/gallery.json"]


@pytest.mark.parametrize("file", [*LABELLING, "segmentation/network.json"])
def test_labelling_names_a_damaged_file(trained, tmp_path, file, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.tif").write_bytes(b"")
    whole = (trained / file).read_bytes()
    for damage in [*DAMAGES.values(), whole[: len(whole) // 2]]:
        (trained / file).write_bytes(damage)
        # Without a readable scene the network is not opened.
        reads = pytest.raises((DataError, UsageError), match=file.rpartition("/")[2])
        if file == "segmentation/network.json":
            from wsss_toolkit.segmentation.train import load_network

            with reads:
                load_network(trained / "segmentation")
        else:
            [line] = wsss("pseudolabel", "--run", trained, "--tiles", "a.tif", "--out", "out")
            assert file in line and ("run" in line.partition("; ")[2] or "older version" in line), line


@pytest.mark.parametrize("file", SHOWING)
def test_the_page_names_a_damaged_file(trained, file):
    whole = (trained / file).read_bytes()
    for damage in [*DAMAGES.values(), whole[: len(whole) // 2]]:
        (trained / file).write_bytes(damage)
        [line] = wsss("report", trained)
        assert str(trained) in line


@pytest.mark.slow
@pytest.mark.parametrize("file", [*SHOWING, "train/stage.json", "pseudo_masks/stage.json"])
def test_no_value_of_another_type_is_a_surprise(trained, file):
    for damage in values_replaced((trained / file).read_bytes()):
        (trained / file).write_bytes(damage)
        wsss("report", trained)


def test_the_page_names_a_damaged_recipe(trained):
    for damage in [
        b"",
        b"\xff\xfe",
        b"[1]",
        b"{" * 5000,
        b"a: 1: 2",
        b"name: 5\n",
        b"x" * 2_000_000,
        b"d: 2024-99-99\n",
    ]:
        (trained / "recipe.yaml").write_bytes(damage)
        for command in (["report", trained], ["pseudolabel", "--run", trained, "--tiles", "."]):
            result = CliRunner().invoke(cli, [str(part) for part in command])
            failed_in_words(result)
            assert result.exit_code and "recipe.yaml" in result.output, result.output


def test_the_newest_run_is_not_passed_over_for_an_older_one(trained):
    other = trained.with_name("damaged")
    other.mkdir()
    (other / "report.json").write_text("{")
    assert newest_run(trained.parent) == trained, "somebody else's file"
    (other / "run.json").write_text('{"name": "x"}')
    with pytest.raises(DataError, match=r"damaged/report\.json: is damaged .*; delete it and run the recipe again"):
        newest_run(trained.parent)


def test_reports_of_older_versions_are_opened(tmp_path):
    write_json(tmp_path / "report.json", {"run": {"name": "x"}, "else": [1]})
    assert read_report(tmp_path) == {"run": {"name": "x"}, "else": [1]}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_run_folder_names_a_damaged_file(tmp_path, damage):
    folder = RunFolder(tmp_path, "r")
    with folder.work("train", "d", {"x": 1}) as (_, result):
        result["n"] = 1
    for file, read in {
        "train/stage.json": lambda: folder.find("train", "d"),
        "train.partial/attempt.json": lambda: folder.work("train", "e").__enter__(),
        "run.json": lambda: RunFolder(tmp_path, "r"),
    }.items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_bytes(damage)
        with pytest.raises((DataError, UsageError), match=file) as caught:
            read()
        assert caught.value.fix
    (tmp_path / "train" / "inputs.json").write_bytes(damage)
    if not damage.startswith(b'{"a"'):
        with pytest.raises(DataError, match=r"inputs\.json.*delete the folder .*train and run the recipe again"):
            folder.inputs("train")


@pytest.mark.parametrize(
    "left", [".run.4999999.partial.json", ".run.json.4711", ".report.4999999.partial.html", ".launch-7"]
)
def test_what_a_killed_run_left_does_not_make_its_folder_unusable(tmp_path, left):
    from wsss_toolkit.runs.folder import alone_in

    (tmp_path / left).write_text("{")
    with alone_in(RunFolder(tmp_path, "r").path):
        assert (tmp_path / left).exists() == left.startswith(".launch")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / ".run.json.backup").write_text("mine")
    with pytest.raises(UsageError, match="the folder is not a run and not empty"):
        RunFolder(tmp_path / "other", "r")
