"""The parts of the consensus against naive computations, and all of it on features where the truth is known."""

from types import SimpleNamespace

import numpy as np
import pytest
import timm
import torch
from scipy.stats import rankdata
from torch.nn import functional as F

from wsss_toolkit.domain import ChannelTable, ClassTable, Sensor
from wsss_toolkit.heads.classifier import build_classifier
from wsss_toolkit.heads.kinds import PerToken
from wsss_toolkit.heads.patch_head import pool_top
from wsss_toolkit.model.weights import load_weights
from wsss_toolkit.pseudo_masks.consensus.features import Standardise, TokenReader, Tokens, measure, shown_size
from wsss_toolkit.pseudo_masks.consensus.groups import Group, batches
from wsss_toolkit.pseudo_masks.consensus.instances import Instances, contrast, evidence, fit_instances
from wsss_toolkit.pseudo_masks.consensus.mapper import ConsensusMapper
from wsss_toolkit.pseudo_masks.consensus.model import Consensus, Found, load_consensus, save_consensus
from wsss_toolkit.pseudo_masks.consensus.regions import describe, fit_regions
from wsss_toolkit.pseudo_masks.consensus.seeds import ranks, seeds_by_rank, seeds_by_value
from wsss_toolkit.pseudo_masks.consensus.stage import build_frozen, fit_to
from wsss_toolkit.pseudo_masks.sources.contrast import Contrast
from wsss_toolkit.recipe.schema import ClassTokens, Gates, Model, PseudoMasks
from wsss_toolkit.recipe.schema import Consensus as Section

GRID = (12, 15)


CAMERA = ChannelTable((Sensor("camera", ("R", "G", "B")),))


def classifier(**section):
    values = {"backbone": "vit_tiny_patch16_224", "depth": 3, "attention": "asymmetric", "image_size": 48} | section
    values.setdefault("gates", Gates(enabled=False))
    values.setdefault("class_tokens", ClassTokens(enter_at=1))
    return build_classifier(Model(**values), {"class": PerToken(kind="per_token")}, CAMERA, "early", 2).eval()


def test_the_largest_share_of_visible_scores_is_averaged():
    scores, visible = torch.randn(4, 50, 3), torch.rand(4, 50) > 0.4
    visible[3] = False
    found = pool_top(scores, visible, share=0.2)
    for image in range(3):
        kept = scores[image, visible[image]].numpy()
        count = max(1, int(0.2 * len(kept)))
        np.testing.assert_allclose(found[image], np.sort(kept, 0)[-count:].mean(0), rtol=1e-5)
    assert (found[3] == 0).all()
    assert torch.equal(pool_top(scores, torch.ones_like(visible), 0.2), pool_top(scores, None, 0.2))
    assert torch.equal(pool_top(scores[:, :3], None, 0.01), scores[:, :3].amax(1))  # one patch at least


def test_images_keep_their_proportions_and_have_the_area_that_was_asked_for():
    height, width = shown_size((200, 320), 384, 14)
    assert height % 14 == width % 14 == 0
    assert abs(width / height - 1.6) < 0.05
    assert abs((height * width) ** 0.5 - 384) < 14
    assert shown_size((400, 640), 384, 14, reference=(200, 320)) == pytest.approx([2 * height, 2 * width], abs=14)


def test_tokens_are_those_of_the_plain_transformer(tmp_path):
    plain = timm.create_model("vit_tiny_patch16_224", img_size=64, depth=3).eval()
    torch.save(plain.state_dict(), tmp_path / "plain.pth")
    model = classifier(image_size=64)
    load_weights(model.backbone, str(tmp_path / "plain.pth"), CAMERA)
    images = torch.randn(2, 3, 64, 64)
    found = TokenReader(model.backbone, (-3, -1), 64)(images, torch.ones(2, 64, 64, dtype=torch.bool), torch.ones(2, 1))
    expected = plain.get_intermediate_layers(images, n=(0, 2))
    torch.testing.assert_close(found.values, torch.cat(expected, -1), rtol=6e-4, atol=1e-4)  # half precision
    assert found.grid == (4, 4)


