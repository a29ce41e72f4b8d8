import os
import pickle
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from wsss_toolkit.domain import ChannelTable, Sensor
from wsss_toolkit.errors import DataError, UsageError, WsssError
from wsss_toolkit.model.weights import load_weights

S2 = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
FUSED = ChannelTable((Sensor("sentinel1", ("VV", "VH")), Sensor("sentinel2", S2, ("B04", "B03", "B02"))))


@pytest.fixture
def checkpoint(tmp_path):
    """Return a function that writes a random ViT-Ti/16 (64 px, 4 blocks) and returns its path."""

    def write(*, name="weights.safetensors", prefix="", wrap=None, change=None, **options):
        arguments = {"img_size": 64, "depth": 4, "num_classes": 5, **options}
        state = timm.create_model("vit_tiny_patch16_224", **arguments).state_dict()
        state = {prefix + key: value + torch.randn_like(value) * 0.02 for key, value in state.items()}
        if change is not None:
            change(state)
        path = tmp_path / name
        if path.suffix == ".safetensors":
            save_file(state, path)
        else:
            torch.save(state if wrap is None else {"epoch": 3, wrap: state}, path)
        return path

    return write


def test_every_tensor_is_accounted_for(small, checkpoint):
    path = checkpoint()
    model = small(channels=FUSED, class_tokens={"enter_at": 1})
    before = {name: value.clone() for name, value in model.state_dict().items()}
    account = load_weights(model, str(path), FUSED)
    source, after = load_file(path), model.state_dict()
    adapted_from, adapted_to = {a.source for a in account.adapted}, {a.name for a in account.adapted}
    assert adapted_from | set(account.loaded) - adapted_to | set(account.left_out) == set(source)
    assert set(account.loaded) | adapted_to | set(account.missing) == set(after)
    assert not set(account.missing) & (set(account.loaded) | adapted_to)
    assert {key.partition(".attn")[0] for key in account.left_out if key.startswith("blocks")} >= {"blocks.3"}
    assert {"head.weight", "head.bias"} <= set(account.left_out)
    assert {a.source: (a.before, a.after) for a in account.adapted} == {
        "patch_embed.proj.weight": ((192, 3, 16, 16), (192, 15, 16, 16)),
        "patch_embed.proj.bias": ((192,), (192,)),
        "pos_embed": ((1, 17, 192), (1, 9, 192)),
        "cls_token": ((1, 1, 192), (1, 1, 192)),
    }
    assert all(after[key].equal(source[key]) for key in account.loaded if key in source)
    assert all(after[key].equal(before[key]) for key in account.missing)
    torch.testing.assert_close(after["registers"], source["cls_token"] + source["pos_embed"][:, :1])
    text = str(account)
    assert "B02 B03 B04 copied by name; 12 channels from the mean; scaled by 3/15" in text
    assert "grid 4 x 4 resampled to 3 x 3" in text


def test_class_tokens_start_from_the_checkpoints_own_with_noise(small, checkpoint):
    path = checkpoint()
    model = small(classes=50, class_tokens={"noise_std": 0.1})
    load_weights(model, str(path), model.channels)
    source = load_file(path)
    noise = model.class_tokens.detach() - source["cls_token"] - source["pos_embed"][:, :1]
    assert noise.std().item() == pytest.approx(0.1, rel=0.05)
    assert abs(noise.mean().item()) < 0.005


def test_known_bands_are_copied_by_name_and_the_response_keeps_its_scale(small, checkpoint):
    path = checkpoint()
    weight = load_file(path)["patch_embed.proj.weight"]
    model = small(channels=FUSED)
    load_weights(model, str(path), FUSED)
    ours = model.patch_embed.projections[0].weight.detach()
    names = FUSED.bands
    for band, column in (("B04", 0), ("B03", 1), ("B02", 2)):
        torch.testing.assert_close(ours[:, names.index(band)], weight[:, column] * 3 / 15)
    torch.testing.assert_close(ours[:, names.index("VV")], weight.mean(1) * 3 / 15)
    torch.testing.assert_close(ours.sum(1), weight.sum(1), atol=1e-5, rtol=1e-4)


