"""A model whose attention is set by hand: token c of head 0 attends to patches of colour c."""

import numpy as np
import pytest
import torch

from wsss_toolkit.domain import ChannelTable, ClassTable, Sensor
from wsss_toolkit.explain.assignment import score_assignment
from wsss_toolkit.explain.trace import NOBODY, read_heads
from wsss_toolkit.heads.classifier import build_classifier
from wsss_toolkit.heads.kinds import PerToken
from wsss_toolkit.model.pruning import prune
from wsss_toolkit.pseudo_masks.class_maps import class_maps
from wsss_toolkit.recipe.schema import ClassTokens, Model, PseudoMasks

PATCH, SIDE = 8, 32
CLASSES = ClassTable(("red", "green", "blue"), ((255, 0, 0), (0, 255, 0), (0, 0, 255)))
VALID = torch.ones(1, SIDE, SIDE, dtype=torch.bool)
PRESENT = torch.ones(1, 1, dtype=torch.bool)


def forced(attention="asymmetric", gates=(9.0, -9.0, -9.0), wrong=False):
    """Return a model of two blocks of three heads; in the last, only head 0 looks at colours and is open."""
    section = Model(
        backbone="vit_tiny_patch16_224",
        patch_size=PATCH,
        image_size=SIDE,
        depth=2,
        attention=attention,
        class_tokens=ClassTokens(enter_at=1),
    )
    torch.manual_seed(0)
    camera = ChannelTable((Sensor("camera", ("R", "G", "B")),))
    model = build_classifier(section, {"class": PerToken(kind="per_token")}, camera, "early", 3).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" not in name:
                parameter.zero_()
        projection = next(p for name, p in model.named_parameters() if "patch_embed" in name and p.ndim == 4)
        last = model.backbone.block(1).attn
        for c in range(3):
            projection[c, c] = 1 / PATCH**2  # dimension c of a patch: how much of colour c
            model.backbone.class_tokens[0, c, 10 + c] = 1
            last.qkv.weight[(c + wrong) % 3, 10 + c] = 1  # query of head 0
            last.qkv.weight[192 + c, c] = 1  # key of head 0
        last.gate.log_alpha.copy_(torch.tensor(gates))
    return model


def painting(seed=0):
    """Return an image of patches of one colour each, `1 3 h w`, and its ground truth."""
    truth = np.random.default_rng(seed).permutation(np.arange(16) % 3).reshape(4, 4).astype(np.uint8)
    truth = truth.repeat(PATCH, 0).repeat(PATCH, 1)
    return torch.nn.functional.one_hot(torch.from_numpy(truth).long(), 3).permute(2, 0, 1)[None].float(), truth


def assignment(model):
    section = PseudoMasks(source={"kind": "attention", "layers": "last"})
    pairs = [(image, truth) for image, truth in map(painting, range(3))]
    return score_assignment([(class_maps(model, image, section)[0][0], truth) for image, truth in pairs], CLASSES)


@pytest.mark.parametrize("attention", ["joint", "asymmetric"])
def test_tokens_that_attend_to_their_class_are_assigned_to_it(attention):
    found = assignment(forced(attention))
    for rate in (found.among_present, found.among_all, found.on_own):
        assert rate.share.tolist() == [1, 1, 1]
    assert (np.diag(found.lift) > 1.8).all(), "bilinear upsampling spreads the maps over borders"
    swapped = assignment(forced(attention, wrong=True))
    assert swapped.among_present.share.tolist() == swapped.on_own.share.tolist() == [0, 0, 0]
    blind = assignment(forced(attention, gates=(-9.0, 9.0, 9.0)))  # the open heads attend evenly
    np.testing.assert_allclose(blind.lift, 1, atol=1e-4)
    np.testing.assert_allclose(blind.among_present.share, 1 / 3)
    assert blind.on_own.mean == 0.5


@pytest.mark.parametrize("attention", ["joint", "asymmetric"])
def test_heads_are_told_apart(attention):
    image, truth = painting()
    heads = read_heads(forced(attention), image, VALID, PRESENT, [0, 2])
    assert heads.layers.tolist() == [1] and heads.attention.shape == (1, 3, 2, 4, 4)
    np.testing.assert_array_equal(heads.gates, [[1, 0, 0]])
    assert heads.numbers.tolist() == [[0, 1, 2]] and heads.numbered
    coarse = truth[::PATCH, ::PATCH]
    for place, value in enumerate((0, 2)):
        looked = heads.attention[0, 0, place]
        assert looked[coarse == value].sum() > 0.99 and looked[coarse != value].max() < 1e-4
        assert np.ptp(heads.attention[0, 1, place]) < 1e-6


def test_a_pruned_model_keeps_its_heads_where_they_were():
    image, _ = painting()
    gates = (-9.0, 9.0, -9.0)
    before = read_heads(forced(gates=gates), image, VALID, PRESENT, [1])
    model = forced(gates=gates)
    prune(model.backbone)
    after = read_heads(model, image, VALID, PRESENT, [1])
    assert after.numbered and after.numbers.tolist() == [[NOBODY, 1, NOBODY]]
    assert after.attention.shape == before.attention.shape
    np.testing.assert_allclose(after.attention[:, 1], before.attention[:, 1], atol=1e-6)
    assert np.isnan(after.attention[:, [0, 2]]).all() and np.isnan(after.gates[0, [0, 2]]).all()
    model.backbone.block(1).attn.gate.heads = None  # as older files are read
    unknown = read_heads(model, image, VALID, PRESENT, [1])
    assert not unknown.numbered and unknown.numbers.tolist() == [[0, NOBODY, NOBODY]]
    np.testing.assert_array_equal(unknown.attention[:, 0], after.attention[:, 1])


def test_only_the_tokens_asked_for_are_computed_where_they_are_independent(monkeypatch):
    image, _ = painting()
    model = forced()
    counted = []
    monkeypatch.setattr(
        model.backbone,
        "enter",
        lambda batch, classes=None: counted.append(classes) or model.backbone.class_tokens[:, classes],
    )
    read_heads(model, image, VALID, PRESENT, [2])
    assert counted == [[2]]


def test_an_image_of_any_size_is_padded():
    image, _ = painting()
    heads = read_heads(forced(), image[..., :30, :19], VALID[:, :30, :19], PRESENT, [0])
    assert heads.attention.shape[-2:] == (4, 3)
    assert heads.attention[0, 0].sum() <= 1 + 1e-6
