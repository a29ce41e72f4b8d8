import subprocess
import sys

import numpy as np
import pytest
import rasterio
from fake_tiles import S2_BANDS, draw_tile, read_tiff, write_contest, write_tiff, write_torchgeo

from wsss_adapters.remote_sensing.dfc2020 import Dfc2020, Dfc2020Options
from wsss_toolkit.domain import ChannelTable, Sensor
from wsss_toolkit.domain.contract import check_adapter
from wsss_toolkit.errors import DataError


@pytest.fixture
def contest(tmp_path):
    return write_contest(tmp_path / "dfc2020")


def dfc2020(root, **options):
    return Dfc2020(Dfc2020Options(adapter="dfc2020", root=root, **options))


def test_contract_in_the_contest_layout(contest, tmp_path):
    check_adapter(dfc2020(contest), tmp_path / "masks", read_written=read_tiff)


def test_masks_follow_the_lookup_table(contest):
    codes = np.zeros((1, 24, 24), dtype=np.uint8)
    codes[0, 0, :11] = range(11)
    write_tiff(contest / "ROIs0000_test/dfc_0/ROIs0000_test_dfc_0_p3.tif", codes)
    mask = dfc2020(contest).read_mask("test_p3")
    assert mask[0, :11].tolist() == [255, 0, 1, 255, 2, 3, 4, 5, 255, 6, 7]
    assert (mask[1:] == 255).all()


def test_classes_are_the_eight_with_the_usual_palette(contest):
    classes = dfc2020(contest).classes
    assert classes.names[0] == "Forest" and classes.names[7] == "Water" and len(classes.names) == 8
    assert classes.colors[0] == (0x00, 0x99, 0x00) and classes.colors[7] == (0x1C, 0x0D, 0xFF)
    assert classes.background is None


def test_unknown_codes_are_named(contest):
    path = contest / "ROIs0000_test/dfc_0/ROIs0000_test_dfc_0_p3.tif"
    write_tiff(path, np.full((1, 24, 24), 17, dtype=np.uint8))
    with pytest.raises(DataError, match=r"dfc_0_p3\.tif: unknown label codes 17; known are 0, 1, 2"):
        dfc2020(contest).read_mask("test_p3")


def test_bands_are_picked_by_name(contest):
    s1, s2, _ = draw_tile(1000 * len("ROIs0000_test") + 3)
    table = ChannelTable((Sensor("sentinel1", ("VH",)), Sensor("sentinel2", ("B8A", "B02"))))
    sample = dfc2020(contest).read("test_p3", table)
    assert list(sample.bands) == ["sentinel1", "sentinel2"]
    assert np.array_equal(sample.bands["sentinel1"], s1[[1]])
    picked = [S2_BANDS.index("B8A"), S2_BANDS.index("B02")]
    assert np.array_equal(sample.bands["sentinel2"], s2[picked].astype(np.float32))


def test_paper_split_holds_out_a_seeded_share_of_the_contests_test_tiles(contest):
    splits = dfc2020(contest, val_fraction=0.2).splits()
    assert {split: len(keys) for split, keys in splits.items()} == {"train": 8, "val": 2, "test": 4}
    assert all(key.startswith("val_") for key in splits["test"])
    assert all(key.startswith("test_") for key in splits["train"] + splits["val"])
    assert splits == dfc2020(contest, val_fraction=0.2).splits()
    others = [dfc2020(contest, val_fraction=0.2, seed=seed).splits()["val"] for seed in range(1, 6)]
    assert any(other != splits["val"] for other in others)
    assert dfc2020(contest, val_fraction=0).splits()["val"] == ()


def test_exported_masks_have_the_tiles_georeference(contest, tmp_path):
    adapter = dfc2020(contest)
    mask = np.zeros((24, 24), dtype=np.uint8)
    path = adapter.write_mask(tmp_path / "m", "val_p2", mask, None, {})
    source = contest / "ROIs0000_validation/s2_validation/ROIs0000_validation_s2_validation_p2.tif"
    with rasterio.open(path) as written, rasterio.open(source) as original:
        assert written.crs == original.crs and written.transform == original.transform


def test_missing_data_names_root_cause_and_both_remedies(tmp_path):
    with pytest.raises(DataError) as caught:
        dfc2020(tmp_path / "nothing").prepare()
    text = str(caught.value)
    assert str(tmp_path / "nothing") in text and "`download: true`" in text and "ROIs0000_test" in text
    assert "\n" not in text


def test_half_a_contest_is_refused(tmp_path):
    root = write_contest(tmp_path, train=2, test=0)
    with pytest.raises(DataError, match=r"no tiles in .*ROIs0000_validation.s2_validation"):
        dfc2020(root).prepare()


def test_tile_without_its_radar_file_is_refused(contest):
    path = contest / "ROIs0000_test/s1_0/ROIs0000_test_s1_0_p3.tif"
    path.unlink()
    with pytest.raises(DataError, match=r"s1_0_p3\.tif: tile test_p3 lacks this file"):
        dfc2020(contest).prepare()


def test_truncated_tile_is_named(contest):
    path = contest / "ROIs0000_test/s2_0/ROIs0000_test_s2_0_p3.tif"
    path.write_bytes(path.read_bytes()[:3000])
    adapter = dfc2020(contest)
    with pytest.raises(DataError, match=r"s2_0_p3\.tif: not a readable raster"):
        adapter.read("test_p3", ChannelTable(adapter.sensors))


