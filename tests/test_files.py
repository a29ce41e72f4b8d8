"""Files that appear complete or not at all."""

import pytest

from wsss_toolkit.errors import WsssError
from wsss_toolkit.files import cell_text, complete_file, remove_leftovers, safe_cell, write_text


def test_a_failed_write_keeps_the_older_file_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "deep" / "mask [1].tif"
    write_text(path, "old")
    with pytest.raises(WsssError, match="cannot write: "), complete_file(path) as partial:
        partial.write_text("half")
        partial.with_name(f"{partial.name}.aux.xml").write_text("GDAL's companion")
        raise OSError("the disk is gone")
    assert [file.name for file in path.parent.iterdir()] == [path.name] and path.read_text() == "old"


def test_what_a_killed_process_left_is_told_by_its_name(tmp_path):
    kept = [".hidden", ".partial", ".last.partial.ckpt", "a.123.partial.csv", "train.partial", ".x.partial/y"]
    with complete_file(tmp_path / "sub" / "labels.csv") as partial:
        pass_on = [partial.relative_to(tmp_path).as_posix(), ".last.4711.partial.ckpt", ".end.12.partial"]
        for name in (*kept, *pass_on):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(name)
        remove_leftovers(tmp_path)
        left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
        assert left == set(kept)
        partial.write_text("written again")
    assert (tmp_path / "sub" / "labels.csv").read_text() == "written again"


FORMULAS = ("=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "=", "'=1", "''@x", " =1+1", "\xa0-2+3")
WIDE = ("\uff1d1+1", "\uff20x")


@pytest.mark.parametrize("text", [*FORMULAS, *WIDE, "forest", "", "'", "it's", "a=b", "-1", "+1.5e-3", "-0.25", "'-1"])
def test_no_cell_is_a_formula_and_each_gives_its_text_back(text):
    cell = safe_cell(text)
    assert cell_text(cell) == text
    assert cell.strip()[:1] not in ("=", "@", "\uff1d", "\uff20") and cell[:1] not in ("\t", "\r")
    assert cell.strip()[:1] not in ("+", "-") or float(cell) == float(text), "numbers stay numbers"


def test_ordinary_cells_stay_as_they_are():
    assert [safe_cell(text) for text in ("forest", "-1", "2.5", "it's")] == ["forest", "-1", "2.5", "it's"]
