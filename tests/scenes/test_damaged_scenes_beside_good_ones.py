"""One damaged scene costs itself only: `wsss pseudolabel` finishes the others, with their catalogue."""

import errno
import json
import os
import warnings

import pytest
import rasterio
import stacks
from click.testing import CliRunner

from wsss_adapters.geo_scenes import stac
from wsss_adapters.geo_scenes.source import GeoSource
from wsss_adapters.synthetic import Synthetic
from wsss_toolkit.cli.main import cli
from wsss_toolkit.errors import WsssError

LATIN = ("VV", "VH", "B02", "B03", "B04", "B08 grün")


def label(*arguments, code=0):
    command = ["pseudolabel", "--tiles", "scenes", "--window", "32", "--device", "cpu", *arguments]
    result = CliRunner().invoke(cli, command)
    assert result.exit_code == code, result.output + str(result.exception)
    return result.output


def catalogue(folder):
    return sorted(path.stem for path in (folder / "items").iterdir())


@pytest.fixture
def here(trained, tmp_path, monkeypatch):
    """A folder with a run and a good scene, which is the current one."""
    monkeypatch.chdir(tmp_path)
    stacks.write_scene(tmp_path / "scenes" / "good.tif", 40, 45)
    return tmp_path


def test_each_damage_is_one_line_and_the_others_are_finished(here):
    latin = stacks.write_scene(here / "scenes" / "latin.tif", 40, 45, bands=LATIN)
    latin.write_bytes(latin.read_bytes().replace("grün".encode(), b"gr\xfc\xfcn"))
    cut = stacks.write_scene(here / "scenes" / "cut.tif", 300, 300)
    cut.write_bytes(cut.read_bytes()[:200_000])
    (here / "scenes" / "text.tif").write_text("<VRTDataset/>")
    (here / "scenes" / "odd.zip").write_bytes(b"PK\3\4 and no more")
    printed = label("--out", "out", code=1)
    lines = [line.strip() for line in printed.splitlines()]
    assert "4 of 5 scenes failed:" in lines
    for name in ("latin.tif", "cut.tif", "text.tif", "odd.zip"):
        [line] = [line for line in lines if line.startswith(f"scenes/{name}: ")]
        assert "unexpected" not in line
    assert catalogue(here / "out") == ["good"] and (here / "out" / "collection.json").is_file()


def test_what_names_and_tags_hold_is_neither_markup_nor_a_command_of_the_terminal(here):
    for name, text in (("tag", "[/x] \x1b[31m"), ("s[red]", "[bold"), ("e\x1b[2J", ""), ("two\nlines", "")):
        with rasterio.open(stacks.write_scene(here / "scenes" / f"{name}.tif", 40, 45), "r+") as raster:
            raster.update_tags(TIFFTAG_DATETIME=text or "2024:06:01 10:00:00")
    (here / "scenes" / "bad\x1b[31m\nx.tif").write_text("x")
    printed = label("--out", "out", code=1)
    assert "('[/x] \\x1b[31m')" in printed and " of s[red].tif" in printed and " of two\\nlines.tif" in printed
    assert "\x1b" not in printed
    [line] = [line for line in printed.splitlines() if line.startswith("  scenes/")]
    assert line.startswith(r"  scenes/bad\x1b[31m\nx.tif: not a readable raster")
    assert len(catalogue(here / "out")) == 5


def test_pipes_among_scenes_are_not_waited_for(here):
    for name in ("pipe.zip", "pipe.tif", "pipe.SAFE"):
        os.mkfifo(here / "scenes" / name)
    (here / "scenes" / "lost.tif").symlink_to(here / "nowhere")
    (here / "scenes" / "empty.tif").mkdir()
    printed = label("--out", "out")
    [line] = [line for line in printed.splitlines() if "a named pipe" in line]
    assert all(name in line for name in ("pipe.zip", "pipe.tif", "pipe.SAFE"))
    assert "left out: lost.tif: is no file, but a link to nothing" in printed
    assert "left out: empty.tif: is an empty folder" in printed
    assert catalogue(here / "out") == ["good"]


def test_what_was_left_out_is_said_although_no_scene_can_be_opened(here):
    (here / "scenes" / "good.tif").write_bytes(b"II*\0")
    os.mkfifo(here / "scenes" / "pipe.tif")
    printed = label("--out", "out", code=1)
    assert "warning: left out: pipe.tif: is no file, but a named pipe" in printed and "1 of 1 scenes failed" in printed


def test_a_name_that_is_no_text_is_told_as_such(here):
    (here / "scenes" / os.fsdecode(b"sc\xe9ne.tif")).symlink_to(here / "scenes" / "good.tif")
    printed = label("--out", "out", code=1)
    assert r"  scenes/sc\xe9ne.tif: its name, or that of a folder it lies in, is no text in UTF-8; rename it" in printed
    assert catalogue(here / "out") == ["good"]