def test_fingerprint_follows_files_and_options(contest):
    first = dfc2020(contest).fingerprint()
    assert first == dfc2020(contest).fingerprint() == dfc2020(contest, download=True).fingerprint()
    assert first != dfc2020(contest, seed=1).fingerprint()
    (contest / "ROIs0000_test/s1_0/ROIs0000_test_s1_0_p3.tif").write_bytes(b"changed")
    assert first != dfc2020(contest).fingerprint()


def test_torchgeo_lists_apply_to_the_contest_layout(contest):
    with pytest.raises(DataError, match=r"dfc-train-new\.csv is missing"):
        dfc2020(contest, split="torchgeo").splits()
    for split, number in (("train", 1), ("val", 2), ("test", 3)):
        (contest / f"dfc-{split}-new.csv").write_text(f"ROIs0000_test_dfc_0_p{number}.tif\n")
    splits = dfc2020(contest, split="torchgeo").splits()
    assert splits == {"train": ("test_p1",), "val": ("test_p2",), "test": ("test_p3",)}
    (contest / "dfc-test-new.csv").write_text("ROIs0000_test_dfc_0_p99.tif\n")
    with pytest.raises(DataError, match="name 1 tiles that are not there, test_p99 first"):
        dfc2020(contest, split="torchgeo").splits()
    (contest / "dfc-test-new.csv").write_text("../../etc/passwd.tif\n")
    with pytest.raises(DataError, match=r"not '../../etc/passwd.tif'"):
        dfc2020(contest, split="torchgeo").splits()


def test_reading_the_contest_layout_loads_neither_torch_nor_torchgeo(contest):
    code = (
        "import sys\n"
        "from wsss_adapters.remote_sensing.dfc2020 import Dfc2020, Dfc2020Options\n"
        "assert not {'torch', 'torchgeo', 'rasterio'} & set(sys.modules), 'on import'\n"
        f"adapter = Dfc2020(Dfc2020Options(adapter='dfc2020', root={str(contest)!r}))\n"
        "adapter.prepare()\n"
        "adapter.read_mask('test_p3')\n"
        "assert not {'torch', 'torchgeo'} & set(sys.modules), 'on reading'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow  # importing TorchGeo alone takes 8 to 20 seconds
class TestTorchGeoLayout:
    @pytest.fixture(autouse=True)
    def torchgeo_is_installed(self):
        pytest.importorskip("torchgeo")

    @pytest.fixture
    def copy(self, tmp_path):
        return write_torchgeo(tmp_path / "copy")

    def test_contract(self, copy, tmp_path):
        check_adapter(dfc2020(copy, split="torchgeo"), tmp_path / "masks", read_written=read_tiff)

    def test_splits_and_pixels_are_those_of_the_files(self, copy):
        adapter = dfc2020(copy, split="torchgeo")
        assert {split: len(keys) for split, keys in adapter.splits().items()} == {
            "train": 4,
            "val": 2,
            "test": 2,
        }
        s1, s2, codes = draw_tile(5)
        table = ChannelTable((Sensor("sentinel2", ("B12", "B01")), Sensor("sentinel1", ("VV", "VH"))))
        sample = adapter.read("test_p5", table)
        assert np.array_equal(sample.bands["sentinel2"], s2[[12, 0]].astype(np.float32))
        assert np.array_equal(sample.bands["sentinel1"], s1)
        mask = adapter.read_mask("test_p5")
        assert (mask[codes == 10] == 7).all() and (mask[codes == 3] == 255).all()

    def test_images_are_read_without_opening_masks(self, copy):
        (copy / "dfc2020_s1s2/dfc/ROIs0000_test_dfc_0_p5.tif").unlink()
        adapter = dfc2020(copy, split="torchgeo")
        adapter.read("test_p5", ChannelTable(adapter.sensors))
        with pytest.raises(DataError, match="p5"):
            adapter.read_mask("test_p5")

    def test_paper_split_is_refused_where_its_tiles_are_missing(self, copy):
        with pytest.raises(DataError, match=r"needs the contest's validation tiles.*use `split: torchgeo`"):
            dfc2020(copy).splits()

    def test_missing_pixels_become_nan(self, copy):
        s1 = draw_tile(5)[0]
        s1[0, 0, 0], s1[1, 0, 0] = np.nan, np.inf
        write_tiff(copy / "dfc2020_s1s2/s1/ROIs0000_test_s1_0_p5.tif", s1, crs=None)
        adapter = dfc2020(copy, split="torchgeo")
        bands = adapter.read("test_p5", ChannelTable(adapter.sensors)).bands["sentinel1"]
        assert np.isnan(bands[:, 0, 0]).all() and np.isfinite(bands[:, 1:, 1:]).all()

    def test_truncated_tile_is_named(self, copy):
        path = copy / "dfc2020_s1s2/s2/ROIs0000_test_s2_0_p5.tif"
        path.write_bytes(path.read_bytes()[:2000])
        adapter = dfc2020(copy, split="torchgeo")
        with pytest.raises(DataError, match=r"p5\.tif.*truncated"):
            adapter.read("test_p5", ChannelTable(adapter.sensors))

    def test_missing_copy_names_both_remedies(self, tmp_path):
        with pytest.raises(DataError, match="`download: true`, or put TorchGeo's"):
            dfc2020(tmp_path, layout="torchgeo", split="torchgeo").prepare()

    def test_failed_download_is_one_line(self, tmp_path, monkeypatch):
        from torchgeo.datasets import CopernicusBenchDFC2020S1

        def unreachable(self):
            raise OSError("network is unreachable")

        monkeypatch.setattr(CopernicusBenchDFC2020S1, "_download", unreachable)
        with pytest.raises(Exception, match="TorchGeo could not provide DFC2020: network is unreachable"):
            dfc2020(tmp_path, download=True, split="torchgeo").prepare()
