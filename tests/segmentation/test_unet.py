import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from wsss_toolkit.errors import UsageError, WsssError
from wsss_toolkit.pseudo_masks.refine import pixel_adaptive
from wsss_toolkit.recipe.schema import Segmentation
from wsss_toolkit.segmentation.encoder_weights import load_encoder_weights
from wsss_toolkit.segmentation.unet import build_network, predict

SMALL = "tu-tf_efficientnet_lite0"


@pytest.mark.parametrize("architecture", ["unet", "unetplusplus", "fpn", "deeplabv3plus"])
def test_predictions_have_the_size_of_the_images(architecture):
    torch.manual_seed(0)
    network = build_network(Segmentation(architecture=architecture, encoder="mobilenet_v2"), 5, 3).eval()
    with torch.no_grad():
        assert predict(network, torch.rand(2, 5, 50, 33)).shape == (2, 3, 50, 33)
        assert predict(network, torch.rand(1, 5, 3, 70)).shape == (1, 3, 3, 70)


def test_padding_leaves_images_of_the_right_size_alone():
    network = build_network(Segmentation(encoder="resnet18"), 2, 2).eval()
    images = torch.rand(1, 2, 64, 32)
    with torch.no_grad():
        torch.testing.assert_close(predict(network, images), network(images))


def test_images_are_resized_for_the_network_and_its_scores_brought_back():
    torch.manual_seed(0)
    network = build_network(Segmentation(encoder="resnet18"), 3, 2).eval()
    seen = []
    network.register_forward_pre_hook(lambda module, inputs: seen.append(tuple(inputs[0].shape)))
    images = torch.rand(1, 3, 40, 100)
    with torch.no_grad():
        logits = predict(network, images, (64, 64))
        small = torch.nn.functional.interpolate(images, (64, 64), mode="bilinear", antialias=True)
        expected = torch.nn.functional.interpolate(network(small), (40, 100), mode="bilinear")
    assert seen[0] == (1, 3, 64, 64)
    torch.testing.assert_close(logits, expected)


@pytest.mark.parametrize("size", [None, (64, 64)])
def test_scores_are_refined_at_the_size_at_which_the_network_sees_the_images(size):
    torch.manual_seed(0)
    network = build_network(Segmentation(encoder="resnet18"), 3, 2).eval()
    images = torch.rand(2, 3, 40, 100)
    with torch.no_grad():
        refined = predict(network, images, size, refine=2)
        if size is None:
            scores = pixel_adaptive(predict(network, images).softmax(1), images, iterations=2)
            torch.testing.assert_close(refined.softmax(1), scores)
            assert not torch.allclose(refined.softmax(1), predict(network, images).softmax(1))
        else:
            small = torch.nn.functional.interpolate(images, size, mode="bilinear", antialias=True)
            logits = pixel_adaptive(network(small).softmax(1), small, iterations=2).log()
            torch.testing.assert_close(refined, torch.nn.functional.interpolate(logits, (40, 100), mode="bilinear"))


def test_refined_scores_of_certain_networks_are_finite():
    class Certain(torch.nn.Module):
        def forward(self, images):
            return torch.tensor([200.0, -200.0]).view(1, 2, 1, 1).expand(len(images), 2, *images.shape[-2:])

    logits = predict(Certain(), torch.rand(1, 3, 32, 32), refine=1)
    assert logits.isfinite().all()
    torch.testing.assert_close(logits.softmax(1)[:, 0], torch.ones(1, 32, 32))


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        ("resnet43", "segmentation.encoder: no encoder is called 'resnet43'; did you mean "),
        ("vgg_nonsense_999", "segmentation.encoder: no encoder is called 'vgg_nonsense_999'; "),
        ("tf_efficientnet_lite0", "did you mean tu-tf_efficientnet_lite0"),
        ("tu-tf_efficientnet_lite9", "did you mean tu-tf_efficientnet_lite"),
        ("tu-vit_tiny_patch16_224", "'tu-vit_tiny_patch16_224' does not work with unet: "),
    ],
)
def test_encoders_that_do_not_exist_or_do_not_fit(encoder, message):
    with pytest.raises(UsageError) as caught:
        build_network(Segmentation(encoder=encoder), 3, 2)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_weights_that_cannot_be_fetched_are_one_line(monkeypatch):
    def refuse(**_: object) -> None:
        raise OSError("no route\nto the hub")

    monkeypatch.setattr("wsss_toolkit.segmentation.unet.ARCHITECTURES", {"unet": refuse})
    with pytest.raises(WsssError) as caught:
        build_network(Segmentation(weights="imagenet"), 3, 2)
    assert str(caught.value) == (
        "ImageNet weights of encoder 'resnet34' cannot be fetched: no route; "
        "check the network, or set segmentation.weights to `none` or to a local file"
    )


