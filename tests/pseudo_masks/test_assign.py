import pytest
import torch

from wsss_toolkit.domain import ClassTable
from wsss_toolkit.errors import UsageError, WsssError
from wsss_toolkit.pseudo_masks.assign import active_classes, assign, paint_rank, used_tokens
from wsss_toolkit.recipe.schema import PseudoMasks, Threshold

GREY = (0, 0, 0)
PLAIN = ClassTable(("forest", "crops", "water"), (GREY,) * 3)
WITH_BACKGROUND = ClassTable(("cat", "none", "dog"), (GREY,) * 3, background=1)
ALL = torch.ones(1, 3, dtype=torch.bool)
HALF = Threshold(method="fixed", value=0.5)


def paint(fill: str = "none", **changes) -> PseudoMasks:
    return PseudoMasks(assign="paint", fill=fill, threshold=HALF, **changes)


def rows(*maps: list[float]) -> torch.Tensor:
    """Class maps of one image with one row of pixels, ``1 c 1 w``."""
    return torch.tensor(maps).unsqueeze(1).unsqueeze(0)


def test_paint_goes_from_the_lowest_to_the_highest_logit():
    maps = rows([1, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 1, 0])
    mask, _ = assign(maps, torch.tensor([[0.5, 3.0, 1.0]]), ALL, paint(), PLAIN)
    assert mask.tolist() == [[[0, 1, 1, 1, 255]]]
    mask, _ = assign(maps, torch.tensor([[3.0, 0.5, 1.0]]), ALL, paint(), PLAIN)
    assert mask.tolist() == [[[0, 0, 0, 2, 255]]]


def test_paint_is_vectorised_over_the_batch_without_mixing_images():
    generator = torch.Generator().manual_seed(0)
    maps = torch.rand(6, 3, 9, 7, generator=generator)
    logits = torch.randn(6, 3, generator=generator)
    active = torch.rand(6, 3, generator=generator) > 0.3
    valid = torch.rand(6, 9, 7, generator=generator) > 0.2
    for section in (paint("majority"), paint("nearest"), PseudoMasks()):
        together = assign(maps, logits, active, section, PLAIN, valid=valid)
        for i in range(6):
            one = slice(i, i + 1)
            alone = assign(maps[one], logits[one], active[one], section, PLAIN, valid=valid[one])
            assert torch.equal(together[0][one], alone[0])
            torch.testing.assert_close(together[1][one], alone[1])


@pytest.mark.parametrize(
    ("normalize", "mask", "first"),
    # Means 3 and 1.45, maxima 4 and 2.9: at the second pixel 4 : 2.9, 4/3 : 2 and 1 : 1, where the logits decide.
    [("none", [0, 0], 1.0), ("mean", [0, 1], 1.0), ("max", [0, 0], 1.0)],
)
def test_argmax_compares_maps_after_normalising_them(normalize, mask, first):
    maps = rows([2, 4], [0, 2.9])[:, :2]
    logits = torch.tensor([[1.0, 0.0]])
    active = torch.ones(1, 2, dtype=torch.bool)
    found, confidence = assign(maps, logits, active, PseudoMasks(normalize=normalize), PLAIN)
    assert found.tolist() == [[mask]]
    assert float(confidence[0, 0, 0]) == pytest.approx(first)
    shares = {"none": 4 / 6.9, "mean": 2 / (2 + 4 / 3), "max": 0.5}
    assert float(confidence[0, 0, 1]) == pytest.approx(shares[normalize])


def test_normalising_by_the_maximum_reads_no_missing_pixel():
    maps = rows([1, 2, 100], [1.5, 1, 0])
    valid = torch.tensor([[[True, True, False]]])
    active = torch.ones(1, 2, dtype=torch.bool)
    found, _ = assign(maps, torch.zeros(1, 2), active, PseudoMasks(normalize="max"), PLAIN, valid=valid)
    assert found.tolist() == [[[1, 0, 255]]]


def test_equal_logits_are_painted_in_the_order_of_their_index():
    assert paint_rank(torch.tensor([[1.0, 0.0, 1.0, -1.0]])).tolist() == [[2, 1, 3, 0]]
    mask, _ = assign(rows([1, 0], [1, 0], [1, 0]), torch.zeros(1, 3), ALL, paint(), PLAIN)
    assert mask.tolist() == [[[2, 255]]]


