"""The background as what class maps leave over, by values computed by hand."""

import pytest
import torch
from pydantic import ValidationError

from wsss_toolkit.domain import ClassTable
from wsss_toolkit.pseudo_masks.assign import assign, binarise, used_tokens
from wsss_toolkit.pseudo_masks.residual import claims, residual_scores, winning_level
from wsss_toolkit.recipe.schema import PseudoMasks, Residual

CLASSES = ClassTable(("cat", "none", "dog"), ((0, 0, 0),) * 3, background=1)
BOTH = torch.ones(1, 2, dtype=torch.bool)
EVEN = torch.zeros(1, 2)


def rows(*maps):
    """Class maps of one image with one row of pixels, ``1 c 1 w``."""
    return torch.tensor(maps, dtype=torch.float32).unsqueeze(1).unsqueeze(0)


def section(assign="argmax", ignore_below=0.0, **residual):
    return PseudoMasks(
        background="residual", assign=assign, ignore_below=ignore_below, residual={"peak": 1.0, **residual}
    )


@pytest.mark.parametrize("how", ["argmax", "paint"])
@pytest.mark.parametrize(
    ("residual", "mask", "confidence"),
    [
        # Scaled, the maps are 1, 1/2, 0, 0 and 0, 0, 0, 1; a class that is level with the background wins.
        ({"value": 1.0}, [0, 0, 1, 2], [1, 0.5, 1, 1]),
        ({"value": 2.0}, [0, 0, 1, 2], [1, 0.5 / 0.75, 1, 1]),
        ({"value": 0.5}, [0, 1, 1, 2], [1, 0.5**0.5 / (0.5 + 0.5**0.5), 1, 1]),
        ({"method": "level", "value": 0.6}, [0, 1, 1, 2], [1 / 1.6, 0.6 / 1.1, 1, 1 / 1.6]),
        ({"method": "level", "value": 0.5}, [0, 0, 1, 2], [1 / 1.5, 0.5, 1, 1 / 1.5]),
    ],
)
def test_classes_and_background_compete(how, residual, mask, confidence):
    found, share = assign(rows([4, 2, 0, 0], [0, 0, 0, 8]), EVEN, BOTH, section(how, **residual), CLASSES)
    assert found.tolist() == [[mask]]
    torch.testing.assert_close(share, torch.tensor([[confidence]]))


def test_a_map_is_scaled_from_its_smallest_value():
    # 3, 1, 2 become 1, 0, 1/2: attention is nowhere 0.
    mask, _ = assign(rows([3, 1, 2], [1, 5, 1]), EVEN, BOTH, section(), CLASSES)
    assert mask.tolist() == [[[0, 2, 0]]]


def test_paint_and_argmax_leave_the_same_pixels_to_the_background():
    # Scaled: cat 1, .6, .3, 0 and dog 0, .55, 1, 0; at the second pixel both claim.
    maps = rows([10, 6, 3, 0], [0, 5.5, 10, 0])
    dog_above = torch.tensor([[0.0, 1.0]])
    largest, share = assign(maps, dog_above, BOTH, section("argmax"), CLASSES)
    painted, painted_share = assign(maps, dog_above, BOTH, section("paint"), CLASSES)
    assert largest.tolist() == [[[0, 0, 2, 1]]] and painted.tolist() == [[[0, 2, 2, 1]]]
    # Shares of cat .6, dog .55 and the background 1 - .6.
    torch.testing.assert_close(share[0, 0, 1], torch.tensor(0.6 / 1.55))
    torch.testing.assert_close(painted_share[0, 0, 1], torch.tensor(0.55 / 1.55))
    generator = torch.Generator().manual_seed(0)
    maps, logits = torch.rand(5, 2, 9, 8, generator=generator), torch.randn(5, 2, generator=generator)
    for value in (0.5, 1.0, 4.0):
        masks = [
            assign(maps, logits, BOTH.expand(5, 2), section(how, value=value), CLASSES)[0]
            for how in ("argmax", "paint")
        ]
        assert torch.equal(masks[0] == 1, masks[1] == 1) and 0 < (masks[0] == 1).float().mean() < 1


def test_a_few_high_values_do_not_decide_the_scale():
    # 101 pixels: 50 of 0, 50 of 2, one of 100. The quantile 0.99 is the 100th value, a 2.
    values = [0.0] * 50 + [2.0] * 50 + [100.0]
    robust, _ = assign(rows(values, [0.0] * 101), EVEN, BOTH, section(peak=0.99), CLASSES)
    assert robust.flatten().tolist() == [1] * 50 + [0] * 51
    largest, _ = assign(rows(values, [0.0] * 101), EVEN, BOTH, section(peak=1.0), CLASSES)
    assert largest.flatten().tolist() == [1] * 100 + [0]


def test_an_object_smaller_than_the_quantile_leaves_out_is_still_found():
    mask, _ = assign(rows([0.0] * 100 + [5.0], [0.0] * 101), EVEN, BOTH, section(peak=0.99), CLASSES)
    assert mask.flatten().tolist() == [1] * 100 + [0]