def encoder_state(channels: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return build_network(Segmentation(encoder="resnet18"), channels, 2).encoder.state_dict()


def test_a_checkpoint_goes_into_the_encoder_whatever_its_prefix_and_format(tmp_path):
    state = encoder_state(3)
    state["fc.weight"] = torch.zeros(10, 512)
    plain, nested = tmp_path / "a.safetensors", tmp_path / "b.pth"
    save_file(state, plain)
    torch.save({"state_dict": {f"module.encoder.{key}": value for key, value in state.items()}}, nested)
    for path in (plain, nested):
        torch.manual_seed(2)
        network = build_network(Segmentation(encoder="resnet18", weights=str(path)), 3, 2)
        for key, value in network.encoder.state_dict().items():
            torch.testing.assert_close(value, state[key])
    account = load_encoder_weights(network.encoder, plain)
    assert len(account.loaded) == len(state) - 1 and not account.adapted
    assert account.left_out == ("fc.weight",)
    assert str(account).endswith("left out 1: fc.weight")


def test_other_channels_keep_the_response_to_grey_images(tmp_path):
    state = encoder_state(3)
    path = tmp_path / "rgb.safetensors"
    save_file(state, path)
    network = build_network(Segmentation(encoder="resnet18", weights=str(path)), 15, 2)
    adapted = network.encoder.state_dict()["conv1.weight"]
    assert adapted.shape[1] == 15
    torch.testing.assert_close(adapted.sum(dim=1), state["conv1.weight"].sum(dim=1))


def test_the_checkpoint_of_another_encoder_is_refused_by_its_keys(tmp_path):
    path = tmp_path / "resnet18.safetensors"
    save_file(encoder_state(3), path)
    with pytest.raises(WsssError) as caught:
        build_network(Segmentation(encoder="resnet34", weights=str(path)), 3, 2)
    assert str(caught.value).startswith(f"{path}: the checkpoint does not fit the encoder: it lacks ")
    assert "layer1.2.conv1.weight" in str(caught.value)
    with pytest.raises(WsssError, match=r"in other shapes: layer1\.0\.conv1\.weight"):
        build_network(Segmentation(encoder="resnet50", weights=str(path)), 3, 2)


class Hostile:
    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.victim),)


@pytest.mark.parametrize("name", ["hostile.pth", "noise.pth", "noise.safetensors", "cut.safetensors", "list.pth"])
def test_bad_weights_are_refused_in_one_line(name, tmp_path):
    path = tmp_path / name
    if name == "hostile.pth":
        torch.save({"conv1.weight": Hostile(tmp_path / "victim")}, path)
    elif name == "list.pth":
        torch.save([1, 2], path)
    elif name == "cut.safetensors":
        save_file({"conv1.weight": torch.zeros(4, 4)}, path)
        path.write_bytes(path.read_bytes()[:-10])
    else:
        path.write_bytes(b"\x00\x01 no checkpoint")
    with pytest.raises(WsssError) as caught:
        build_network(Segmentation(encoder="resnet18", weights=str(path)), 3, 2)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)
    assert not (tmp_path / "victim").exists()


def test_a_missing_file_is_named():
    with pytest.raises(WsssError, match=r"^/nowhere/x.pth: no such weights file"):
        build_network(Segmentation(encoder="resnet18", weights="/nowhere/x.pth"), 3, 2)


@pytest.mark.real_data
def test_the_shared_efficientnet_loads_with_every_key_accounted_for():
    folder = os.environ.get("WSSS_TEST_DATA")
    path = Path(folder or ".").parent / "weights" / "tf_efficientnet_lite0.safetensors"
    if folder is None or not path.exists():
        pytest.skip("needs $WSSS_TEST_DATA")
    network = build_network(Segmentation(encoder=SMALL), 15, 8)
    account = load_encoder_weights(network.encoder, path)
    assert len(account.loaded) + len(account.adapted) == len(network.encoder.state_dict())
    assert list(account.adapted) == ["model.conv_stem.weight"]
    assert {key.split(".")[0] for key in account.left_out} == {"bn2", "classifier", "conv_head"}
