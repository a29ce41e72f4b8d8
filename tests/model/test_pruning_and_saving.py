import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from wsss_toolkit.model.saved import KEY, load_model, save_model

from wsss_toolkit.domain import ChannelTable, Sensor
from wsss_toolkit.errors import DataError, WsssError
from wsss_toolkit.model.gate import open_gates
from wsss_toolkit.model.pruning import prune

IMAGES = (2, 3, 48, 48)


@pytest.fixture
def gated(small, spread):
    """Return a builder of models of 9 heads: 1 of 3 closed in block 0, all in block 1, none in block 2."""

    def build(**section):
        model = spread(small(**section)).eval()
        for index, values in enumerate(([1.0, -4.0, 0.2], [-4.0, -4.0, -4.0], [2.0, 0.0, -1.0])):
            gate = model.block(index).attn.gate
            if gate is not None:
                gate.log_alpha.data = torch.tensor(values)
        return model

    return build


def outputs(model, images):
    found = model(images, layers=model.class_layers, affinity=True)
    return found.logits, found.class_maps, found.layer_weights, found.affinity


@pytest.mark.parametrize("attention", ["joint", "asymmetric"])
@pytest.mark.parametrize("enter_at", [0, 1])
def test_pruned_for_good_equals_gated(gated, attention, enter_at):
    model = gated(attention=attention, class_tokens={"enter_at": enter_at})
    images = torch.randn(IMAGES)
    before, size = outputs(model, images), sum(p.numel() for p in model.parameters())
    opened = open_gates(model)
    assert prune(model) is model
    for ours, theirs in zip(outputs(model, images), before, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    assert opened == open_gates(model) == (5, 9)
    assert [model.block(i).attn.qkv.out_features for i in range(3)] == [2 * 192, 0, 3 * 192]
    head = 4 * 64 * 192 + 3 * 64  # qkv, proj and the bias of qkv
    assert size - sum(p.numel() for p in model.parameters()) == 4 * head + 9
    assert model.train()(images).logits.equal(model(images).logits)


def test_maps_of_heads_are_cut_by_pruning_and_the_file_says_which_heads_are_left(gated, tmp_path):
    model = gated(attention="asymmetric")
    images = torch.randn(IMAGES)
    before = model(images, layers=(0, 1, 2), head_maps=True)
    assert [tuple(maps.shape) for maps in before.head_maps] == [(2, 3, 4, 3, 3)] * 3
    save_model(prune(model), tmp_path / "m.safetensors", {})
    again, _ = load_model(tmp_path / "m.safetensors")
    assert [again.block(i).attn.gate.heads for i in range(3)] == [(0, 2), (), (0, 1, 2)]
    after = again(images, layers=(0, 1, 2), head_maps=True)
    for maps, gates, left, whole, all_gates in zip(
        after.head_maps, after.gates, [[0, 2], [], [0, 1, 2]], before.head_maps, before.gates, strict=True
    ):
        torch.testing.assert_close(maps, whole[:, left], atol=1e-5, rtol=0)
        torch.testing.assert_close(gates, all_gates[left])
    means = torch.stack(
        [
            torch.einsum("a,bachw->bchw", gates / gates.sum().clamp_min(1e-8), maps)
            for maps, gates in zip(after.head_maps, after.gates, strict=True)
        ],
        1,
    )
    torch.testing.assert_close(after.class_maps, means, atol=1e-6, rtol=0)


def test_a_file_from_before_heads_were_named_is_still_read(gated, tmp_path):
    save_model(prune(gated()), tmp_path / "m.safetensors", {"a": "b"})
    with safe_open(tmp_path / "m.safetensors", "pt") as file:
        entries, tensors = dict(file.metadata()), {name: file.get_tensor(name) for name in file.keys()}
    description = json.loads(entries[KEY])
    assert description.pop("heads") == {"0": [0, 2], "1": [], "2": [0, 1, 2]}
    save_file(tensors, tmp_path / "old.safetensors", {**entries, KEY: json.dumps(description)})
    again, _ = load_model(tmp_path / "old.safetensors")
    assert [again.block(i).attn.gate.heads for i in range(3)] == [None] * 3


def test_pruning_twice_or_without_gates_changes_nothing(small, gated):
    model = prune(gated())
    state = {name: value.clone() for name, value in model.state_dict().items()}
    prune(model)
    assert all(state[name].equal(value) for name, value in model.state_dict().items())
    ungated = small(gates={"enabled": False})
    assert prune(ungated).block(0).attn.heads == 3


@pytest.mark.parametrize("pruned", [False, True])
def test_saved_model_comes_back_the_same(gated, tmp_path, pruned):
    channels = ChannelTable((Sensor("s1", ("VV", "VH")), Sensor("s2", ("B02", "B03", "B04"), ("B04", "B03", "B02"))))
    model = gated(
        channels=channels,
        fusion="per_sensor",
        frozen_below=1,
        class_tokens={"enter_at": 1},
        attention="asymmetric",
    )
    if pruned:
        prune(model)
    path = tmp_path / "new" / "model.safetensors"
    save_model(model, path, {"classes": "a;b;c;d"})
    state = torch.get_rng_state()
    again, metadata = load_model(path)
    assert torch.get_rng_state().equal(state)
    images = torch.randn(2, 5, 48, 48)
    assert again(images).logits.equal(model(images).logits)
    assert metadata == {"classes": "a;b;c;d"}
    assert (again.channels, again.section, again.fusion, again.frozen_below) == (
        channels,
        model.section,
        "per_sensor",
        1,
    )
    assert open_gates(again) == open_gates(model) == (3, 6)
    assert [file.name for file in path.parent.iterdir()] == ["model.safetensors"]


def test_failed_save_keeps_the_old_file_and_leaves_no_other(small, tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"old")

    def no_space(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("wsss_toolkit.model.saved.save_file", no_space)
    with pytest.raises(WsssError, match=r"model\.safetensors: the model cannot be written: .*No space left"):
        save_model(small(), path, {})
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"old"]


def test_reserved_metadata_is_refused(small, tmp_path):
    with pytest.raises(ValueError, match="wsss_model"):
        save_model(small(), tmp_path / "m.safetensors", {"wsss_model": ""})


def test_damaged_and_foreign_files_are_refused_in_one_line(small, tmp_path):
    path = tmp_path / "model.safetensors"
    save_model(small(), path, {})
    whole = path.read_bytes()
    cases = {
        "no such model file": None,
        "cannot be read": whole[: len(whole) // 2],
        "cannot be read: ": b"\x80\x04not safetensors",
    }
    for message, content in cases.items():
        path.unlink() if content is None else path.write_bytes(content)
        with pytest.raises(DataError, match=message) as caught:
            load_model(path)
        assert "\n" not in str(caught.value)
    save_file({"weight": torch.zeros(2)}, path)
    with pytest.raises(DataError, match="not a model of wsss-toolkit"):
        load_model(path)
    save_file({"weight": torch.zeros(2)}, path, {"wsss_model": '{"version": 1}'})
    with pytest.raises(DataError, match="cannot be read"):
        load_model(path)
    path.write_bytes(
        whole.replace(b'"classes":4', b'"classes":5', 1).replace(b'\\"classes\\":4', b'\\"classes\\":5', 1)
    )
    with pytest.raises(DataError, match="do not fit the architecture"):
        load_model(path)
