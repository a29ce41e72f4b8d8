import pytest
import torch
from tiny_classifier import images, tiny_classifier
from torch.nn import functional as F

from wsss_toolkit.errors import UsageError
from wsss_toolkit.model.features import patch_features
from wsss_toolkit.model.pruning import prune
from wsss_toolkit.recipe.schema import Segmentation
from wsss_toolkit.segmentation.classifier_encoder import ClassifierNetwork, encoder_blocks
from wsss_toolkit.segmentation.network import SegmentationTask
from wsss_toolkit.segmentation.unet import build_network, predict, stride

WITH_PATCHES = {"patch_head": True}


def network(classifier=None, classes=3, background=None, input_scale=1, **classifier_section):
    torch.manual_seed(1)
    decoder = {"blocks": 2, "width": 8, **classifier_section}
    section = Segmentation(encoder="classifier", classifier=decoder, input_scale=input_scale)
    return build_network(section, 5, classes, classifier or tiny_classifier(), background=background)


def test_blocks_are_evenly_spaced_and_end_with_the_last():
    assert encoder_blocks(4, 12) == (2, 5, 8, 11)
    assert encoder_blocks(1, 12) == (11,)
    assert encoder_blocks(3, 3) == (0, 1, 2)
    assert encoder_blocks((7, 3), 12) == (3, 7)
    with pytest.raises(UsageError, match="is 4, but the classifier has 3"):
        encoder_blocks(4, 3)
    with pytest.raises(UsageError, match=r"names \[1, 3\], but the classifier has blocks 0 to 2"):
        encoder_blocks((1, 3), 3)


@pytest.mark.parametrize("attention", ["joint", "asymmetric"])
def test_features_are_the_tokens_that_the_classifier_itself_computes(attention):
    # With a patch classifier, or the last block would compute no patches.
    model = tiny_classifier(attention=attention, **WITH_PATCHES).eval()
    valid = torch.ones(2, 24, 24, dtype=torch.bool)
    valid[0, :8, :16] = False
    kept = {}
    for index in range(3):
        model.backbone.block(index).register_forward_hook(lambda _, __, out, index=index: kept.update({index: out[0]}))
    with torch.no_grad():
        model(images(2, 24), valid=valid)
        expected = [kept[0][:, :9], kept[2][:, 3:12]]  # class tokens come first, from block 1 on
        found = patch_features(model.backbone, images(2, 24), (2, 0), valid=valid)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_any_size_gives_logits_of_the_images_size():
    built = network().eval()
    assert stride(built) == 8
    with torch.no_grad():
        assert predict(built, images(2, 50)[..., :33]).shape == (2, 3, 50, 33)
        assert predict(built, images(1, 70)[..., :3, :]).shape == (1, 3, 3, 70)
        whole = predict(built, images(2, 24))
        torch.testing.assert_close(whole, built(images(2, 24)))
        resized = predict(built, images(1, 30), (24, 24), valid=torch.ones(1, 30, 30, dtype=torch.bool))
    small = F.interpolate(images(1, 30), (24, 24), mode="bilinear", antialias=True)
    with torch.no_grad():
        torch.testing.assert_close(resized, F.interpolate(built(small), (30, 30), mode="bilinear"))


def test_the_classifier_sees_enlarged_images_and_which_of_their_pixels_hold_data():
    model = tiny_classifier(**WITH_PATCHES).eval()
    seen, valid = images(2, 24), torch.ones(2, 24, 24, dtype=torch.bool)
    valid[0, :, :4] = False  # half a patch, but a whole one of the enlarged image
    large = F.interpolate(seen, (48, 48), mode="bilinear")
    known = torch.ones(2, 48, 48, dtype=torch.bool)
    known[0, :, :8] = False
    with torch.no_grad():
        expected = model(large, valid=known).scores["patch"].maps
        built = network(model, patch_scores=True, input_scale=2).eval()
        found = predict(built, seen, valid=valid)
        assert predict(built, images(2, 50)[..., :33]).shape == (2, 3, 50, 33)
    torch.testing.assert_close(found, F.interpolate(expected, (24, 24), mode="bilinear"), atol=1e-5, rtol=1e-5)


