import pytest
import torch
from small_model import maps_of

from wsss_toolkit.domain import ChannelTable, Sensor
from wsss_toolkit.errors import DataError, UsageError
from wsss_toolkit.model.attention_maps import affinity, class_map, together

IMAGES = (2, 3, 48, 48)


@pytest.mark.parametrize("attention", ["joint", "asymmetric"])
@pytest.mark.parametrize("enter_at", [0, 2])
def test_shapes(small, attention, enter_at):
    model = small(attention=attention, class_tokens={"enter_at": enter_at}).eval()
    read = dict.fromkeys(model.class_layers, together([class_map, affinity]))
    output = model(torch.randn(2, 3, 48, 64), read=read)
    assert output.class_tokens.shape == (2, 4, 192)
    assert output.patches.shape == (2, 12, 192)
    assert output.tokens.shape == output.tokens_before_norm.shape == (2, 4 + 12 + 1, 192)
    assert list(output.read) == list(range(enter_at, 3))
    for found in output.read.values():
        assert found[class_map].maps.shape == (2, 4, 3, 4)
        assert found[affinity].shape == (2, 12, 12)
        assert (found[class_map].maps > 0).all()
        assert (found[class_map].maps.sum((-2, -1)) < 1).all()


def test_nothing_is_kept_unless_asked_for(small):
    model, images = small().eval(), torch.randn(IMAGES)
    output = model(images)
    assert output.read == output.after == {}
    torch.testing.assert_close(model.norm(output.tokens_before_norm), output.tokens)
    kept = model(images, keep=(0, 2)).after
    assert list(kept) == [0, 2]
    assert kept[2].equal(output.tokens_before_norm)


def test_the_last_block_can_compute_class_tokens_alone(small):
    model, images = small(class_tokens={"enter_at": 1}).eval(), torch.randn(IMAGES)
    whole = model(images, read={2: class_map})
    alone = model(images, read={2: class_map}, whole=False)
    assert alone.tokens.shape[1] == 4
    torch.testing.assert_close(alone.class_tokens, whole.class_tokens, atol=1e-5, rtol=0)
    torch.testing.assert_close(maps_of(alone), maps_of(whole), atol=1e-6, rtol=0)
    with pytest.raises(ValueError, match="call the backbone with whole=True"):
        _ = alone.patches
    with pytest.raises(ValueError, match="call the model with whole=True"):
        model(images, read={2: affinity}, whole=False)


def test_joint_class_tokens_do_depend_on_each_other(small, spread):
    model = spread(small(attention="joint")).eval()
    images = torch.randn(IMAGES)
    before = model(images).class_tokens
    model.class_tokens.data[:, 0] += torch.randn(192)
    assert (model(images).class_tokens - before)[:, 1:].abs().max() > 1e-4


@pytest.mark.parametrize("frozen_below", [0, 1, 2])
def test_going_on_from_cached_tokens_equals_the_forward(small, frozen_below):
    model = small(attention="asymmetric", class_tokens={"enter_at": 2}, frozen_below=frozen_below).eval()
    images = torch.randn(IMAGES)
    tokens = model.encode_frozen(images)
    assert tokens.requires_grad == (frozen_below == 0)
    cached = model.forward_from(tokens.detach(), (3, 3), read={2: class_map})
    whole = model(images, read={2: class_map})
    assert cached.tokens.equal(whole.tokens)
    assert maps_of(cached).equal(maps_of(whole))


def test_frozen_part_has_no_gates_no_gradients_and_does_not_move(small):
    model = small(class_tokens={"enter_at": 2}, frozen_below=2).train()
    gates = [name for name, _ in model.named_parameters() if name.endswith("log_alpha")]
    assert gates == ["blocks.2.attn.gate.log_alpha"]
    trainable = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert not any(
        name.startswith(("patch_embed", "pos_embed", "registers", "blocks.0", "blocks.1")) for name in trainable
    )
    tokens = model.encode_frozen(torch.randn(IMAGES))
    model(torch.randn(IMAGES)).tokens.sum().backward()
    assert {name for name, parameter in model.named_parameters() if parameter.grad is not None} == trainable
    assert not model.blocks[1].training
    assert model.blocks[2].training
    assert not tokens.requires_grad


def test_freezing_above_the_entry_or_less_than_before_is_refused(small):
    with pytest.raises(UsageError, match="freeze_below is 2, but class tokens enter before block 1"):
        small(class_tokens={"enter_at": 1}, frozen_below=2)
    with pytest.raises(UsageError, match="blocks below 2 are frozen already, cannot freeze only 1"):
        small(class_tokens={"enter_at": 2}, frozen_below=2).freeze(1)