def test_of_a_trained_model_that_reads_class_tokens_they_are_those_that_it_was_trained_with():
    model = classifier(attention="joint")
    images, valid = torch.randn(2, 3, 48, 48), torch.ones(2, 48, 48, dtype=torch.bool)
    found = TokenReader(model.backbone, (1, 2), 48)(images, valid, torch.ones(2, 1))
    kept = model.backbone(images, keep=(1, 2)).after
    expected = torch.cat([kept[block][:, 2:11] for block in (1, 2)], -1)
    torch.testing.assert_close(found.values, expected, rtol=6e-4, atol=1e-5)  # half precision


def test_missing_pixels_are_not_seen():
    model = classifier()
    images, valid = torch.randn(1, 3, 48, 48), torch.ones(1, 48, 48, dtype=torch.bool)
    valid[:, :, 32:] = False
    reader = TokenReader(model.backbone, (-1,), 48)
    found = reader(images, valid, torch.ones(1, 1))
    assert found.inner.tolist() == [[True, True, False] * 3]
    other = reader(torch.where(valid[:, None], images, 7.0), valid, torch.ones(1, 1))
    torch.testing.assert_close(other.values[:, found.inner[0]], found.values[:, found.inner[0]])


def test_white_features_have_no_mean_and_the_identity_as_covariance():
    mixed = torch.randn(40, 30, 12) @ torch.randn(12, 12) + torch.randn(12) * 5
    mixed[..., 6:] *= 100  # another block, of another scale
    visible = torch.rand(40, 30) > 0.2
    parts = [Tokens(some, seen, (5, 6)) for some, seen in zip(mixed.split(7), visible.split(7), strict=True)]
    found = measure(parts, blocks=2)
    white = found(mixed)[visible].double()
    torch.testing.assert_close(white.mean(0), torch.zeros(12).double(), atol=1e-3, rtol=0)
    torch.testing.assert_close(white.T @ white / len(white), torch.eye(12).double(), atol=1e-3, rtol=0)
    # Between the two: a component's variance is the root of that of the principal component.
    half = found.half_white(found(mixed))[visible].double()
    torch.testing.assert_close(half.var(0, correction=0), found.variances.double().sqrt(), rtol=1e-3, atol=1e-4)
    # Both blocks count alike, whatever their scale.
    assert found.variances.sum() == pytest.approx(1, rel=1e-3)


def test_components_without_variance_are_left_out():
    mixed = torch.randn(20, 30, 3) @ torch.randn(3, 12)
    assert measure([Tokens(mixed, torch.ones(20, 30, dtype=torch.bool), (5, 6))], 1).projection.shape == (12, 3)


def test_ranks_are_those_of_scipy_among_the_patches_with_data():
    evidence, visible = torch.randn(5, 40), torch.rand(5, 40) > 0.3
    found = ranks(evidence, visible)
    for image in range(5):
        seen = visible[image].numpy()
        expected = (rankdata(evidence[image, seen], "ordinal") - 1) / seen.sum()
        np.testing.assert_allclose(found[image, seen], expected, rtol=1e-5)
        assert (found[image, ~seen] == -1).all()


def test_seeds_are_the_top_and_the_bottom_and_an_empty_image_is_background():
    rank = ranks(torch.arange(100.0).repeat(2, 1), torch.ones(2, 100, dtype=torch.bool))
    found = seeds_by_rank(rank, (0.04, 0.2), torch.tensor([False, True]))
    assert found.foreground[0].nonzero().flatten().tolist() == [96, 97, 98, 99]
    assert (found.known & ~found.foreground)[0].nonzero().flatten().tolist() == list(range(80))
    assert found.known[1].all()
    assert not found.foreground[1].any()


def test_sure_probabilities_are_seeds_by_data_set_and_by_image():
    probabilities = [torch.rand(6, 50) ** 3, torch.rand(3, 20) ** 3]
    probabilities[0][0] *= 0.1  # an image with little: its own largest value counts
    visible = [torch.rand(6, 50) > 0.2, torch.rand(3, 20) > 0.2]
    empty = [torch.tensor([False] * 5 + [True]), torch.tensor([False] * 3)]
    found = seeds_by_value(probabilities, visible, (0.04, 0.2), empty)
    shown = [p[v & ~e[:, None]] for p, v, e in zip(probabilities, visible, empty, strict=True)]
    high, low = np.quantile(torch.cat(shown).numpy(), [0.97, 0.85])
    for probability, seen, none, seeds in zip(probabilities, visible, empty, found, strict=True):
        for image in range(len(probability)):
            largest = max(float(p) for p, s in zip(probability[image], seen[image], strict=True) if s)
            for patch in range(probability.shape[1]):
                p = float(probability[image, patch])
                foreground = p > min(high, 0.8 * largest) and not none[image]
                background = p < min(low, 0.4 * largest) or bool(none[image])
                known = bool(seen[image, patch]) and (foreground or background)
                assert bool(seeds.known[image, patch]) == known
                assert bool(seeds.foreground[image, patch]) == (known and foreground)
    assert found[0].foreground[0].any()


