"""Whatever a library raises for a training image, its mask or its labels is one line that names it."""

import pytest
import tiny_recipe
from click.testing import CliRunner
from fake_domain import FakeDomain, FakeOptions

from wsss_adapters.synthetic import Synthetic
from wsss_toolkit.cli.main import cli
from wsss_toolkit.domain import ChannelTable, read_sample
from wsss_toolkit.errors import DataError
from wsss_toolkit.labels.ground_truth import keys_with_truth, read_truth


def failing(*_, **__):
    raise RuntimeError("libfoo: bad\nblock in https://me:secret@host/a.tif?sig=1")


@pytest.fixture
def recipe(tmp_path, adapters):
    path = tiny_recipe.write_recipe(tmp_path / "tiny.yaml", tmp_path / "data")
    return path, tmp_path


@pytest.mark.parametrize(
    ("method", "where"),
    [
        ("read", "image '"),
        ("read_mask", "mask of image '"),
        ("splits", "data of the adapter 'synthetic': "),
        ("fingerprint", "data of the adapter 'synthetic': "),
        ("prepare", "data of the adapter 'synthetic': "),
    ],
)
def test_a_run_ends_with_one_line(recipe, monkeypatch, method, where):
    path, folder = recipe
    monkeypatch.setattr(Synthetic, method, failing)
    result = CliRunner().invoke(cli, ["run", str(path), "--out", str(folder / "run"), "--device", "cpu"])
    line = result.output.strip().splitlines()[-1]
    assert result.exit_code == 1 and line.startswith(f"error: {where}"), result.output
    assert "RuntimeError: libfoo: bad block in https://host/a.tif)" in line and "secret" not in result.output


def test_truth_and_samples_name_the_image(tmp_path):
    adapter = FakeDomain(FakeOptions(adapter="fake", root=tmp_path))
    adapter.read_mask = adapter.read = failing
    for reading, where in (
        (lambda: read_truth(adapter, "a"), "mask of image 'a': "),
        (lambda: keys_with_truth(adapter, ("a",)), "mask of image 'a': "),
        (lambda: read_sample(adapter, "a", ChannelTable(())), "image 'a': "),
    ):
        with pytest.raises(DataError) as named:
            reading()
        assert str(named.value).startswith(where)
