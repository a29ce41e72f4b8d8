"""A backbone with its heads: what holds for logits, class maps and patch scores together."""

import pytest
import torch
from small_model import PATCH, maps_of

from wsss_toolkit.errors import UsageError
from wsss_toolkit.model.attention_maps import affinity, class_map, together

IMAGES = (2, 3, 48, 48)
READ = {2: class_map}


@pytest.mark.parametrize("attention", ["joint", "asymmetric"])
@pytest.mark.parametrize("enter_at", [0, 2])
@pytest.mark.parametrize("head", ["per_token", "concat", "mean"])
def test_shapes(classifier, attention, enter_at, head):
    heads = {"class": head, "patch": "linear"}
    model = classifier(attention=attention, heads=heads, class_tokens={"enter_at": enter_at}).eval()
    scores = model(torch.randn(2, 3, 48, 64)).scores
    assert list(scores) == ["class", "patch"]
    assert scores["class"].logits.shape == scores["patch"].logits.shape == (2, 4)
    assert scores["class"].maps is None
    assert scores["patch"].maps.shape == (2, 4, 3, 4)
    torch.testing.assert_close(scores["patch"].maps.mean((-2, -1)), scores["patch"].logits)


def test_maps_of_patches_lie_as_patches_do(classifier):
    model = classifier(heads=PATCH).eval()
    seen = model(torch.randn(2, 3, 48, 64))
    by_hand = model.head("patch").linear(seen.output.patches)  # patch 5 is row 1, column 1 of 3 x 4
    torch.testing.assert_close(seen.scores["patch"].maps[:, :, 1, 1], by_hand[:, 5])
    torch.testing.assert_close(seen.scores["patch"].maps[:, :, 0, 3], by_hand[:, 3])


def test_the_mean_head_reads_class_tokens_before_the_norm_takes_their_mean_away(classifier):
    model = classifier(heads="mean").train()
    seen = model(torch.randn(IMAGES))
    torch.testing.assert_close(seen.logits, seen.output.tokens_before_norm[:, :4].mean(-1))
    assert seen.output.class_tokens.mean(-1).abs().max() < 1e-6, "after the norm there is nothing to read"
    assert seen.logits.abs().max() > 1e-3
    seen.logits[:, 1].sum().backward()
    assert model.backbone.class_tokens.grad[0, 1].abs().max() > 1e-4


@pytest.mark.parametrize("attention", ["joint", "asymmetric"])
@pytest.mark.parametrize("enter_at", [0, 1])
def test_permuting_class_tokens_permutes_logits_and_maps(classifier, spread, attention, enter_at):
    model = spread(classifier(attention=attention, class_tokens={"enter_at": enter_at})).eval()
    images, order = torch.randn(IMAGES), [2, 0, 3, 1]
    before, head = model(images, read=READ), model.head("class")
    for parameter, axis in ((model.backbone.class_tokens, 1), (head.weight, 0), (head.bias, 0)):
        parameter.data = parameter.data.index_select(axis, torch.tensor(order))
    after = model(images, read=READ)
    torch.testing.assert_close(after.logits, before.logits[:, order], atol=1e-5, rtol=0)
    torch.testing.assert_close(maps_of(after), maps_of(before)[:, :, order], atol=1e-6, rtol=0)
    assert before.logits.std(1).min() > 1e-3


@pytest.mark.parametrize("head", ["per_token", "mean"])
@pytest.mark.parametrize("enter_at", [0, 2])
@pytest.mark.parametrize("registers", [0, 3])
def test_a_selection_of_classes_gives_the_same_logits_and_maps(classifier, spread, head, enter_at, registers):
    model = spread(
        classifier(
            classes=40,
            heads={"class": head, "patch": "linear"},
            attention="asymmetric",
            registers=registers,
            class_tokens={"enter_at": enter_at},
        )
    ).eval()
    images, chosen = torch.randn(IMAGES), [33, 0, 7]
    full, part = model(images, read=READ), model(images, read=READ, classes=chosen)
    torch.testing.assert_close(part.logits, full.logits[:, chosen], atol=1e-5, rtol=0)
    torch.testing.assert_close(maps_of(part), maps_of(full)[:, :, chosen], atol=1e-5, rtol=0)
    for ours, theirs in zip(part.scores["patch"], full.scores["patch"], strict=True):
        torch.testing.assert_close(ours, theirs[:, chosen], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "section",
    [
        {"attention": "joint"},
        {"attention": "asymmetric", "heads": "concat"},
        {"attention": "asymmetric", "heads": {"class": "per_token", "other": "concat"}},
    ],
)
def test_a_selection_of_dependent_classes_is_refused(classifier, section):
    model = classifier(**section)
    assert not model.selects_classes
    with pytest.raises(UsageError, match="do not depend on each other"):
        model(torch.randn(IMAGES), classes=[0])


