import pytest
import torch
from pydantic import ValidationError

from wsss_toolkit.domain import ChannelTable, Sensor
from wsss_toolkit.errors import DataError, UsageError

PER_TOKEN = {"attention": "asymmetric", "head": "per_token"}
IMAGES = (2, 3, 48, 48)


@pytest.mark.parametrize("attention", ["joint", "asymmetric"])
@pytest.mark.parametrize("enter_at", [0, 2])
@pytest.mark.parametrize("head", ["per_token", "concat", "mean"])
def test_shapes(small, attention, enter_at, head):
    model = small(
        attention=attention, head=head, class_tokens={"enter_at": enter_at}, patch_classifier={"weight": 1.0}
    ).eval()
    output = model(torch.randn(2, 3, 48, 64), layers=model.class_layers, patch_maps=True, affinity=True)
    assert output.logits.shape == output.patch_logits.shape == (2, 4)
    assert output.class_maps.shape == (2, 3 - enter_at, 4, 3, 4)
    assert output.patch_maps.shape == (2, 4, 3, 4)
    assert output.affinity.shape == (2, 12, 12)
    assert (output.class_maps > 0).all()
    assert (output.class_maps.sum((-2, -1)) < 1).all()
    torch.testing.assert_close(output.patch_maps.mean((-2, -1)), output.patch_logits)


def test_the_mean_head_reads_class_tokens_before_the_norm_takes_their_mean_away(small):
    model = small(head="mean", token_masking=0.0).train()
    seen = []
    model.norm.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    logits = model(torch.randn(IMAGES)).logits
    torch.testing.assert_close(logits, seen[0][:, :4].mean(-1))
    assert model.norm(seen[0])[:, :4].mean(-1).abs().max() < 1e-6, "after the norm there is nothing to read"
    assert logits.abs().max() > 1e-3
    logits[:, 1].sum().backward()
    assert model.class_tokens.grad[0, 1].abs().max() > 1e-4


def test_classes_can_be_selected_with_the_mean_head(small):
    model = small(head="mean", attention="asymmetric").eval()
    images = torch.randn(IMAGES)
    torch.testing.assert_close(model(images, classes=[3, 1]).logits, model(images).logits[:, [3, 1]])


def test_nothing_is_mapped_unless_asked_for(small):
    output = small().eval()(torch.randn(IMAGES))
    assert (output.class_maps, output.patch_logits, output.patch_maps, output.affinity) == (None,) * 4


@pytest.mark.parametrize("attention", ["joint", "asymmetric"])
@pytest.mark.parametrize("enter_at", [0, 1])
def test_permuting_class_tokens_permutes_logits_and_maps(small, spread, attention, enter_at):
    model = spread(small(attention=attention, class_tokens={"enter_at": enter_at})).eval()
    images, order = torch.randn(IMAGES), [2, 0, 3, 1]
    before = model(images, layers=[-1])
    for parameter, axis in ((model.class_tokens, 1), (model.head.weight, 0), (model.head.bias, 0)):
        parameter.data = parameter.data.index_select(axis, torch.tensor(order))
    after = model(images, layers=[-1])
    torch.testing.assert_close(after.logits, before.logits[:, order], atol=1e-5, rtol=0)
    torch.testing.assert_close(after.class_maps, before.class_maps[:, :, order], atol=1e-6, rtol=0)
    assert before.logits.std(1).min() > 1e-3


@pytest.mark.parametrize("enter_at", [0, 2])
@pytest.mark.parametrize("registers", [0, 1, 3])
def test_a_selection_of_classes_gives_the_same_logits_and_maps(small, spread, enter_at, registers):
    model = spread(
        small(
            classes=40,
            registers=registers,
            class_tokens={"enter_at": enter_at},
            patch_classifier={"weight": 1.0},
            **PER_TOKEN,
        )
    ).eval()
    images, chosen = torch.randn(IMAGES), [33, 0, 7]
    full = model(images, layers=[2], patch_maps=True)
    part = model(images, layers=[2], patch_maps=True, classes=chosen)
    torch.testing.assert_close(part.logits, full.logits[:, chosen], atol=1e-5, rtol=0)
    torch.testing.assert_close(part.class_maps, full.class_maps[:, :, chosen], atol=1e-5, rtol=0)
    torch.testing.assert_close(part.patch_maps, full.patch_maps[:, chosen], atol=1e-5, rtol=0)


