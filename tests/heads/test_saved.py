import pytest
import torch
from safetensors.torch import save_file

from wsss_toolkit.domain import ChannelTable, Sensor
from wsss_toolkit.errors import DataError, WsssError
from wsss_toolkit.heads.saved import load_model, save_model
from wsss_toolkit.model.attention_maps import affinity, class_map, head_maps, together
from wsss_toolkit.model.gate import open_gates
from wsss_toolkit.model.pruning import prune

IMAGES = (2, 3, 48, 48)


@pytest.fixture
def gated(classifier, spread):
    """Return a builder of models of 9 heads: 1 of 3 closed in block 0, all in block 1, none in block 2."""

    def build(**section):
        model = spread(classifier(**section)).eval()
        for index, values in enumerate(([1.0, -4.0, 0.2], [-4.0, -4.0, -4.0], [2.0, 0.0, -1.0])):
            gate = model.backbone.block(index).attn.gate
            if gate is not None:
                gate.log_alpha.data = torch.tensor(values)
        return model

    return build


def outputs(model, images):
    read = dict.fromkeys(model.backbone.class_layers, together([class_map, affinity]))
    seen = model(images, read=read, whole=True)
    found = [seen.output.read[index] for index in model.backbone.class_layers]
    maps = (torch.stack(values) for values in zip(*(one[class_map] for one in found), strict=True))
    return (*(scores.logits for scores in seen.scores.values()), *maps, *(one[affinity] for one in found))


@pytest.mark.parametrize("attention", ["joint", "asymmetric"])
@pytest.mark.parametrize("enter_at", [0, 1])
def test_pruned_for_good_equals_gated(gated, attention, enter_at):
    model = gated(attention=attention, class_tokens={"enter_at": enter_at})
    images = torch.randn(IMAGES)
    before, size = outputs(model, images), sum(p.numel() for p in model.parameters())
    opened, backbone = open_gates(model), model.backbone
    assert prune(backbone) is backbone
    for ours, theirs in zip(outputs(model, images), before, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    assert opened == open_gates(model) == (5, 9)
    assert [backbone.block(i).attn.qkv.out_features for i in range(3)] == [2 * 192, 0, 3 * 192]
    head = 4 * 64 * 192 + 3 * 64  # qkv, proj and the bias of qkv
    assert size - sum(p.numel() for p in model.parameters()) == 4 * head + 9
    assert model.train()(images).logits.equal(model(images).logits)


def heads_left(model):
    return [model.backbone.block(i).attn.gate.heads for i in range(3)]


def test_maps_of_heads_are_cut_by_pruning_and_the_file_says_which_heads_are_left(gated, tmp_path):
    model = gated(attention="asymmetric")
    images, read = torch.randn(IMAGES), dict.fromkeys(range(3), head_maps)
    before = model(images, read=read).output.read
    prune(model.backbone)
    save_model(model, tmp_path / "m.safetensors", {})
    again, _ = load_model(tmp_path / "m.safetensors")
    assert heads_left(again) == [(0, 2), (), (0, 1, 2)]
    after = again(images, read=read).output.read
    for index, left in enumerate(([0, 2], [], [0, 1, 2])):
        assert before[index].maps.shape == (2, 3, 4, 3, 3)
        torch.testing.assert_close(after[index].maps, before[index].maps[:, left], atol=1e-5, rtol=0)
        torch.testing.assert_close(after[index].gates, before[index].gates[left])


def test_pruning_twice_or_without_gates_changes_nothing(classifier, gated):
    model = gated()
    prune(model.backbone)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    prune(model.backbone)
    assert all(state[name].equal(value) for name, value in model.state_dict().items())
    ungated = classifier(gates={"enabled": False}).backbone
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
        heads={"class": "per_token", "patch": {"kind": "linear", "pool": "lse", "sharpness": 2.0}},
    )
    if pruned:
        prune(model.backbone)
    path = tmp_path / "new" / "model.safetensors"
    save_model(model, path, {"classes": "a;b;c;d"})
    state = torch.get_rng_state()
    again, metadata = load_model(path)
    assert torch.get_rng_state().equal(state)
    images = torch.randn(2, 5, 48, 48)
    assert all(ours.equal(theirs) for ours, theirs in zip(outputs(again, images), outputs(model, images), strict=True))
    assert metadata == {"classes": "a;b;c;d"}
    assert again.head_options == model.head_options
    for name, value in (("channels", channels), ("section", model.backbone.section), ("frozen_below", 1)):
        assert getattr(again.backbone, name) == value
    assert again.backbone.fusion == "per_sensor"
    assert open_gates(again) == open_gates(model) == (3, 6)
    assert [file.name for file in path.parent.iterdir()] == ["model.safetensors"]


def test_failed_save_keeps_the_old_file_and_leaves_no_other(classifier, tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"old")

    def no_space(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", no_space)
    with pytest.raises(WsssError, match=r"model\.safetensors: cannot write: No space left"):
        save_model(classifier(), path, {})
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"old"]


def test_reserved_metadata_is_refused(classifier, tmp_path):
    with pytest.raises(ValueError, match="wsss_model"):
        save_model(classifier(), tmp_path / "m.safetensors", {"wsss_model": ""})


def test_damaged_and_foreign_files_are_refused_in_one_line(classifier, tmp_path):
    path = tmp_path / "model.safetensors"
    save_model(classifier(), path, {})
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