def test_the_head_reads_tokens_alone_and_begins_with_the_patch_scores_where_it_is_told_to():
    model = tiny_classifier(**WITH_PATCHES).eval()
    built = network(model, decoder="head", input_scale=2).eval()
    with torch.no_grad():
        large = F.interpolate(images(2, 24), (48, 48), mode="bilinear")
        tokens = patch_features(model.backbone, large, built.blocks)
        normed = torch.cat([F.layer_norm(one, (model.backbone.dim,)) for one in tokens], -1)
        expected = built.head(normed, (6, 6)).reshape(2, 3, 6, 6)
        found = predict(built, images(2, 24))
        torch.testing.assert_close(found, F.interpolate(expected, (24, 24), mode="bilinear"), atol=1e-5, rtol=1e-5)
        both = [network(model, decoder=kind, patch_scores=True).eval()(images(1, 24)) for kind in ("head", "borders")]
    torch.testing.assert_close(*both)
    learning = network(model, decoder="head", patch_scores=True)
    for _ in range(2):
        step(learning)
    assert (predict(learning.eval(), images(1, 24)) - both[0]).abs().max() > 1e-4


def test_what_lies_where_there_are_no_data_is_not_read_by_the_encoder():
    built = network().eval()
    seen = images(1, 48)
    other = seen.clone()
    other[..., 32:] = 5.0
    valid = torch.ones(1, 48, 48, dtype=torch.bool)
    valid[..., 32:] = False
    with torch.no_grad():
        # Far from the border, because the convolutions on the image see what is near.
        first, second = (predict(built, one, valid=valid)[..., :8] for one in (seen, other))
        blind = predict(built, other)[..., :8]
    # The merging convolution spreads tokens of missing patches by one patch, and enlarging by one more.
    torch.testing.assert_close(first, second, atol=1e-5, rtol=1e-5)
    assert (first - blind).abs().max() > 1e-4


def test_a_frozen_encoder_stays_as_it_was_and_costs_no_gradients():
    built = network()
    before = {name: value.clone() for name, value in built.classifier.state_dict().items()}
    assert not list(built.encoder_parameters())
    step(built)
    for name, value in built.classifier.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(parameter.grad is None for parameter in built.classifier.parameters())
    assert not any(module.training for module in built.classifier.modules())
    assert all(parameter.grad is not None for parameter in built.parameters() if parameter.requires_grad)


def step(built, **section):
    section = Segmentation(encoder="classifier", lr=1e-3, **section)
    task = SegmentationTask(built.train(), section, seed=0, steps_per_epoch=1)
    optimizer = task.configure_optimizers()["optimizer"]
    masks = torch.randint(0, 3, (2, 24, 24), generator=torch.Generator().manual_seed(0))
    F.cross_entropy(predict(built, images(2, 24)), masks).backward()
    optimizer.step()
    return optimizer


def test_fine_tuning_moves_what_is_read_and_was_not_frozen_at_its_own_rate():
    built = network(tiny_classifier(frozen_below=1), blocks=(1,), learning_rate=1e-4)
    before = {name: value.clone() for name, value in built.classifier.state_dict().items()}
    optimizer = step(built, classifier={"learning_rate": 1e-4})
    # Warm-up over one step starts at one half.
    assert [group["lr"] for group in optimizer.param_groups] == [5e-4, 5e-5]
    moved = {name for name, value in built.classifier.state_dict().items() if not torch.equal(value, before[name])}
    assert moved and all(name.startswith("backbone.blocks.1.") for name in moved)
    assert not any("log_alpha" in name for name in moved)


def test_everything_learns_where_nothing_was_frozen():
    built = network(blocks=1, learning_rate=1e-4)
    before = {name: value.clone() for name, value in built.classifier.state_dict().items()}
    step(built, classifier={"learning_rate": 1e-4})
    moved = {name for name, value in built.classifier.state_dict().items() if not torch.equal(value, before[name])}
    parts = {name.split(".")[1] for name in moved}
    assert parts == {"patch_embed", "pos_embed", "registers", "blocks"}
    assert {name.split(".")[2] for name in moved if name.startswith("backbone.blocks")} == {"0", "1", "2"}