def test_flat_maps_and_images_without_classes_are_background():
    for how in ("argmax", "paint"):
        flat = torch.full((1, 2, 3, 3), 0.7)
        mask, confidence = assign(flat, EVEN, BOTH, section(how), CLASSES)
        assert (mask == 1).all() and (confidence == 1).all()
        mask, confidence = assign(torch.rand(1, 2, 3, 3), EVEN, ~BOTH, section(how), CLASSES)
        assert (mask == 1).all() and (confidence == 1).all()


def test_low_confidence_is_ignored():
    maps = rows([4, 2, 0, 0], [0, 0, 0, 8])
    mask, _ = assign(maps, EVEN, BOTH, section(ignore_below=0.51), CLASSES)
    assert mask.tolist() == [[[0, 255, 1, 2]]]


@pytest.mark.parametrize("how", ["argmax", "paint"])
def test_missing_pixels_are_ignored_and_influence_no_other(how):
    generator = torch.Generator().manual_seed(7)
    maps = torch.rand(2, 2, 6, 6, generator=generator)
    valid = torch.rand(2, 6, 6, generator=generator) > 0.4
    both = BOTH.expand(2, 2)
    changed = torch.where(valid[:, None], maps, maps * 1000)
    for peak in (0.9, 1.0):
        mask, share = assign(maps, EVEN.expand(2, 2), both, section(how, peak=peak), CLASSES, valid=valid)
        again, again_share = assign(changed, EVEN.expand(2, 2), both, section(how, peak=peak), CLASSES, valid=valid)
        assert torch.equal(mask, again) and torch.equal(share, again_share)
        assert (mask[~valid] == 255).all() and (share[~valid] == 0).all() and (mask[valid] != 255).all()
    nothing, _ = assign(maps, EVEN.expand(2, 2), both, section(how), CLASSES, valid=torch.zeros_like(valid))
    assert (nothing == 255).all()


def test_scale_batch_and_unused_tokens_change_nothing():
    generator = torch.Generator().manual_seed(3)
    classes = ClassTable(tuple(map(str, range(13))), ((0, 0, 0),) * 13, background=7)
    maps, logits = torch.rand(4, 12, 8, 8, generator=generator), torch.randn(4, 12, generator=generator)
    active = torch.rand(4, 12, generator=generator) > 0.8
    for how in ("argmax", "paint"):
        chosen = section(how, peak=0.95)
        mask, share = assign(maps, logits, active, chosen, classes)
        scaled, _ = assign(maps * 2.0 ** torch.arange(12).view(1, 12, 1, 1), logits, active, chosen, classes)
        assert torch.equal(mask, scaled)
        tokens = used_tokens(active)
        assert 0 < len(tokens) < 12
        some = assign(maps[:, tokens], logits[:, tokens], active[:, tokens], chosen, classes, tokens=tokens)
        assert torch.equal(some[0], mask) and torch.equal(some[1], share)
        for i in range(4):
            one = slice(i, i + 1)
            assert torch.equal(assign(maps[one], logits[one], active[one], chosen, classes)[0], mask[one])


def test_a_class_claims_what_it_would_win_alone():
    scores, rest = residual_scores(rows([10, 6, 3, 0]), torch.ones(1, 1, 4, dtype=torch.bool), Residual(peak=1.0))
    torch.testing.assert_close(scores, rows([1, 0.6, 0.3, 0]))
    torch.testing.assert_close(rest, torch.tensor([[[0, 0.4, 0.7, 1]]]))
    assert claims(scores, Residual(value=4.0)).flatten().tolist() == [True, True, True, False]  # 0.3 > 0.7^4 = 0.24


@pytest.mark.parametrize(
    ("residual", "level"),
    [
        (Residual(value=1.0), 0.5),
        (Residual(value=2.0), (3 - 5**0.5) / 2),  # m = (1 - m)^2
        (Residual(method="level", value=0.3), 0.3),
    ],
)
def test_the_threshold_that_is_shown_is_where_a_class_begins_to_win(residual, level):
    assert winning_level(residual) == pytest.approx(level, abs=1e-12)
    maps = rows([2, 12, 7, 2 + 10 * level + 0.01, 2 + 10 * level - 0.01], [3, 3, 3, 3, 3])
    section = PseudoMasks(background="residual", residual=residual.model_copy(update={"peak": 1.0}))
    found = binarise(maps, None, section)
    torch.testing.assert_close(found.threshold, torch.tensor([[2 + 10 * level, 3]]))
    assert found.uneven.tolist() == [[True, False]]
    assert found.claimed.flatten().tolist() == [False, True, 5 >= 10 * level, True, False] + [False] * 5


def test_settings_that_mean_nothing_are_refused():
    with pytest.raises(ValidationError, match="`value` is at most 1, not 2"):
        Residual(method="level", value=2.0)
    for wrong in ({"value": 0.0}, {"peak": 0.0}, {"peak": 1.5}):
        with pytest.raises(ValidationError):
            Residual(**wrong)