def test_fills_close_what_paint_leaves_open():
    maps = rows([1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 1], [0] * 6)
    logits = torch.tensor([[1.0, 2.0, 9.0]])
    for fill in ("majority", "nearest"):
        mask, _ = assign(maps, logits, ALL, paint(fill), PLAIN)
        assert mask.tolist() == [[[0, 0, 0, 1, 1, 1]]]


def test_a_value_of_zero_claims_nothing():
    section = PseudoMasks(assign="paint", fill="none", threshold=Threshold(method="quantile", value=0.2))
    mask, _ = assign(rows([0, 0, 0, 2], [1, 0, 0, 0], [0] * 4), torch.zeros(1, 3), ALL, section, PLAIN)
    assert mask.tolist() == [[[1, 255, 255, 0]]]


def test_flat_maps_are_filled_with_the_best_class():
    maps = torch.full((1, 3, 2, 2), 0.1)
    logits = torch.tensor([[1.0, 5.0, 9.0]])
    active = torch.tensor([[True, True, False]])
    assert (assign(maps, logits, active, paint("majority"), PLAIN)[0] == 1).all()
    assert (assign(maps, logits, active, paint("none"), PLAIN)[0] == 255).all()


def test_argmax_takes_the_largest_map_divided_by_its_mean():
    # Means 4 and 1: the second map wins where its value is above a quarter of the first's.
    maps = rows([8, 4, 3, 1], [1, 0.5, 1, 1.5], [100, 100, 100, 100])
    active = torch.tensor([[True, True, False]])
    mask, _ = assign(maps, torch.zeros(1, 3), active, PseudoMasks(), PLAIN)
    assert mask.tolist() == [[[0, 0, 1, 1]]]


def test_argmax_does_not_depend_on_the_scale_of_each_map():
    generator = torch.Generator().manual_seed(3)
    maps = torch.rand(4, 3, 8, 8, generator=generator)
    active = torch.ones(4, 3, dtype=torch.bool)
    logits = torch.randn(4, 3, generator=generator)
    scale = torch.tensor([0.001, 1.0, 500.0]).view(1, 3, 1, 1)
    for section in (PseudoMasks(), paint("majority")):
        before, level = assign(maps, logits, active, section, PLAIN)
        after, scaled_level = assign(maps * scale, logits, active, section, PLAIN)
        assert torch.equal(before, after)
        torch.testing.assert_close(level, scaled_level)


def test_argmax_gives_equal_maps_to_the_higher_logit():
    maps = rows([1, 2], [1, 2], [1, 2])
    mask, confidence = assign(maps, torch.tensor([[0.0, 2.0, 1.0]]), ALL, PseudoMasks(), PLAIN)
    assert mask.tolist() == [[[1, 1]]]
    torch.testing.assert_close(confidence, torch.full((1, 1, 2), 1 / 3))


@pytest.mark.parametrize("how", ["argmax", "paint"])
def test_only_active_classes_appear(how):
    generator = torch.Generator().manual_seed(5)
    maps = torch.rand(8, 3, 6, 6, generator=generator)
    active = torch.rand(8, 3, generator=generator) > 0.5
    active[:, 0] |= ~active.any(dim=1)
    mask, _ = assign(maps, torch.randn(8, 3, generator=generator), active, PseudoMasks(assign=how), PLAIN)
    for image, allowed in zip(mask, active, strict=True):
        assert set(image.unique().tolist()) <= set(allowed.nonzero().flatten().tolist())


def test_without_any_active_class_the_mask_is_background_or_ignored():
    maps, nothing = torch.rand(1, 2, 3, 3), torch.zeros(1, 2, dtype=torch.bool)
    for how in ("argmax", "paint"):
        mask, confidence = assign(maps, torch.zeros(1, 2), nothing, PseudoMasks(assign=how), WITH_BACKGROUND)
        assert (mask == 255).all() and (confidence == 0).all()
        section = PseudoMasks(assign=how, background="threshold")
        mask, confidence = assign(maps, torch.zeros(1, 2), nothing, section, WITH_BACKGROUND)
        assert (mask == 1).all() and (confidence == 1).all()