def test_a_classifier_says_which_heads_it_lacks(classifier):
    with pytest.raises(UsageError, match="no head is called `class`"):
        classifier(heads={"patch": "linear"})
    with pytest.raises(UsageError, match="no head 'patch', only class"):
        classifier().head("patch")


def test_masked_tokens_are_read_as_zero_after_the_norm(classifier):
    model = classifier(heads={"class": "per_token", "mean": "mean"}, gates={"enabled": False}).eval()
    head = model.head("class")
    with torch.no_grad():
        head.bias.copy_(torch.tensor([10.0, 20.0, 30.0, 40.0]))
    seen = model(torch.randn(IMAGES))
    masked = torch.tensor([[True, False, False, True], [False, True, False, False]])
    scores = model.score(seen.output, masked=masked)
    torch.testing.assert_close(scores["class"].logits, torch.where(masked, head.bias, seen.logits))
    torch.testing.assert_close(scores["mean"].logits, seen.scores["mean"].logits.masked_fill(masked, 0))


@pytest.mark.parametrize("attention", ["joint", "asymmetric"])
def test_bfloat16_autocast_trains_and_stays_close(classifier, attention):
    model = classifier(attention=attention, heads=PATCH, class_tokens={"enter_at": 1}).eval()
    images, read = torch.randn(IMAGES), {2: together([class_map, affinity])}
    exact = model(images, read=read, whole=True)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = model(images, read=read, whole=True)
        model.train()(images).logits.float().sum().backward()
    torch.testing.assert_close(mixed.logits.float(), exact.logits, atol=0.05, rtol=0)
    ours, theirs = mixed.output.read[2], exact.output.read[2]
    torch.testing.assert_close(ours[class_map].maps, theirs[class_map].maps, atol=0.01, rtol=0)
    torch.testing.assert_close(ours[affinity], theirs[affinity], atol=0.01, rtol=0)
    assert all(parameter.grad is not None for name, parameter in model.named_parameters() if "log_alpha" in name)


@pytest.mark.parametrize("attention", ["joint", "asymmetric"])
@pytest.mark.parametrize("frozen_below", [0, 1])
def test_what_lies_outside_the_picture_changes_nothing(classifier, spread, attention, frozen_below):
    model = spread(
        classifier(frozen_below=frozen_below, attention=attention, heads=PATCH, class_tokens={"enter_at": 1})
    ).eval()
    valid = torch.ones(2, 48, 48, dtype=torch.bool)
    valid[1, :, 32:] = False
    images = torch.randn(IMAGES)
    others = torch.where(valid[:, None], images, 7.0)
    with torch.no_grad():
        first, second = (model(pixels, valid=valid, read=READ) for pixels in (images, others))
        unaware = model(others, read=READ)
    torch.testing.assert_close(second.logits, first.logits)
    torch.testing.assert_close(second.scores["patch"].logits, first.scores["patch"].logits)
    torch.testing.assert_close(maps_of(second)[..., :2], maps_of(first)[..., :2])
    assert maps_of(first)[1, ..., 2].abs().sum() == 0
    assert not torch.allclose(unaware.logits[1], first.logits[1])


def test_one_class_token_can_stand_for_all_classes(classifier):
    model = classifier(class_tokens={"shared": True, "enter_at": 1}, heads="concat", token_masking=0).eval()
    seen = model(torch.randn(IMAGES), read={1: class_map, 2: class_map})
    assert model.backbone.class_tokens.shape[1] == 1
    assert seen.logits.shape == (2, 4)
    assert maps_of(seen).shape == (2, 2, 1, 3, 3)


def test_without_a_head_of_patches_the_last_block_computes_class_tokens_alone(classifier):
    sizes = []
    for heads in ("per_token", PATCH):
        model = classifier(heads=heads).eval()
        sizes.append(model(torch.randn(IMAGES), read=READ).output.tokens.shape[1])
        assert model(torch.randn(IMAGES), whole=True).output.tokens.shape[1] == 14
    assert sizes == [4, 4 + 9 + 1]