def test_sensors_may_be_missing_one_at_a_time(small, spread):
    channels = ChannelTable((Sensor("s1", ("VV", "VH")), Sensor("s2", ("B02", "B03", "B04"))))
    model = spread(small(channels=channels, fusion="per_sensor")).eval()
    images = torch.randn(3, 5, 48, 48)
    present = torch.tensor([[True, True], [False, True], [True, False]])
    tokens = model(images, present=present).tokens
    torch.testing.assert_close(tokens[0], model(images).tokens[0])
    spoiled = images.clone()
    spoiled[1, :2] = torch.nan
    spoiled[2, 2:] = 1e6
    torch.testing.assert_close(model(spoiled, present=present).tokens, tokens, atol=1e-5, rtol=1e-5)
    assert (tokens[1] - model(images).tokens[1]).abs().max() > 1e-5
    with pytest.raises(DataError, match="none of its sensors"):
        model(images, present=present & torch.tensor([True, False]))


def test_positions_follow_the_weight_whatever_was_cached(small):
    model = small().eval()
    images = torch.randn(1, 3, 32, 64)
    with torch.inference_mode():
        first = model(images).tokens.clone()
        assert model(images).tokens.equal(first)
    with torch.no_grad():
        model.pos_embed.weight.add_(torch.randn_like(model.pos_embed.weight))
        second = model(images).tokens
    assert (first - second).abs().max() > 1e-4
    third = model(images).tokens
    torch.testing.assert_close(third.detach(), second)
    third.square().sum().backward()
    assert model.pos_embed.weight.grad.abs().sum() > 0


def test_same_seed_builds_the_same_model(small):
    torch.manual_seed(3)
    first = small().state_dict()
    torch.manual_seed(3)
    again = small().state_dict()
    assert all(first[name].equal(again[name]) for name in first)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (
            {"backbone": "vit_smal_patch16_224"},
            r"no model called 'vit_smal_patch16_224'; did you mean .*vit_small_patch16_224",
        ),
        ({"backbone": "resnet18"}, "backbone 'resnet18'.*use a plain timm VisionTransformer"),
        (
            {"backbone": "deit_tiny_distilled_patch16_224"},
            "VisionTransformerDistilled, which is not supported",
        ),
        ({"backbone": "eva02_tiny_patch14_224", "image_size": 56}, "is a Eva"),
        ({"backbone": "vit_base_patch16_rpn_224"}, "blocks of type ResPostBlock"),
        (
            {"image_size": 50},
            "image_size 50 is not a whole number of patches of 16 pixels; use a multiple of 16, such as 48",
        ),
        ({"class_tokens": {"enter_at": 3}}, "enter_at is 3, but the last block is 2"),
        ({"classes": 0}, "needs at least one class, got 0"),
    ],
)
def test_models_that_cannot_be_built_are_refused_in_one_line(small, section, message):
    with pytest.raises(UsageError, match=message) as caught:
        small(**section)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("size", "arguments", "message"),
    [
        ((1, 3, 48, 50), {}, "48 x 50 pixels is not a whole number of patches"),
        ((1, 3, 8, 8), {}, "8 x 8 pixels"),
        ((1, 4, 48, 48), {}, "reads 3 channels"),
        ((1, 3, 48, 48), {"read": {0: class_map}}, "block 0 is frozen or not there; use 1 to 2"),
        ((1, 3, 48, 48), {"keep": [3]}, "block 3 is frozen or not there; use 1 to 2"),
        ((1, 3, 48, 48), {"classes": [4]}, r"classes \[4\] are not among 0 to 3"),
        ((1, 3, 48, 48), {"classes": []}, r"classes \[\] are not among 0 to 3"),
    ],
)
def test_calls_that_do_not_fit_the_model_are_refused(small, size, arguments, message):
    model = small(attention="asymmetric", class_tokens={"enter_at": 1}, frozen_below=1)
    with pytest.raises(UsageError, match=message):
        model(torch.zeros(size), **arguments)


def test_a_selection_of_joint_class_tokens_is_refused(small):
    with pytest.raises(UsageError, match="class tokens that read each other cannot be selected"):
        small(attention="joint")(torch.zeros(IMAGES), classes=[0])


def test_whole_pictures_cost_no_mask(small, monkeypatch):
    masks = []
    fused = torch.nn.functional.scaled_dot_product_attention

    def record(q, k, v, attn_mask=None):
        masks.append(attn_mask)
        return fused(q, k, v, attn_mask=attn_mask)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", record)
    small(attention="joint").eval()(torch.randn(IMAGES), valid=torch.ones(2, 48, 48, dtype=torch.bool))
    assert masks == [None] * 3