@pytest.mark.parametrize("how", ["argmax", "paint"])
def test_unclaimed_pixels_become_background_and_tokens_their_mask_values(how):
    maps = rows([4, 2, 0, 0], [0, 0, 0, 8])
    section = PseudoMasks(assign=how, background="threshold", threshold=HALF)
    mask, confidence = assign(maps, torch.zeros(1, 2), torch.ones(1, 2, dtype=torch.bool), section, WITH_BACKGROUND)
    assert mask.tolist() == [[[0, 0, 1, 2]]]
    # Thresholds 2 and 4, the background is 1 everywhere: 2/3 on the peaks, 1/2 at a threshold.
    torch.testing.assert_close(confidence, torch.tensor([[[2 / 3, 1 / 2, 1.0, 2 / 3]]]))


def test_confidence_is_the_winners_share_and_low_confidence_is_ignored():
    maps = rows([3, 1], [1, 1], [0, 0])
    section = PseudoMasks()
    mask, confidence = assign(maps, torch.tensor([[0.0, 1.0, 2.0]]), ALL, section, PLAIN)
    # Divided by their means: [1.5, 0.5] and [1, 1].
    torch.testing.assert_close(confidence, torch.tensor([[[0.6, 2 / 3]]]))
    assert mask.tolist() == [[[0, 1]]]
    mask, _ = assign(maps, torch.zeros(1, 3), ALL, PseudoMasks(ignore_below=0.65), PLAIN)
    assert mask.tolist() == [[[255, 1]]]


def test_a_confidence_that_is_just_enough_is_kept():
    maps = rows([1.0, 0.2], [1.0, 0.3])  # the shares are exactly 0.5, and 0.6
    active = torch.ones(1, 2, dtype=torch.bool)
    mask, _ = assign(maps, torch.zeros(1, 2), active, PseudoMasks(normalize="none", ignore_below=0.5), PLAIN)
    assert mask.tolist() == [[[1, 1]]]


@pytest.mark.parametrize("how", ["argmax", "paint"])
def test_missing_pixels_are_ignored_and_influence_no_other(how):
    generator = torch.Generator().manual_seed(7)
    maps = torch.rand(1, 3, 6, 6, generator=generator)
    logits = torch.randn(1, 3, generator=generator)
    valid = torch.rand(1, 6, 6, generator=generator) > 0.4
    changed = torch.where(valid[:, None], maps, maps * 1000)
    section = PseudoMasks(assign=how)
    mask, confidence = assign(maps, logits, ALL, section, PLAIN, valid=valid)
    again, _ = assign(changed, logits, ALL, section, PLAIN, valid=valid)
    assert torch.equal(mask, again)
    assert (mask[~valid] == 255).all() and (confidence[~valid] == 0).all() and (mask[valid] != 255).all()
    nothing, _ = assign(maps, logits, ALL, section, PLAIN, valid=torch.zeros_like(valid))
    assert (nothing == 255).all()


def test_types():
    mask, confidence = assign(torch.rand(2, 3, 4, 5), torch.zeros(2, 3), ALL.expand(2, 3), PseudoMasks(), PLAIN)
    assert (mask.dtype, tuple(mask.shape)) == (torch.uint8, (2, 4, 5))
    assert (confidence.dtype, tuple(confidence.shape)) == (torch.float32, (2, 4, 5))


@pytest.mark.parametrize("background", ["threshold", "residual"])
def test_background_needs_a_background_class(background):
    section = PseudoMasks(background=background)
    with pytest.raises(UsageError, match="needs a background class, and this domain has none"):
        assign(torch.rand(1, 3, 2, 2), torch.zeros(1, 3), ALL, section, PLAIN)


def test_maps_that_are_not_finite_are_refused():
    maps = torch.rand(1, 3, 2, 2)
    maps[0, 1, 0, 0] = torch.nan
    with pytest.raises(WsssError, match="not finite"):
        assign(maps, torch.zeros(1, 3), ALL, PseudoMasks(), PLAIN)


