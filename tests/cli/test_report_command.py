import pytest
from click.testing import CliRunner

from wsss_toolkit.cli import cli


def invoke(*arguments):
    return CliRunner().invoke(cli, ["report", *map(str, arguments)])


def test_the_page_of_a_run_is_built_anew(trained):
    (trained / "report.html").write_text("old")
    result = invoke(trained)
    assert (result.exit_code, result.output) == (0, f"page: {trained / 'report.html'}\n")
    assert (trained / "report.html").read_text().startswith("<!doctype html>")


def test_another_file_is_not_replaced_unasked(trained, tmp_path):
    out = tmp_path / "page.html"
    out.write_text("mine")
    result = invoke(trained, "--out", out)
    assert result.exit_code == 2
    assert result.output == f"error: {out}: is there already; add --overwrite, or choose another --out\n"
    assert out.read_text() == "mine"
    assert invoke(trained, "--out", out, "--overwrite").exit_code == 0
    assert out.read_text() == (trained / "report.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "error: nowhere: no such folder; name the folder of a run, e.g. runs/NAME\n"),
        (["."], "error: .: not a run: it lacks report.json; start it with wsss run\n"),
        ([".", "--out", "."], "error: .: is a folder; name a file, e.g. --out report.html\n"),
        ([".", "--out", "a/b.html"], "error: a: no such folder; make it first, or choose another --out\n"),
    ],
)
def test_mistakes_are_one_line(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = invoke(*arguments)
    assert (result.exit_code, result.output) == (2, message)