def test_each_sensor_has_its_own_adapted_projection(small, checkpoint):
    path = checkpoint()
    model = small(channels=FUSED, fusion="per_sensor")
    load_weights(model, str(path), FUSED)
    weight = load_file(path)["patch_embed.proj.weight"]
    for projection in model.patch_embed.projections:
        torch.testing.assert_close(projection.weight.sum(1).detach(), weight.sum(1), atol=1e-5, rtol=1e-4)


def test_bands_of_a_sentinel2_checkpoint_are_found_in_any_order(small, checkpoint):
    path = checkpoint(in_chans=13)
    channels = ChannelTable((Sensor("s2", ("B8A", "B02", "B12")),))
    model = small(channels=channels)
    load_weights(model, str(path), channels)
    weight = load_file(path)["patch_embed.proj.weight"]
    torch.testing.assert_close(model.patch_embed.projections[0].weight.detach(), weight[:, [8, 1, 12]] * 13 / 3)


@pytest.mark.parametrize(
    ("name", "prefix", "wrap"),
    [
        ("w.pth", "", None),
        ("w.pt", "module.backbone.", "teacher"),
        ("w.bin", "encoder.", "state_dict"),
        ("w.ckpt", "model.", "model"),
    ],
)
def test_usual_wrappers_and_prefixes_are_seen_through(small, checkpoint, name, prefix, wrap):
    model = small()
    account = load_weights(model, str(checkpoint(name=name, prefix=prefix, wrap=wrap)), model.channels)
    assert "blocks.0.attn.qkv.weight" in account.loaded


def test_another_patch_size_is_resampled(small, checkpoint):
    model = small(patch_size=8)
    account = load_weights(model, str(checkpoint()), model.channels)
    assert "patches resampled from 16 to 8 px" in str(account)
    assert model.patch_embed.projections[0].weight.shape == (192, 3, 8, 8)


def drop(*keys):
    return lambda state: [state.pop(key) for key in keys]


@pytest.mark.parametrize(
    ("section", "options", "message"),
    [
        ({"depth": 6}, {}, "lacks 24 tensors of the backbone: blocks.4.norm1.weight"),
        ({}, {"change": drop("pos_embed")}, "lacks 1 tensors of the backbone: pos_embed"),
        (
            {"backbone": "vit_small_patch16_224"},
            {},
            r"tensors do not fit backbone 'vit_small.*\[192\] for \[384\]",
        ),
        ({}, {"init_values": 1e-5}, "backbone 'vit_tiny_patch16_224' lacks: blocks.0.ls1.gamma"),
        (
            {},
            {"pre_norm": True, "change": lambda s: s.update({"patch_embed.proj.bias": torch.zeros(192)})},
            "lacks: norm_pre.bias, norm_pre.weight",
        ),
        (
            {},
            {"change": lambda s: s.update(pos_embed=torch.zeros(1, 15, 192))},
            "15 positions, which fit no square grid",
        ),
        ({}, {"prefix": "x_"}, "no Vision Transformer"),
    ],
)
def test_checkpoints_that_do_not_fit_name_the_keys_and_change_nothing(small, checkpoint, section, options, message):
    model = small(**section)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(DataError, match=message) as caught:
        load_weights(model, str(checkpoint(**options)), model.channels)
    assert "\n" not in str(caught.value)
    assert all(before[name].equal(value) for name, value in model.state_dict().items())


class Hostile:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


