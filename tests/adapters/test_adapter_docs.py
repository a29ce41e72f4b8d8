"""What the documentation shows must work."""

import importlib.util
import json
import re
import sys
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from wsss_adapters.remote_sensing.dfc2020 import Dfc2020Options
from wsss_adapters.remote_sensing.sentinel_options import SentinelOptions
from wsss_adapters.synthetic import SyntheticOptions
from wsss_toolkit.domain import ChannelTable, ClassTable, Destination, Layers, Sensor
from wsss_toolkit.domain.contract import check_adapter
from wsss_toolkit.domain.scene_contract import check_scenes

DOCS = Path(__file__).parents[2] / "docs"


def code_blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / page).read_text(), flags=re.DOTALL)


def read_png(path: Path):
    with Image.open(path) as picture:
        return np.array(picture)


def test_the_data_sections_of_the_satellite_page_are_valid():
    models = {"dfc2020": Dfc2020Options, "sentinel": SentinelOptions, "synthetic": SyntheticOptions}
    sections = [yaml.safe_load(block)["data"] for block in code_blocks("remote-sensing.md", "yaml")]
    assert {section["adapter"] for section in sections} == set(models)
    for section in sections:
        models[section["adapter"]].model_validate(section)


def load(file: Path, monkeypatch):
    spec = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(spec)
    # Where inspect looks for the source of a class, and so pydantic for the docstrings of its fields.
    monkeypatch.setitem(sys.modules, file.stem, module)
    spec.loader.exec_module(module)
    return module


def test_the_adapter_of_the_tutorial_keeps_the_contract(tmp_path, monkeypatch):
    module_file = tmp_path / "pictures.py"
    module_file.write_text(code_blocks("add-an-adapter.md", "python")[0])
    module = load(module_file, monkeypatch)
    generator = np.random.default_rng(0)
    for split, name in (("train", "a"), ("train", "b"), ("val", "c")):
        folder = tmp_path / "data" / split
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 255, (12, 17, 3), dtype=np.uint8)).save(folder / f"{name}.png")
        Image.fromarray(generator.integers(0, 2, (12, 17), dtype=np.uint8)).save(folder / f"{name}.mask.tif")
    adapter = module.Pictures(module.PictureOptions(adapter="pictures", root=tmp_path / "data"))
    check_adapter(adapter, tmp_path / "masks", read_written=read_png)


def test_the_output_of_the_tutorial_is_written(tmp_path, monkeypatch):
    [block] = [block for block in code_blocks("add-an-adapter.md", "python") if "CrackOutputs" in block]
    (tmp_path / "cracks.py").write_text(block)
    adapter = load(tmp_path / "cracks.py", monkeypatch).Cracks()
    (tmp_path / "in").mkdir()
    Image.fromarray(np.zeros((6, 8, 3), np.uint8)).save(tmp_path / "in" / "a.png")
    camera = ChannelTable((Sensor("rgb", ("R", "G", "B")),))
    (tmp_path / "checked").mkdir()
    check_scenes(adapter, [str(tmp_path / "in")], camera, tmp_path / "checked")

    scores = np.full((2, 6, 8), 253, np.uint8)
    scores[1, 0, :5], scores[1, 1:, 0] = 255, 100
    layers = [Layers(0, np.zeros((6, 8), np.uint8), scores[0], scores)]
    [source] = adapter.find_scenes([str(tmp_path / "in")], camera)
    outputs = adapter.Outputs(length=True, sure=0.8)
    classes = ClassTable(("background", "crack"), ((0, 0, 0), (255, 0, 0)), 0)
    adapter.write_scene(source, layers, classes, Destination(tmp_path, outputs, {"wsss_version": "0"}), camera)
    assert json.loads((tmp_path / "a_length.json").read_text()) == {"pixels": 6 * 8 - 5 - 5}
    assert outputs.needs_scores and not adapter.Outputs().needs_scores
