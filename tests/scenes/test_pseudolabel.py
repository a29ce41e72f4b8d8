"""`wsss pseudolabel` on georeferenced scenes, in this process and in others."""

import json
import os
import pickle
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import rasterio
import stacks
import tiny_recipe
from click.testing import CliRunner
from rich.console import Console

from wsss_adapters.geo_scenes.adapter import GeoScenes
from wsss_adapters.geo_scenes.writer import GeoOutputs
from wsss_adapters.synthetic import Synthetic
from wsss_toolkit.cli.main import cli
from wsss_toolkit.cli.pseudolabel import pseudolabel_command
from wsss_toolkit.domain import Destination
from wsss_toolkit.errors import UsageError
from wsss_toolkit.runs.folder import RunFolder
from wsss_toolkit.scenes.pseudolabel import Request, pseudolabel

FEW = ["--window", "32", "--device", "cpu"]


def label(scenes, *arguments, code=0):
    """Run the command in the current folder; return what it printed."""
    result = CliRunner().invoke(cli, ["pseudolabel", "--tiles", str(scenes), *FEW, *map(str, arguments)])
    assert result.exit_code == code, result.output + str(result.exception)
    return result.output


def identities(folder):
    return {
        path.name: (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in folder.iterdir()
        if path.suffix in (".tif", ".qml")
    }


def contents(folder):
    """Return the bytes of every file but the catalogue's, which tells when masks were made."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".json" and path.name != ".lock"
    }


@pytest.fixture
def here(trained, tmp_path, monkeypatch):
    """A folder with a run under ./runs and two scenes under ./scenes, which is the current one."""
    monkeypatch.chdir(tmp_path)
    stacks.write_scene(tmp_path / "scenes" / "a.tif", 100, 90, missing=10)
    stacks.write_scene(tmp_path / "scenes" / "b.tif", 20, 45, seed=1)
    return tmp_path


def test_a_folder_of_scenes_becomes_masks_on_their_grids(here):
    printed = label("scenes", "--confidence", "--scores")
    assert f"run: {Path('runs/tiny')} (the newest" in printed
    assert "masks: " in printed and "catalogue: " in printed
    out = here / "runs" / "tiny" / "scenes"
    report = json.loads((here / "runs" / "tiny" / "report.json").read_text())
    for name in ("a", "b"):
        with rasterio.open(out / f"{name}_mask.tif") as mask, rasterio.open(here / "scenes" / f"{name}.tif") as scene:
            assert (mask.crs, mask.transform, mask.shape) == (scene.crs, scene.transform, scene.shape)
            tags = mask.tags()
            values = mask.read(1)
        assert tags["wsss_recipe_digest"] == report["run"]["recipe_digest"]
        assert (tags["wsss_label_source"], tags["wsss_stage"], tags["wsss_window"]) == (
            "mask_coverage>=0.1", "unet", "32",
        )  # fmt: skip
        assert set(np.unique(values)) <= {*range(8), 255}
        with rasterio.open(out / f"{name}_scores.tif") as scores:
            stored = scores.read()
        known = values != 255
        assert known.any() and (stored[:, ~known] == 255).all()
        highest = np.take_along_axis(stored, np.where(known, values, 0)[None].astype(np.int64), axis=0)[0]
        assert (highest[known] == stored.max(axis=0)[known]).all()
        np.testing.assert_array_equal(highest[known], stacks.read_mask(out / f"{name}_confidence.tif")[known])
    assert (stacks.read_mask(out / "a_mask.tif") == 255).sum() == 10 * 90
    assert not [path for path in out.iterdir() if path.name.endswith((".blocks", ".partial"))]


def test_the_classifier_alone_labels_scenes_too(here):
    label("scenes", "--stage", "vit", "--out", "vit")
    values = stacks.read_mask(here / "vit" / "a_mask.tif")
    assert (values[:10] == 255).all() and (values[10:] != 255).all()


def test_finished_scenes_are_kept_and_others_never_overwritten(here):
    label("scenes", "--out", "out")
    before = identities(here / "out")
    assert label("scenes", "--out", "out").count("unchanged, kept") == 2
    assert identities(here / "out") == before

    printed = label("scenes", "--out", "out", "--overlap", "0.25", code=2)
    assert "2 masks exist already" in printed and "--overwrite" in printed
    assert identities(here / "out") == before
    label("scenes", "--out", "out", "--overlap", "0.25", "--overwrite")
    assert not set(before.values()) & set(identities(here / "out").values())

    stacks.write_scene(here / "scenes" / "b.tif", 20, 45, seed=2)
    assert "1 masks exist already" in label("scenes", "--out", "out", "--overlap", "0.25", code=2)


def test_what_is_not_read_is_counted_at_the_end(here, monkeypatch):
    left = [Path("clip.MP4"), Path("b.mp4"), Path("more.zip")]
    monkeypatch.setattr(GeoScenes, "unread", lambda self, inputs, sources: left, raising=False)
    assert "warning: not read: 2 .mp4, 1 .zip\n" in label("scenes", "--out", "out")
    monkeypatch.setattr(GeoScenes, "unread", lambda self, inputs, sources: [], raising=False)
    assert "not read" not in label("scenes", "--out", "out")


def test_a_scene_that_fails_is_reported_and_the_others_finish(here):
    content = (here / "scenes" / "a.tif").read_bytes()
    (here / "scenes" / "c.tif").write_bytes(content[: len(content) // 2])
    stacks.write_scene(here / "scenes" / "d.tif", 30, 30, bands=stacks.BANDS[:5])
    printed = label("scenes", "--out", "out", code=1)
    assert "2 of 4 scenes failed" in printed
    assert "c.tif: not a readable raster, truncated or damaged" in printed
    assert "d.tif: lacks B08 of sentinel2; it has B02, B03, B04" in printed
    assert "Traceback" not in printed
    assert {path.name for path in (here / "out").glob("*_mask.tif")} == {"a_mask.tif", "b_mask.tif"}
    assert {path.stem for path in (here / "out" / "items").iterdir()} == {"a", "b"}
    assert not list((here / "out").glob(".*.blocks"))


def test_patterns_of_the_command_line_join_files(here):
    shutil.rmtree(here / "scenes")
    stacks.write_scene(here / "scenes" / "x_S1.tif", 40, 40, bands=stacks.BANDS[:2])
    with rasterio.open(stacks.write_scene(here / "scenes" / "x_S2.tif", 40, 40)) as both:
        pixels = both.read()[2:]
        profile = {**both.profile, "count": 4, "nodata": None}
    with rasterio.open(here / "scenes" / "x_S2.tif", "w", **profile) as raster:
        raster.write(pixels)
    patterns = ["sentinel1.path={scene}_S1.tif", "sentinel2.path={scene}_S2.tif"]
    options = [part for pattern in patterns for part in ("--set", f"data.scenes.sensors.{pattern}")]
    label("scenes", "--out", "out", *options)
    assert [path.name for path in (here / "out").glob("*_mask.tif")] == ["x_mask.tif"]


def test_a_sensor_that_early_fusion_needs_is_named(here):
    shutil.rmtree(here / "scenes")
    stacks.write_scene(here / "scenes" / "a.tif", 40, 40, bands=("VV", "VH"))
    assert "a.tif: has no bands of sentinel2; it has sentinel1" in label("scenes", code=1)


def test_scenes_without_crs_are_labelled_with_a_warning_or_refused(here):
    shutil.rmtree(here / "scenes")
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning):
        stacks.write_scene(here / "scenes" / "a.tif", 40, 40, crs=None)
    assert "warning: scenes/a.tif: has no coordinate reference system" in label("scenes", "--out", "out")
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning), rasterio.open(here / "out" / "a_mask.tif") as mask:
        assert mask.crs is None
    item = json.loads((here / "out" / "items" / "a.json").read_text())
    assert item["geometry"] is None and "bbox" not in item
    printed = label("scenes", "--out", "other", "--require-crs", code=1)
    assert "has no coordinate reference system; assign it" in printed and not list((here / "other").glob("*.tif"))


@pytest.mark.parametrize("options", [[], ["--stage", "vit"], pytest.param(["--workers", "2"], marks=pytest.mark.slow)])
def test_scenes_without_any_data_are_named(here, options):
    stacks.write_scene(here / "scenes" / "c.tif", 40, 50, missing=40)
    printed = label("scenes", "--out", "out", *options)
    assert (stacks.read_mask(here / "out" / "c_mask.tif") == 255).all()
    warnings = [line for line in printed.splitlines() if "no pixel has a class" in line]
    assert len(warnings) == 1 and warnings[0].startswith("warning: scenes/c.tif: ")
    assert "255 everywhere; does the scene hold data in all bands of the model?" in warnings[0]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--run", "nowhere"], "nowhere: no such folder"),
        (["--min-area", "5"], "--min-area is for polygons"),
        (["--workers", "2", "--dask", "tcp://127.0.0.1:1"], "--workers and --dask exclude each other"),
        (["--set", "train.epochs=5"], "only `data` and `machine.precision` can be changed here"),
        (["--set", "data.scenes.sensors.sentinel2.path=../{scene}.tif"], "must be relative"),
        (["--overlap", "0.95"], "0.95 is not in the range"),
        (["--tiles", "nothing*.tif"], "no such file or folder: 'nothing*.tif'"),
        (["--out", "scenes/a.tif"], "is a file, not a folder"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(here, arguments, message):
    printed = label("scenes", *arguments, code=2)
    assert message in printed and "Traceback" not in printed


def test_no_run_says_how_to_get_one(here):
    shutil.rmtree(here / "runs")
    assert "no finished run lies under runs; train one first, e.g. `wsss run quickstart`" in label("scenes", code=2)


def test_an_output_folder_that_cannot_be_written_is_one_line(here):
    if os.geteuid() != 0:
        (here / "locked").mkdir(mode=stat.S_IRUSR | stat.S_IXUSR)
        printed = label("scenes", "--out", "locked", code=1)
    else:  # root may write anywhere, but not into this
        printed = label("scenes", "--out", "/proc/masks", code=1)
    assert "cannot write into the output folder" in printed and "choose another --out" in printed


def test_a_second_call_does_not_write_into_a_folder_that_is_in_use(here):
    from filelock import FileLock

    (here / "out").mkdir()
    with FileLock(here / "out" / ".lock"):
        assert "another process is writing into this folder" in label("scenes", "--out", "out", code=2)


@pytest.mark.slow
def test_local_processes_give_the_same_bytes(here):
    stacks.write_scene(here / "scenes" / "long.tif", 600, 70)  # three blocks
    options = ["--confidence", "--scores", "--polygons"]
    label("scenes", "--out", "one", *options)
    label("scenes", "--out", "two", *options, "--workers", "2")
    one, two = contents(here / "one"), contents(here / "two")
    assert len(one) == 3 * 6 and one == two


def wait_for(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@pytest.mark.slow
def test_a_killed_call_goes_on_where_it_stopped(here):
    for index in range(4):
        stacks.write_scene(here / "scenes" / f"c{index}.tif", 300, 300, seed=index)
    arguments = ["pseudolabel", "--tiles", "scenes", *FEW, "--out", "out"]
    process = tiny_recipe.start(arguments, here)
    wait_for(lambda: len(list((here / "out").glob("c*_mask.tif"))) >= 1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kept = identities(here / "out")
    finished = {name for name in kept if name.endswith("_mask.tif")}
    assert 0 < len(finished) < 6
    label("scenes", "--out", "out")
    label("scenes", "--out", "fresh")
    now = identities(here / "out")
    assert all(now[name] == kept[name] for name in finished)
    assert contents(here / "out") == contents(here / "fresh")


@pytest.fixture
def cluster(here):
    """A Dask scheduler and two workers on loopback, each in a process of its own; address and workers."""
    pytest.importorskip("distributed")
    environment = {
        **tiny_recipe.child_environment(here / "entry_points"),
        "DASK_DISTRIBUTED__LOGGING__DISTRIBUTED": "40",
    }
    file = here / "scheduler.json"
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0",
               "--no-dashboard", "--scheduler-file", str(file)]  # fmt: skip
    with (here / "cluster.log").open("wb") as log:
        processes = [subprocess.Popen(command, env=environment, stdout=log, stderr=log)]
        try:
            wait_for(lambda: file.exists() and file.read_text().endswith("}"))
            address = json.loads(file.read_text())["address"]
            for name in ("one", "two"):
                worker = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--no-nanny", "--nthreads", "1",
                          "--no-dashboard", "--host", "127.0.0.1", "--name", name,
                          "--local-directory", str(here / name)]  # fmt: skip
                processes.append(subprocess.Popen(worker, env=environment, stdout=log, stderr=log, cwd=here))
            yield address, processes[1:]
        finally:
            for process in processes:
                process.kill()
                process.wait()


@pytest.mark.slow
def test_a_cluster_that_loses_a_worker_gives_the_same_bytes(here, cluster):
    address, workers = cluster
    stacks.write_scene(here / "scenes" / "long.tif", 2000, 200)
    options = ["--confidence", "--polygons"]
    label("scenes", "--out", "local", *options)
    arguments = ["pseudolabel", "--tiles", "scenes", *FEW, "--out", "cluster", *options, "--dask", address]
    process = tiny_recipe.start(arguments, here)
    blocks = ".long.*.blocks/rows_*.npz"
    wait_for(lambda: len(list((here / "cluster").glob(blocks))) >= 1)
    workers[0].kill()
    assert len(list((here / "cluster").glob(blocks))) < 8, "killed too late to show anything"
    assert process.wait(timeout=300) == 0, (here / "wsss.log").read_text()
    assert contents(here / "cluster") == contents(here / "local")
    assert workers[1].poll() is None and workers[0].wait() != 0


@pytest.mark.slow
@pytest.mark.real_data
def test_real_sites_and_a_real_chip_keep_their_grids(tmp_path):
    """The recipe of the five sites, cut short, labels them and a chip in EPSG:4326 that it has never seen."""
    if "WSSS_TEST_DATA" not in os.environ:
        pytest.skip("WSSS_TEST_DATA is not set")
    root = Path(os.environ["WSSS_TEST_DATA"]) / "sentinel"
    short = ["train.epochs=1", "segmentation.epochs=1", f"data.root={root / 'terramind'}"]
    arguments = ["run", "sentinel_samples", "--out", str(tmp_path / "run"), "--device", "cpu"]
    for value in short:
        arguments += ["--set", value]
    result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert RunFolder(tmp_path / "run", "sentinel-samples").record("segmentation") is not None

    common = ["pseudolabel", "--run", str(tmp_path / "run"), "--device", "cpu", "--polygons", "--require-crs"]
    sites = [*common, "--tiles", str(root / "terramind"), "--out", str(tmp_path / "sites")]
    chip_rules = [
        "data.scenes.sensors.sentinel1={path: '{scene}_S1Hand.tif', bands: [VV, VH]}",
        "data.scenes.sensors.sentinel2={path: '{scene}_S2Hand.tif', bands: [B01, B02, B03, B04, B05, B06, B07, B08, "
        "B8A, B09, B10, B11, B12]}",
    ]
    chip = [*common, "--tiles", str(root / "sen1floods11"), "--out", str(tmp_path / "chip")]
    for rule in chip_rules:
        chip += ["--set", rule]
    for call in (sites, chip):
        result = CliRunner().invoke(cli, call, catch_exceptions=False)
        assert result.exit_code == 0, result.output
    sources = {path.stem: path for path in (root / "terramind" / "S2L1C").glob("*.tif")}
    sources["Spain_7370579"] = root / "sen1floods11" / "Spain_7370579_S2Hand.tif"
    masks = {path.name.removesuffix("_mask.tif"): path for path in tmp_path.glob("*/*_mask.tif")}
    assert set(masks) == set(sources) and len(masks) == 6
    for name, path in masks.items():
        with rasterio.open(path) as mask, rasterio.open(sources[name]) as source:
            assert (mask.crs, mask.transform, mask.shape) == (source.crs, source.transform, source.shape)
            assert (mask.read(1) != 255).mean() > 0.9


def test_outputs_are_part_of_what_a_mask_is_but_for_those_that_change_no_file(here):
    label("scenes", "--out", "out", "--polygons")
    before = identities(here / "out")
    for same in (["--polygons", "--min-area", "0"], ["--polygons", "--require-crs"]):
        assert label("scenes", "--out", "out", *same).count("unchanged, kept") == 2
    for other in ([], ["--polygons", "--min-area", "5"], ["--polygons", "--confidence"]):
        assert "2 masks exist already" in label("scenes", "--out", "out", *other, code=2)
    assert identities(here / "out") == before


class CountedOutputs(GeoOutputs):
    counts: Literal["none", "rows", "scores"] = "none"
    """Also count the rows, or those whose scores are there."""

    @property
    def needs_scores(self):
        return self.scores or self.counts == "scores"


class Counting(Synthetic):
    Outputs = CountedOutputs

    def write_scene(self, source, layers, classes, destination, channels):
        if destination.outputs.counts != "none":
            rows = sum(
                len(part.mask) for part in layers if destination.outputs.counts == "rows" or part.scores is not None
            )
            (destination.folder / f"{source.name}_rows.txt").write_text(str(rows))
        return super().write_scene(source, layers, classes, destination, channels)


@pytest.fixture
def counting(here, monkeypatch):
    """The adapter of the run with an output that a third party added; flags are those of its model."""
    monkeypatch.setattr("wsss_adapters.synthetic.Synthetic", Counting)
    monkeypatch.delitem(pseudolabel_command.__dict__, "_flags", raising=False)
    yield here
    pseudolabel_command.__dict__.pop("_flags", None)


def test_a_new_output_is_a_field_and_a_function_of_the_adapter(counting):
    for counts in ("rows", "scores"):
        label("scenes", "--out", counts, "--counts", counts)
        assert (counting / counts / "a_rows.txt").read_text() == "100"
        assert not list((counting / counts).glob("*_scores.tif"))
    assert "'columns' is not one of 'none', 'rows', 'scores'" in label("scenes", "--counts", "columns", code=2)


def test_values_are_checked_against_the_model_of_the_runs_adapter(here):
    request = Request(("scenes",), here / "runs" / "tiny", outputs={"polygons": True, "min_area": -1.0})
    with pytest.raises(UsageError, match=r"^--min-area: must be at least 0, got -1\.0$"):
        pseudolabel(request, Console())


def test_what_a_job_writes_travels_to_other_processes(tmp_path):
    destination = Destination(
        tmp_path, GeoOutputs(polygons=True, min_area=5.0, require_crs=True), {"wsss_version": "0"}
    )
    assert pickle.loads(pickle.dumps(destination)) == destination


def test_options_of_other_domains_are_refused(here):
    printed = label("scenes", "--deidentify", code=2)
    assert "--deidentify has no meaning for scenes of the adapter 'synthetic'; leave it out" in printed
    assert not (here / "runs" / "tiny" / "scenes").exists()
