"""The three adapters of georeferenced images keep the contract for scenes."""

import numpy as np
import pytest
from fake_scenes import ALL_S2, radar
from fake_tiles import sentinel_section, write_sites, write_tiff

from wsss_adapters.remote_sensing.dfc2020 import Dfc2020, Dfc2020Options
from wsss_adapters.remote_sensing.sentinel import Sentinel
from wsss_adapters.remote_sensing.sentinel_options import SentinelOptions
from wsss_adapters.synthetic import Synthetic, SyntheticOptions
from wsss_toolkit.domain import ChannelTable, SceneAdapter, Sensor
from wsss_toolkit.domain.scene_contract import check_scenes

CHANNELS = ChannelTable((Sensor("sentinel1", ("VV", "VH")), Sensor("sentinel2", ("B02", "B8A"))))


def sentinel(root):
    return Sentinel(SentinelOptions.model_validate(sentinel_section(root)))


@pytest.mark.parametrize("make", [
    lambda root: Dfc2020(Dfc2020Options(adapter="dfc2020", root=root / "nowhere")),
    lambda root: Synthetic(SyntheticOptions(adapter="synthetic", root=root / "nowhere")),
    lambda root: sentinel(root / "nowhere"),
])  # fmt: skip
def test_adapters_label_scenes_without_their_training_data(make, tmp_path):
    adapter = make(tmp_path)
    assert isinstance(adapter, SceneAdapter)
    pixels = np.concatenate([radar(), np.random.default_rng(0).normal(2000, 500, (13, 40, 50)).astype(np.float32)])
    write_tiff(tmp_path / "scenes" / "a.tif", pixels, names=("VV", "VH", *ALL_S2))
    write_tiff(tmp_path / "scenes" / "deep" / "b.tif", pixels[:, :9, :11], names=("VV", "VH", *ALL_S2))
    check_scenes(adapter, [str(tmp_path / "scenes")], CHANNELS, tmp_path)


def test_scenes_may_lie_like_the_training_data(tmp_path):
    write_sites(tmp_path / "sites", ("alpha", "beta"))
    adapter = sentinel(tmp_path / "elsewhere")
    sources = adapter.find_scenes([str(tmp_path / "sites")], CHANNELS)
    assert [source.name for source in sources] == ["alpha", "beta"]
    check_scenes(adapter, [str(tmp_path / "sites")], CHANNELS, tmp_path)


def test_patterns_for_scenes_leave_trained_runs_valid(tmp_path):
    write_sites(tmp_path)
    section = sentinel_section(tmp_path)
    rules = {"sensors": {"sentinel2": {"path": "{scene}_S2.tif"}}}
    plain, changed = (
        Sentinel(SentinelOptions.model_validate(values)) for values in (section, {**section, "scenes": rules})
    )
    assert plain.fingerprint() == changed.fingerprint()