def test_every_image_comes_once_an_epoch_whatever_its_size():
    groups = [
        Group(torch.arange(count), torch.zeros(count, 2, 1), torch.ones(count, 2) > 0, (1, 2)) for count in (37, 5)
    ]
    found, same, other = (
        [
            [(number, rows.tolist()) for number, rows in batch]
            for batch in batches(groups, 16, np.random.default_rng(seed))
        ]
        for seed in (0, 0, 1)
    )
    seen = sorted((number, place) for batch in found for number, rows in batch for place in rows)
    assert seen == [(0, place) for place in range(37)] + [(1, place) for place in range(5)]
    assert [sum(len(rows) for _, rows in batch) for batch in found] == [16, 16, 10]
    assert any(len(batch) == 2 for batch in found)  # sizes are mixed
    assert found == same
    assert found != other


def planted(images=120, channels=16, seed=0):
    """Return features in which a square of patches has a direction of its own for each of two classes, and the truth.

    All images share a scatter of distractors, so that what is odd is not what is asked for.
    """
    random = torch.Generator().manual_seed(seed)
    white = torch.randn(images, *GRID, channels, generator=random)
    truth = torch.zeros(images, *GRID, dtype=torch.bool)
    labels = torch.zeros(images, 2)
    kinds = torch.zeros(images, dtype=torch.int64)
    for image in range(images):
        top, left = (int(torch.randint(0, side - 4, (1,), generator=random)) for side in GRID)
        kinds[image] = image % 2
        white[image, :, :, 3] += 4 * (torch.rand(GRID, generator=random) < 0.1)
        square = (image, slice(top, top + 4), slice(left, left + 4))
        white[*square, int(kinds[image])] += 4
        white[*square, 2] += 2
        truth[*square] = True
        labels[image, kinds[image]] = 1
    visible = torch.ones(images, GRID[0] * GRID[1], dtype=torch.bool)
    group = Group(torch.arange(images), white.flatten(1, 2).half(), visible, GRID)
    return [group], labels, truth, kinds


def fitted(groups, labels, seed=0, evidence=None, **section):
    torch.manual_seed(seed)
    standardise = Standardise(16, 16)
    standardise.projection.copy_(torch.eye(16))
    options = Section(area=(0.06, 0.2), **section)
    return fit_to(groups, labels, evidence, standardise, options, seed), standardise


class Known(torch.nn.Module):
    """Stands in for the reader: hands features out as tokens."""

    def forward(self, images, valid, present, reference=None):
        return Tokens(images.flatten(2).mT, valid.flatten(1), (images.shape[2], images.shape[3]))


@pytest.mark.parametrize("head", ["conv", "linear"])
def test_from_image_level_labels_alone_it_finds_where_the_objects_are_and_which(head):
    groups, labels, *_ = planted()
    found, standardise = fitted(groups, labels, head=head)
    unseen, _, truth, kinds = planted(seed=1)
    consensus = Consensus(Known(), standardise, found.heads, found.regions).eval()
    images = unseen[0].white.float().mT.unflatten(2, GRID)
    said = consensus(images, torch.ones(len(images), *GRID, dtype=torch.bool), torch.ones(len(images), 1))
    claimed = said.foreground > 0.5
    union = (claimed | truth).sum()
    assert (claimed & truth).sum() / union > (0.6 if head == "conv" else 0.4)
    assert (said.scores.argmax(1)[truth] == kinds[:, None, None].expand_as(truth)[truth]).float().mean() > 0.9
    assert (said.logits.argmax(1) == kinds).float().mean() > 0.95