def test_a_damaged_model_is_said_once_and_no_scene_is_blamed(here):
    stacks.write_scene(here / "scenes" / "other.tif", 40, 45)
    [file] = (here / "runs").glob("*/segmentation/network.json")
    file.write_text("")
    printed = label("--out", "out", code=1)
    assert printed.count("network.json: is damaged (it is empty)") == 1 and "scenes failed" not in printed


def test_a_catalogue_that_cannot_be_written_hides_no_failed_scene(here, monkeypatch):
    (here / "scenes" / "bad.tif").write_text("x")

    def full(self, folder, model):
        raise WsssError("cannot write: no space left on device", where=f"{folder}/items/good.json")

    monkeypatch.setattr(Synthetic, "describe_scenes", full)
    printed = label("--out", "out", code=1)
    assert "scenes/bad.tif: not a readable raster" in printed
    assert "items/good.json: cannot write: no space left on device" in printed


def test_a_folder_of_a_disk_that_is_read_only_is_one_line(here, monkeypatch):
    def refuse(self):
        raise OSError(errno.EROFS, "Read-only file system", "out/.lock")

    (here / "out").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr("filelock.FileLock.acquire", refuse)
        printed = label("--out", "out", code=1)
    assert "out: cannot write into the output folder (Read-only file system); choose another --out" in printed
    label("--out", "out")
    label("--out", "out")  # the lock was let go


def test_whatever_an_adapter_raises_belongs_to_its_scene(here, monkeypatch):
    stacks.write_scene(here / "scenes" / "bad.tif", 40, 45)
    opened = Synthetic.open_scene

    def failing(self, source, channels, outputs=None):
        if source.name == "bad":
            raise RuntimeError("no\nluck at https://me:secret@example.org/x.tif?token=7")
        return opened(self, source, channels, outputs)

    monkeypatch.setattr(Synthetic, "open_scene", failing)
    printed = label("--out", "out", code=1)
    said = "scenes/bad.tif: cannot be read (RuntimeError: no luck at https://example.org/x.tif)"
    assert said in printed and "secret" not in printed and "token" not in printed
    assert catalogue(here / "out") == ["good"]


def test_a_date_that_is_none_costs_no_catalogue(here):
    for name, text in (("zero", "0000:00:00 00:00:00"), ("month", "2024:13:45 99:99:99")):
        with rasterio.open(stacks.write_scene(here / "scenes" / f"{name}.tif", 40, 45), "r+") as raster:
            raster.update_tags(TIFFTAG_DATETIME=text)
    printed = label("--out", "out")
    assert "warning: scenes/zero.tif: states no date in TIFFTAG_DATETIME" in printed
    assert catalogue(here / "out") == ["good", "month", "zero"]
    item = json.loads((here / "out" / "items" / "zero.json").read_text())
    assert item["properties"]["datetime"] is None and "start_datetime" in item["properties"]


def test_a_mask_that_cannot_be_described_costs_itself_only(here, monkeypatch):
    stacks.write_scene(here / "scenes" / "bad.tif", 40, 45)
    described = stac.footprint

    def footprint(grid):
        if grid.width == 45 and grid.height == 41:
            raise ValueError("a pole")
        return described(grid)

    monkeypatch.setattr(stac, "footprint", footprint)
    stacks.write_scene(here / "scenes" / "pole.tif", 41, 45)
    printed = label("--out", "out", code=1)
    assert "out/pole_mask.tif: is not in the catalogue: cannot be read (ValueError: a pole)" in printed
    assert catalogue(here / "out") == ["bad", "good"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "unchanged, kept" in label("--out", "out", code=1)


def test_what_cannot_be_known_of_a_scene_or_its_mask_ends_no_other(here, monkeypatch):
    stacks.write_scene(here / "scenes" / "bad.tif", 40, 45)
    label("--out", "out")
    known, tags = GeoSource.fingerprint, Synthetic.scene_tags

    def fingerprint(self):
        if self.name == "bad":
            raise PermissionError(13, "Permission denied", "/home/jane/bad.tif")
        return known(self)

    def scene_tags(self, name, folder):
        if name == "good":
            raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")
        return tags(self, name, folder)

    monkeypatch.setattr(GeoSource, "fingerprint", fingerprint)
    printed = label("--out", "out", code=1)
    assert "scenes/bad.tif: cannot be read (PermissionError: Permission denied)" in printed and "jane" not in printed
    assert "good: unchanged, kept" in printed
    monkeypatch.setattr(Synthetic, "scene_tags", scene_tags)
    assert "exist already" in label("--out", "out", code=2), "a mask that cannot be read is not replaced unasked"
