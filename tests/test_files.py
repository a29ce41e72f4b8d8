"""Files that appear complete or not at all."""

import pytest

from wsss_toolkit.errors import WsssError
from wsss_toolkit.files import complete_file, remove_leftovers, write_text


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
