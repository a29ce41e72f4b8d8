import json
import subprocess
import sys
import time

import numpy as np
import pytest
import rasterio
from fake_tiles import read_tiff

from wsss_adapters.synthetic import Synthetic, SyntheticOptions
from wsss_adapters.synthetic_scenes import BACKSCATTER, CODES, SPECTRA, draw_scene
from wsss_toolkit.domain import ChannelTable
from wsss_toolkit.domain.contract import check_adapter
from wsss_toolkit.errors import DataError, WsssError


def synthetic(root, **options):
    section = {
        "adapter": "synthetic",
        "root": root,
        "size": 32,
        "tiles": {"train": 6, "val": 2, "test": 3},
        **options,
    }
    return Synthetic(SyntheticOptions.model_validate(section))


def test_contract(tmp_path):
    check_adapter(synthetic(tmp_path / "data"), tmp_path / "masks", read_written=read_tiff)


def test_splits_are_known_before_and_unchanged_after_generation(tmp_path):
    adapter = synthetic(tmp_path / "data")
    before = adapter.splits()
    assert not (tmp_path / "data").exists()
    assert {split: len(keys) for split, keys in before.items()} == {"train": 6, "val": 2, "test": 3}
    adapter.prepare()
    assert adapter.splits() == before
    # What Dfc2020 finds in the folder is the same.
    assert adapter._torchgeo_splits() == before


def test_seed_decides_every_pixel(tmp_path):
    def pixels(root, **options):
        adapter = synthetic(root, **options)
        adapter.prepare()
        bands = adapter.read("test_p1", ChannelTable(adapter.sensors)).bands
        return np.concatenate([bands["sentinel1"], bands["sentinel2"], adapter.read_mask("test_p1")[None]])

    first = pixels(tmp_path / "a")
    assert np.array_equal(first, pixels(tmp_path / "b"))
    assert not np.array_equal(first, pixels(tmp_path / "a", seed=1))


def test_tiles_are_reused_and_other_parameters_get_their_own_folder(tmp_path):
    adapter = synthetic(tmp_path)
    adapter.prepare()
    file = adapter.folder / "ROIs0000_test/s2_0/ROIs0000_test_s2_0_p0.tif"
    written = file.stat().st_mtime_ns
    adapter.prepare()
    again = synthetic(tmp_path)
    again.prepare()
    assert file.stat().st_mtime_ns == written and again.fingerprint() == adapter.fingerprint()
    other = synthetic(tmp_path, seed=1)
    other.prepare()
    assert other.folder != adapter.folder and file.is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([adapter.folder.name, other.folder.name])


def test_interrupted_generation_leaves_nothing_behind(tmp_path, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("wsss_adapters.synthetic._write_tile", interrupted)
    with pytest.raises(KeyboardInterrupt):
        synthetic(tmp_path).prepare()
    assert list(tmp_path.iterdir()) == []


def test_damaged_folder_is_named(tmp_path):
    adapter = synthetic(tmp_path)
    adapter.prepare()
    (adapter.folder / "ROIs0000_test/s1_0/ROIs0000_test_s1_0_p0.tif").unlink()
    with pytest.raises(DataError, match=r"s1_0_p0\.tif: tile test_p0 lacks this file"):
        synthetic(tmp_path).prepare()


def test_unwritable_root_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WsssError, match=r"cannot write synthetic tiles.*--set data\.root=DIR"):
        synthetic(tmp_path / "file").prepare()


def test_it_says_that_it_is_synthetic(tmp_path):
    adapter = synthetic(tmp_path / "data")
    adapter.prepare()
    assert adapter.notices == ("Synthetic data: figures say nothing about real scenes.",)
    assert json.loads((adapter.folder / "synthetic.json").read_text())["notice"] == adapter.notices[0]
    path = adapter.write_mask(tmp_path / "m", "val_p0", np.zeros((32, 32), np.uint8), None, {})
    with rasterio.open(path) as written:
        assert written.crs.to_epsg() == 32632
        assert written.tags()["NOTICE"] == adapter.notices[0]


def test_progress_goes_to_standard_error(tmp_path, capsys):
    synthetic(tmp_path).prepare()
    assert capsys.readouterr().out == ""


def test_scenes_hold_few_classes_in_one_piece_with_their_spectra():
    generator = np.random.default_rng(0)
    scenes = [draw_scene(64, generator) for _ in range(40)]
    for scene in scenes:
        found = set(np.unique(scene.codes)) - {0}
        assert 1 <= len(found) <= 4 and found <= set(CODES)
        neighbours_agree = (scene.codes[:, 1:] == scene.codes[:, :-1]).mean()
        assert neighbours_agree > 0.9
    codes = np.stack([scene.codes for scene in scenes])
    s2 = np.stack([scene.sentinel2 for scene in scenes], axis=1)
    s1 = np.stack([scene.sentinel1 for scene in scenes], axis=1)
    for index, code in enumerate(CODES):
        here = codes == code
        assert here.any()
        assert np.abs(s2[:, here].mean(axis=1) / SPECTRA[index] - 1)[3:8].max() < 0.25
        # The mean of logarithmic gamma speckle lies about half a decibel below the class's level.
        assert np.abs(s1[:, here].mean(axis=1) - BACKSCATTER[index]).max() < 2.0
    assert 0.001 < (codes == 0).mean() < 0.03


def test_import_is_light():
    heavy = "{'torch', 'rasterio', 'scipy', 'rich'}"
    code = f"import sys, wsss_adapters.synthetic; assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_the_quickstarts_tiles_take_seconds(tmp_path):
    start = time.perf_counter()
    synthetic(tmp_path, size=96, tiles={"train": 120, "val": 20, "test": 20}).prepare()
    assert time.perf_counter() - start < 30