def test_joint_class_tokens_do_depend_on_each_other(small, spread):
    model = spread(small(attention="joint")).eval()
    images = torch.randn(IMAGES)
    before = model(images).logits
    model.class_tokens.data[:, 0] += torch.randn(192)
    assert (model(images).logits - before)[:, 1:].abs().max() > 1e-4


@pytest.mark.parametrize("section", [{"attention": "joint"}, {"attention": "asymmetric", "head": "concat"}])
def test_a_selection_of_dependent_classes_is_refused(small, section):
    with pytest.raises(UsageError, match="do not depend on each other"):
        small(**section)(torch.randn(IMAGES), classes=[0])


@pytest.mark.parametrize("frozen_below", [0, 1, 2])
def test_going_on_from_cached_tokens_equals_the_forward(small, frozen_below):
    model = small(class_tokens={"enter_at": 2}, frozen_below=frozen_below, **PER_TOKEN).eval()
    images = torch.randn(IMAGES)
    tokens = model.encode_frozen(images)
    assert tokens.requires_grad == (frozen_below == 0)
    cached = model.forward_from(tokens.detach(), (3, 3), layers=[2])
    whole = model(images, layers=[2])
    assert cached.logits.equal(whole.logits)
    assert cached.class_maps.equal(whole.class_maps)


def test_frozen_part_has_no_gates_no_gradients_and_does_not_move(small):
    model = small(class_tokens={"enter_at": 2}, frozen_below=2).train()
    gates = [name for name, _ in model.named_parameters() if name.endswith("log_alpha")]
    assert gates == ["blocks.2.attn.gate.log_alpha"]
    trainable = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert not any(
        name.startswith(("patch_embed", "pos_embed", "registers", "blocks.0", "blocks.1")) for name in trainable
    )
    tokens = model.encode_frozen(torch.randn(IMAGES))
    model(torch.randn(IMAGES), labels=torch.ones(2, 4)).logits.sum().backward()
    assert {name for name, parameter in model.named_parameters() if parameter.grad is not None} == trainable
    assert not model.blocks[1].training
    assert model.blocks[2].training
    assert not tokens.requires_grad


def test_freezing_above_the_entry_is_refused(small):
    with pytest.raises(UsageError, match="freeze_below is 2, but class tokens enter before block 1"):
        small(class_tokens={"enter_at": 1}, frozen_below=2)


def test_token_masking_works_in_training_only_and_never_on_present_classes(small):
    model = small(token_masking=1.0, gates={"enabled": False})
    with torch.no_grad():
        model.head.bias.copy_(torch.tensor([10.0, 20.0, 30.0, 40.0]))
    images, labels = torch.randn(IMAGES), torch.tensor([[1, 0, 0, 1], [0, 1, 0, 0]])
    plain = model.train()(images).logits
    masked = model(images, labels=labels, generator=torch.Generator().manual_seed(0)).logits
    expected = torch.where(labels == 1, plain, model.head.bias)
    torch.testing.assert_close(masked, expected)
    torch.testing.assert_close(model.eval()(images, labels=labels).logits, plain, atol=1e-5, rtol=1e-5)


def test_sensors_may_be_missing_one_at_a_time(small, spread):
    channels = ChannelTable((Sensor("s1", ("VV", "VH")), Sensor("s2", ("B02", "B03", "B04"))))
    model = spread(small(channels=channels, fusion="per_sensor")).eval()
    images = torch.randn(3, 5, 48, 48)
    present = torch.tensor([[True, True], [False, True], [True, False]])
    logits = model(images, present=present).logits
    torch.testing.assert_close(logits[0], model(images).logits[0])
    spoiled = images.clone()
    spoiled[1, :2] = torch.nan
    spoiled[2, 2:] = 1e6
    torch.testing.assert_close(model(spoiled, present=present).logits, logits, atol=1e-5, rtol=1e-5)
    assert (logits[1] - model(images).logits[1]).abs().max() > 1e-5
    with pytest.raises(DataError, match="none of its sensors"):
        model(images, present=present & torch.tensor([True, False]))


