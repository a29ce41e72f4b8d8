"""The recipe for five real Sentinel-1/2 sites, cut short: the whole path, not an accuracy."""

import json
import os
from pathlib import Path

import pytest
import rasterio
from click.testing import CliRunner

from wsss_toolkit.cli.main import cli


@pytest.mark.real_data
@pytest.mark.slow
def test_five_sites_end_as_a_georeferenced_mask_of_the_held_out_one(tmp_path):
    if "WSSS_TEST_DATA" not in os.environ:
        pytest.skip("WSSS_TEST_DATA is not set")
    root = Path(os.environ["WSSS_TEST_DATA"]) / "sentinel" / "terramind"
    short = ["train.epochs=1", "segmentation.epochs=1", f"data.root={root}"]
    arguments = ["run", "sentinel_samples", "--out", str(tmp_path / "run"), "--device", "cpu"]
    for value in short:
        arguments += ["--set", value]
    result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output

    [mask] = (tmp_path / "run" / "export" / "test").glob("*.tif")
    with rasterio.open(mask) as written, rasterio.open(root / "S2L1C" / mask.name) as source:
        assert (written.crs, written.transform, written.shape) == (source.crs, source.transform, source.shape)
        assert (written.dtypes, written.nodata) == (("uint8",), 255)
        assert written.tags()["CLASS_0"] == "Water"
        assert set(written.read(1).ravel()) <= {*range(8), 255}
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["run"]["notices"] == ["Five sites prove the path, not an accuracy."]
    assert report["segmentation"]["test"]["images"] == 16