def test_predicted_classes_and_the_best_one_if_none():
    logits = torch.tensor([[0.0, -0.1, 2.0], [-3.0, -1.0, -2.0]])
    assert active_classes(logits, None, "predicted").tolist() == [[True, False, True], [False, True, False]]
    assert active_classes(logits, None, "predicted", allow_none=True)[1].tolist() == [False] * 3


def test_given_labels_are_taken_as_they_are():
    logits = torch.tensor([[9.0, -9.0, -9.0]])
    assert active_classes(logits, torch.tensor([[0, 1, 1]]), "labels").tolist() == [[False, True, True]]
    with pytest.raises(UsageError, match="needs image-level labels"):
        active_classes(logits, None, "labels")


def test_classes_that_no_image_has_shift_no_mask_value():
    active = torch.tensor([[False, False, True]])
    for how in ("argmax", "paint"):
        mask, _ = assign(torch.rand(1, 3, 4, 4), torch.zeros(1, 3), active, PseudoMasks(assign=how), PLAIN)
        assert (mask == 2).all()


@pytest.mark.parametrize("section", [paint("majority"), PseudoMasks(), PseudoMasks(background="threshold")])
def test_maps_of_the_used_tokens_give_the_same_masks(section):
    generator = torch.Generator().manual_seed(1)
    classes = ClassTable(tuple(map(str, range(40))), (GREY,) * 40, background=7)
    maps, logits = torch.rand(3, 39, 6, 5, generator=generator), torch.randn(3, 39, generator=generator)
    active = torch.rand(3, 39, generator=generator) > 0.93
    tokens = used_tokens(active)
    assert 0 < len(tokens) < 20
    whole = assign(maps, logits, active, section, classes)
    some = assign(maps[:, tokens], logits[:, tokens], active[:, tokens], section, classes, tokens=tokens)
    assert torch.equal(some[0], whole[0])
    assert torch.equal(some[1], whole[1])
    assert used_tokens(torch.zeros(2, 3, dtype=torch.bool)).tolist() == [0]


def test_a_class_is_not_favoured_because_few_windows_show_it():
    # Class 0 is everywhere; class 1 is seen in the left half, where it is weaker, but its mean over the image is lower.
    maps = rows([1.2, 1.2, 1, 1], [1.1, 1, 0, 0], [0] * 4)
    active = torch.tensor([[True, True, False]])
    whole, _ = assign(maps, torch.zeros(1, 3), active, PseudoMasks(), PLAIN)
    assert whole.tolist() == [[[1, 1, 0, 0]]]
    coverage = torch.tensor([[1.0, 0.5, 1.0]])
    mask, confidence = assign(maps, torch.zeros(1, 3), active, PseudoMasks(), PLAIN, coverage=coverage)
    assert mask.tolist() == [[[0, 0, 0, 0]]]
    relative = torch.tensor([1.2 / 1.1, 1.1 / 1.05])
    torch.testing.assert_close(confidence[0, 0, 0], relative[0] / relative.sum())


@pytest.mark.parametrize(("fill", "middle"), [("majority", 1), ("nearest", 0)])
def test_open_pixels_are_filled_as_the_recipe_says(fill, middle):
    first = torch.tensor([[0.0, 1, 0], [1, 0, 0], [0, 0, 0]])
    corners = torch.tensor([[1.0, 0, 1], [0, 0, 0], [1, 0, 1]])
    maps, active = torch.stack((first, corners))[None], torch.ones(1, 2, dtype=torch.bool)
    mask, _ = assign(maps, torch.zeros(1, 2), active, paint(fill), PLAIN)
    assert mask[0, 1, 1] == middle


def test_missing_pixels_do_not_spread_the_class_that_claims_them():
    maps = rows([1.0, 0, 0, 0, 0, 0, 0, 0], [0.0, 0, 0, 1, 0, 0, 0, 1])
    valid = torch.tensor([[[True] * 3 + [False] + [True] * 4]])
    mask, _ = assign(maps, torch.zeros(1, 2), ALL[:, :2], paint("nearest"), PLAIN, valid=valid)
    assert mask[0, 0, :4].tolist() == [0, 0, 0, 255]