def test_positions_follow_the_weight_whatever_was_cached(small):
    model = small().eval()
    images = torch.randn(1, 3, 32, 64)
    with torch.inference_mode():
        first = model(images).logits.clone()
        assert model(images).logits.equal(first)
    with torch.no_grad():
        model.pos_embed.weight.add_(torch.randn_like(model.pos_embed.weight))
        second = model(images).logits
    assert (first - second).abs().max() > 1e-4
    third = model(images).logits
    torch.testing.assert_close(third.detach(), second)
    third.sum().backward()
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
        ((1, 3, 48, 48), {"layers": [0]}, "layer 0 has no class tokens; use layers 1 to 2"),
        ((1, 3, 48, 48), {"classes": [4]}, r"classes \[4\] are not among 0 to 3"),
        ((1, 3, 48, 48), {"patch_maps": True}, "no patch classifier"),
    ],
)
def test_calls_that_do_not_fit_the_model_are_refused(small, size, arguments, message):
    model = small(class_tokens={"enter_at": 1}, **PER_TOKEN)
    with pytest.raises(UsageError, match=message):
        model(torch.zeros(size), **arguments)


@pytest.mark.parametrize("attention", ["joint", "asymmetric"])
def test_bfloat16_autocast_trains_and_stays_close(small, attention):
    model = small(attention=attention, class_tokens={"enter_at": 1}, patch_classifier={"weight": 1.0}).eval()
    images = torch.randn(IMAGES)
    exact = model(images, layers=[-1], affinity=True)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = model(images, layers=[-1], affinity=True)
        model.train()(images, labels=torch.zeros(2, 4)).logits.float().sum().backward()
    torch.testing.assert_close(mixed.logits.float(), exact.logits, atol=0.05, rtol=0)
    torch.testing.assert_close(mixed.class_maps, exact.class_maps, atol=0.01, rtol=0)
    assert all(parameter.grad is not None for name, parameter in model.named_parameters() if "log_alpha" in name)


@pytest.mark.parametrize("attention", ["joint", "asymmetric"])
@pytest.mark.parametrize("frozen_below", [0, 1])
def test_what_lies_outside_the_picture_changes_nothing(small, spread, attention, frozen_below):
    section = {"attention": attention, "class_tokens": {"enter_at": 1}, "patch_classifier": {"weight": 1.0}}
    model = spread(small(frozen_below=frozen_below, **section)).eval()
    valid = torch.ones(2, 48, 48, dtype=torch.bool)
    valid[1, :, 32:] = False
    images = torch.randn(IMAGES)
    others = torch.where(valid[:, None], images, 7.0)
    with torch.no_grad():
        first, second = (model(pixels, valid=valid, layers=[2]) for pixels in (images, others))
        unaware = model(others, layers=[2])
    torch.testing.assert_close(second.logits, first.logits)
    torch.testing.assert_close(second.patch_logits, first.patch_logits)
    torch.testing.assert_close(second.class_maps[..., :2], first.class_maps[..., :2])
    assert first.class_maps[1, ..., 2].abs().sum() == 0
    assert not torch.allclose(unaware.logits[1], first.logits[1])


def test_whole_pictures_cost_no_mask(small, monkeypatch):
    masks = []
    fused = torch.nn.functional.scaled_dot_product_attention

    def record(q, k, v, attn_mask=None):
        masks.append(attn_mask)
        return fused(q, k, v, attn_mask=attn_mask)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", record)
    small(attention="joint").eval()(torch.randn(IMAGES), valid=torch.ones(2, 48, 48, dtype=torch.bool))
    assert masks == [None] * 3


def test_one_class_token_can_stand_for_all_classes(small):
    shared = {"class_tokens": {"shared": True, "enter_at": 1}, "head": "concat", "token_masking": 0}
    model = small(**shared).eval()
    output = model(torch.randn(IMAGES), layers=[1, 2])
    assert model.class_tokens.shape[1] == 1
    assert output.logits.shape == (2, 4)
    assert output.class_maps.shape == (2, 2, 4, 3, 3)
    assert (output.class_maps[:, :, :1] == output.class_maps).all()
    for wrong in ({"head": "per_token"}, {"token_masking": 0.5}):
        with pytest.raises(ValidationError, match="stands for no class"):
            small(**{**shared, **wrong})


def test_without_a_patch_classifier_the_last_block_computes_class_tokens_alone(small):
    sizes = []
    for weight in (0.0, 1.0):
        model = small(patch_classifier={"weight": weight}).eval()
        model.norm.register_forward_pre_hook(lambda module, inputs: sizes.append(inputs[0].shape[1]))
        model(torch.randn(IMAGES), layers=[-1])
    assert sizes == [4, 4 + 9 + model.section.registers]