def test_the_same_seed_gives_the_same_heads_and_another_seed_others(monkeypatch):
    monkeypatch.setattr("wsss_toolkit.pseudo_masks.consensus.training.IMAGES", 40)
    groups, labels, *_ = planted(images=40)
    first, again, other = (fitted(groups, labels, seed=seed)[0].heads.state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_seeds_from_elsewhere_are_taken():
    groups, labels, truth, _ = planted()
    upside_down = [(~truth).flatten(1).float() + torch.rand(len(truth), GRID[0] * GRID[1]) * 0.1]
    found, _ = fitted(groups, labels, evidence=upside_down, head="linear")
    logit = found.heads[0](groups[0].white.float(), GRID)
    foreground = (logit[:, 1] > logit[:, 0]).view(truth.shape)
    assert foreground[truth].float().mean() < foreground[~truth].float().mean()


def test_images_that_show_nothing_are_background():
    groups, labels, truth, _ = planted()
    labels[:60] = 0  # their squares are no objects, whatever they look like
    groups[0].white[:60, :, 2] -= 4
    found, _ = fitted(groups, labels, head="linear")
    logit = found.heads[0](groups[0].white.float(), GRID)
    foreground = (logit[:, 1] > logit[:, 0]).view(truth.shape)
    assert foreground[:60].float().mean() < 0.02
    assert foreground[60:][truth[60:]].float().mean() > 0.2


def test_what_was_saved_says_the_same(tmp_path):
    labels = planted(images=20)[1]
    model = classifier()
    reader = TokenReader(model.backbone, (-1,), 48)
    tokens = [Tokens(torch.randn(20, 9, 192), torch.ones(20, 9, dtype=torch.bool), (3, 3))]
    standardise = measure(tokens, 1)
    components = standardise.projection.shape[1]
    few = [Group(torch.arange(20), torch.randn(20, 9, components).half(), tokens[0].inner, (3, 3))]
    torch.manual_seed(0)
    found = fit_to(few, labels, None, standardise, Section(), 0)
    consensus = Consensus(reader, standardise, found.heads, found.regions).eval()
    save_consensus(consensus, tmp_path, {"wsss_version": "0"})
    images, valid = torch.randn(2, 3, 48, 48), torch.ones(2, 48, 48, dtype=torch.bool)
    expected, same = (
        one(images, valid, torch.ones(2, 1)) for one in (consensus, load_consensus(tmp_path, model.backbone))
    )
    for mine, other in zip(expected, same, strict=True):
        assert torch.equal(mine, other)


def test_what_the_heads_find_has_the_best_class_where_none_reaches_one_half():
    found = Found(torch.full((1, 3, 3), 0.9), torch.zeros(1, 2, 3, 3), torch.tensor([[-2.0, -1.0]]))
    classes = ClassTable(("none", "cat", "dog"), ((0, 0, 0),) * 3, background=0)
    section = PseudoMasks(background="residual", residual={"peak": None})
    model, device = SimpleNamespace(), torch.device("cpu")
    mapper = ConsensusMapper(model, section, classes, None, False, device, consensus=lambda *_: found)
    image = torch.zeros(1, 3, 6, 6), torch.ones(1, 6, 6, dtype=torch.bool), torch.ones(1, 1)
    assert (mapper.masks(*image)[0] == 2).all()
    nothing = found._replace(foreground=torch.full((1, 3, 3), 0.1))
    mapper = ConsensusMapper(model, section, classes, None, False, device, consensus=lambda *_: nothing)
    assert (mapper.masks(*image)[0] == 0).all()


def test_contrast_is_between_the_class_spoken_for_most_and_least():
    scores = torch.randn(2, 7, 3)
    assert torch.equal(contrast(scores), scores.max(-1).values - scores.min(-1).values)
    assert torch.equal(contrast(scores[..., :1]), scores[..., 0])
    assert F.relu(contrast(scores)).equal(contrast(scores))


def test_what_all_patches_of_an_image_share_tells_no_class():
    model = Instances(8, 3)
    torch.nn.init.normal_(model.weight)
    features, inner = torch.randn(4, 30, 8), torch.rand(4, 30) > 0.3
    shifted = features + torch.randn(4, 1, 8) * 5
    for before, after in zip(model(features, inner), model(shifted, inner), strict=True):
        torch.testing.assert_close(before, after, rtol=1e-4, atol=1e-4)


def test_evidence_begins_at_what_most_of_an_image_says():
    model = Instances(8, 3)
    torch.nn.init.normal_(model.weight)
    features, inner = torch.randn(4, 31, 8), torch.rand(4, 31) > 0.3
    found = evidence(model, features, inner)
    for image in range(4):
        scores = features[image] @ model.weight.T
        middle = scores[inner[image]].nanmedian(0).values
        torch.testing.assert_close(found[image], contrast(scores - middle), rtol=1e-4, atol=1e-4)


def test_of_several_patch_classifiers_the_one_that_explains_the_labels_best_is_kept(monkeypatch):
    groups, labels, *_ = planted(images=20)
    made = []

    def fit(model, *_, **__):
        torch.nn.init.normal_(model.weight, std=0.1 * len(made))
        made.append(model)

    monkeypatch.setattr("wsss_toolkit.pseudo_masks.consensus.instances.fit", fit)
    standardise = Standardise(16, 16)
    best = fit_instances(groups, labels, standardise, 0)
    white = standardise.half_white(groups[0].white.float())
    losses = [F.binary_cross_entropy_with_logits(model(white, groups[0].inner)[1], labels) for model in made]
    assert len(made) > 3
    assert best is made[int(torch.stack(losses).argmin())]


def test_a_region_is_the_mean_of_its_sure_patches_beside_that_of_the_image():
    features, foreground, inner = torch.randn(3, 20, 5), torch.rand(3, 20), torch.rand(3, 20) > 0.2
    foreground[2] *= 0.5  # nothing is sure there
    found = describe(features, foreground, inner)
    for image in range(3):
        kept = [patch for patch in range(20) if inner[image, patch] and (image == 2 or foreground[image, patch] > 0.5)]
        total = sum(foreground[image, patch] for patch in kept)
        region = sum(foreground[image, patch] * features[image, patch] for patch in kept) / total
        torch.testing.assert_close(found[image], torch.cat((region, features[image, inner[image]].mean(0))))


def test_a_rare_class_is_called_as_often_as_it_is_there():
    random = torch.Generator().manual_seed(0)
    shown = torch.stack((torch.rand(400, generator=random) < 0.15, torch.rand(400, generator=random) < 0.6), 1).float()
    features = torch.randn(800, 10, generator=random)
    features[:400, 0] += shown[:, 0]
    features[:400, 1] += shown[:, 1]
    found = fit_regions([features[:150], features[150:400]], [shown[:150], shown[150:]])
    share = (found.score(features[:400]) >= 0).float().mean(0)
    torch.testing.assert_close(share, shown.mean(0), atol=0.04, rtol=0)
    without = fit_regions([features[:9]], [torch.zeros(9, 2)])  # too few to tell
    assert (without.score(features) < 0).all()


def test_a_frozen_backbone_has_no_gates_and_its_positions_at_the_resolution():
    options = Model(
        backbone="vit_tiny_patch16_224", patch_size=10, depth=2, image_size=20, class_tokens=ClassTokens(enter_at=1)
    )
    heads = {"class": PerToken(kind="per_token")}
    channels = SimpleNamespace(fusion="early")
    recipe = SimpleNamespace(model=options, heads=heads, channels=channels, seed=0)
    images = SimpleNamespace(labels=np.zeros((2, 3), np.float32), prepare=SimpleNamespace(channels=CAMERA))
    backbone = build_frozen(recipe, images, Section(resolution=64)).backbone
    assert backbone.image_size == 60  # six patches of ten pixels
    assert all(backbone.block(index).attn.gate is None for index in range(2))


def test_contrast_of_a_trained_head_is_against_the_class_spoken_for_least():
    maps = torch.randn(2, 3, 4, 5)
    source = Contrast(kind="contrast", head="patch")
    found = source.maps(SimpleNamespace(scores={"patch": SimpleNamespace(maps=maps)}))
    torch.testing.assert_close(found, maps - maps.min(1, keepdim=True).values)
    alone = source.maps(SimpleNamespace(scores={"patch": SimpleNamespace(maps=maps[:, :1])}))
    torch.testing.assert_close(alone, maps[:, :1].clamp_min(0))