def test_hostile_and_damaged_files_are_refused_and_never_run(small, checkpoint, tmp_path):
    model, touched = small(), tmp_path / "touched"
    good = checkpoint(name="good.pth").read_bytes()
    torch.save({"state_dict": Hostile(touched)}, tmp_path / "hostile.pth")
    (tmp_path / "bare.pth").write_bytes(pickle.dumps(Hostile(touched)))
    (tmp_path / "cut.pth").write_bytes(good[: len(good) // 2])
    (tmp_path / "empty.pt").write_bytes(b"")
    (tmp_path / "text.safetensors").write_bytes(b"not a tensor")
    (tmp_path / "cut.safetensors").write_bytes(checkpoint().read_bytes()[:-100])
    for name in ("hostile.pth", "bare.pth", "cut.pth", "empty.pt", "text.safetensors", "cut.safetensors"):
        with pytest.raises(DataError, match=rf"{name}: the weights file was refused") as caught:
            load_weights(model, str(tmp_path / name), model.channels)
        assert "\n" not in str(caught.value)
    assert not touched.exists()
    torch.save({"epoch": 3, "lr": 0.1}, tmp_path / "nothing.pth")
    with pytest.raises(DataError, match="holds no tensors by name"):
        load_weights(model, str(tmp_path / "nothing.pth"), model.channels)


@pytest.mark.parametrize(
    ("spec", "kind", "message"),
    [
        ("imagenet", UsageError, "unknown weights 'imagenet'; use none, timm"),
        ("missing.pth", DataError, "missing.pth: no such weights file"),
        ("torchgeo:ViTSmall16_Weights", UsageError, "name no member"),
    ],
)
def test_weights_that_cannot_be_found(small, spec, kind, message):
    model = small()
    with pytest.raises(kind, match=message):
        load_weights(model, spec, model.channels)


def test_none_loads_nothing(small):
    model = small()
    account = load_weights(model, "none", model.channels)
    assert account.loaded == account.adapted == ()
    assert set(account.missing) == set(model.state_dict())


def test_download_that_fails_is_one_line(small, monkeypatch):
    model = small()

    def offline(*arguments, **options):
        raise ConnectionError("Name or service not known\nmore")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(WsssError, match="cannot be had: Name or service not known; check the network") as caught:
        load_weights(model, "timm", model.channels)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # importing torchgeo warns of its own dependencies
def test_torchgeo_weights_state_their_bands(small, checkpoint, monkeypatch):
    models = pytest.importorskip("torchgeo.models")
    path = checkpoint(in_chans=2, name="s1.pth")
    enum = type(models.ViTSmall16_Weights.SENTINEL1_GRD_MAE)
    monkeypatch.setattr(enum, "get_state_dict", lambda self, **options: torch.load(path, weights_only=True))
    channels = ChannelTable((Sensor("sentinel1", ("VH", "VV")),))
    model = small(channels=channels)
    load_weights(model, "torchgeo:ViTSmall16_Weights.SENTINEL1_GRD_MAE", channels)
    weight = torch.load(path, weights_only=True)["patch_embed.proj.weight"]
    torch.testing.assert_close(model.patch_embed.projections[0].weight.detach(), weight[:, [1, 0]])
    with pytest.raises(UsageError, match="has no member 'SENTINEL9'; it has LANDSAT"):
        load_weights(model, "torchgeo:ViTSmall16_Weights.SENTINEL9", channels)
    with pytest.raises(UsageError, match="no weights 'os'; it has ViTBase"):
        load_weights(model, "torchgeo:os.system", channels)


@pytest.mark.real_data
def test_dinov2_weights_load_whole_at_another_size_with_15_channels(small):
    if "WSSS_TEST_DATA" not in os.environ:
        pytest.skip("WSSS_TEST_DATA is not set")
    path = Path(os.environ["WSSS_TEST_DATA"]).parent / "weights" / "vit_small_patch14_dinov2.safetensors"
    model = small(
        backbone="vit_small_patch14_dinov2",
        image_size=168,
        depth=None,
        channels=FUSED,
        classes=8,
        class_tokens={"enter_at": 8},
        frozen_below=8,
    )
    account = load_weights(model, str(path), FUSED)
    assert account.left_out == ()
    assert len(account.loaded) == 12 * 14 + 2
    assert {a.source for a in account.adapted} == {
        "patch_embed.proj.weight",
        "patch_embed.proj.bias",
        "pos_embed",
        "cls_token",
    }
    assert all(name == "class_tokens" or name.endswith("log_alpha") for name in account.missing)
    assert model.eval()(torch.randn(1, 15, 168, 168)).class_tokens.shape == (1, 8, 384)