def test_it_learns_borders_finer_than_a_patch():
    """The tokens know what is there, the stem where: stripes of two pixels cannot come from patches of eight."""
    torch.manual_seed(0)
    built = network(classes=2, width=16)
    generator = torch.Generator().manual_seed(3)
    stripes = torch.randint(0, 2, (8, 1, 1, 12), generator=generator).repeat_interleave(2, dim=3).expand(-1, 5, 24, 24)
    masks = stripes[:, 0].contiguous()
    seen = stripes.float() + 0.1 * torch.randn(8, 5, 24, 24, generator=generator)
    optimizer = torch.optim.AdamW([value for value in built.parameters() if value.requires_grad], lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        F.cross_entropy(predict(built, seen), masks).backward()
        optimizer.step()
    with torch.no_grad():
        right = (predict(built.eval(), seen).argmax(dim=1) == masks).float().mean()
    assert right > 0.9


def test_without_a_classifier_it_is_refused():
    with pytest.raises(UsageError, match="encoder: classifier needs the run's trained classifier"):
        build_network(Segmentation(encoder="classifier"), 3, 2)


@pytest.mark.parametrize("attention", ["joint", "asymmetric"])
def test_patch_scores_begin_with_what_the_patch_classifier_says(attention):
    model = tiny_classifier(attention=attention, **WITH_PATCHES).eval()
    valid = torch.ones(2, 24, 24, dtype=torch.bool)
    valid[0, :8] = False
    with torch.no_grad():
        maps = model(images(2, 24), valid=valid).scores["patch"].maps
        # A block below the last is read by the decoder; the scores come from the last all the same.
        found = network(model, blocks=(1,), patch_scores=True).eval()(images(2, 24), valid=valid)
    assert maps.abs().max() > 0.1
    expected = F.interpolate(maps, (24, 24), mode="bilinear")
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("background", [0, 1, 3])
def test_patch_scores_of_the_background_are_zero_where_masks_have_it(background):
    model = tiny_classifier(**WITH_PATCHES).eval()
    with torch.no_grad():
        without = network(model, patch_scores=True).eval()(images(1, 24))
        found = network(model, classes=4, background=background, patch_scores=True).eval()(images(1, 24))
    assert not found[:, background].any()
    torch.testing.assert_close(found[:, [value for value in range(4) if value != background]], without)


def test_the_decoder_learns_what_is_wrong_with_the_patch_scores():
    built = network(tiny_classifier(**WITH_PATCHES), patch_scores=True)
    with torch.no_grad():
        before = built.eval()(images(2, 24))
    for _ in range(3):  # nothing but the last layer has a gradient in the first step
        step(built)
    with torch.no_grad():
        after = built.eval()(images(2, 24))
    assert (after - before).abs().max() > 1e-4
    assert built.classifier.head("patch").linear.weight.grad is None


def test_fine_tuning_moves_the_patch_classifier_where_its_scores_are_read():
    built = network(tiny_classifier(**WITH_PATCHES), blocks=(0,), learning_rate=1e-4, patch_scores=True)
    names = {id(parameter): name for name, parameter in built.classifier.named_parameters()}
    learns = {names[id(parameter)] for parameter in built.encoder_parameters()}
    assert {"backbone.norm.weight", "heads.patch_head.linear.weight", "heads.patch_head.linear.bias"} < learns
    assert any(name.startswith("backbone.blocks.2.") for name in learns)


def test_patch_scores_of_a_classifier_without_a_head_for_them_are_refused():
    with pytest.raises(UsageError, match="has no head 'patch'"):
        network(patch_scores=True)


def test_sensors_that_are_missing_and_pruned_heads_are_handled():
    model = tiny_classifier(fusion="per_sensor")
    with torch.no_grad():
        model.backbone.block(1).attn.gate.log_alpha[0] = -10.0
    prune(model.backbone)
    built = network(model).eval()
    assert isinstance(built, ClassifierNetwork) and built.classifier.backbone.block(1).attn.heads == 2
    seen = images(1, 24)
    other = seen.clone()
    other[:, :2] = 7.0  # the first sensor's channels
    absent = torch.tensor([[False, True]])
    with torch.no_grad():
        features = [patch_features(built.classifier.backbone, one, (2,), present=absent)[0] for one in (seen, other)]
        torch.testing.assert_close(*features)
        with_it = predict(built, seen, present=torch.tensor([[True, True]]))
        without = predict(built, seen, present=absent)
    assert (with_it - without).abs().max() > 1e-4
