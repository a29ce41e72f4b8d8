"""What frozen encoders of supervised rows are before anybody trains them: the starting weights, and nothing else."""

from types import SimpleNamespace

import tiny_recipe

from wsss_toolkit.domain import ChannelTable, ClassTable, Sensor
from wsss_toolkit.experiments.supervised import _Work
from wsss_toolkit.recipe import load_recipe
from wsss_toolkit.recipe.schema import Gates


def test_neither_gates_nor_class_tokens_that_nobody_trained_change_its_tokens(tmp_path):
    recipe = load_recipe(tiny_recipe.write_recipe(tmp_path / "tiny.yaml", tmp_path / "data"))
    model = recipe.model.model_copy(update={"gates": Gates(enabled=True), "attention": "joint"})
    recipe = recipe.model_copy(update={"model": model})
    adapter = SimpleNamespace(classes=ClassTable(("a", "b"), ((0, 0, 0),) * 2))
    channels = ChannelTable((Sensor("camera", ("R", "G", "B")),))
    backbone = _Work(recipe, "supervised_head", adapter, channels, "cpu")._untrained_classifier().backbone
    assert all(backbone.block(index).attn.gate is None for index in range(backbone.depth))
    assert backbone.section.attention == "asymmetric"
