import pytest
import torch
from safetensors.torch import save_file

from wsss_toolkit.errors import DataError
from wsss_toolkit.heads.saved import save_model
from wsss_toolkit.model.gate import open_gates
from wsss_toolkit.model.heads_left import heads_by_block
from wsss_toolkit.model.pruning import prune

# A gate closes at log(1 / 11) = -2.398.
LOCATIONS = ([1.0, -4.0, 0.2], [-2.41, -4.0, -9.0], [2.0, -2.39, -1.0])


def test_closed_heads_are_counted_before_and_after_pruning(tmp_path, classifier):
    model = classifier().eval()
    for index, values in enumerate(LOCATIONS):
        model.backbone.block(index).attn.gate.log_alpha.data = torch.tensor(values)
    save_model(model, tmp_path / "whole.safetensors", {})
    assert heads_by_block(tmp_path / "whole.safetensors") == {0: (2, 3), 1: (0, 3), 2: (3, 3)}
    assert open_gates(model) == (5, 9)
    prune(model.backbone)
    save_model(model, tmp_path / "pruned.safetensors", {})
    assert heads_by_block(tmp_path / "pruned.safetensors") == {0: (2, 3), 1: (0, 3), 2: (3, 3)}


def test_blocks_without_gates_are_left_out(tmp_path, classifier):
    save_model(classifier(frozen_below=1, class_tokens={"enter_at": 1}), tmp_path / "a.safetensors", {})
    assert list(heads_by_block(tmp_path / "a.safetensors")) == [1, 2]
    save_model(classifier(gates={"enabled": False}), tmp_path / "b.safetensors", {})
    assert heads_by_block(tmp_path / "b.safetensors") == {}


def test_a_file_that_is_no_model_is_named(tmp_path):
    (tmp_path / "a.safetensors").write_bytes(b"x")
    save_file({"a": torch.zeros(1)}, tmp_path / "b.safetensors")
    for name in ("a", "b", "none"):
        with pytest.raises(DataError, match=rf"{name}\.safetensors: the model file cannot be read"):
            heads_by_block(tmp_path / f"{name}.safetensors")
