"""Images seen by sliding windows."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from fake_classifier import FakeClassifier

from wsss_toolkit.images.windows import WindowGrid
from wsss_toolkit.pseudo_masks.class_maps import chosen_maps, class_maps
from wsss_toolkit.pseudo_masks.similarity import pixel_adaptive
from wsss_toolkit.pseudo_masks.views import Layout, View, blending_weights, open_views
from wsss_toolkit.recipe.schema import PseudoMasks

REFINED = {"affinity": {"iterations": 2}, "pixel_adaptive": {"iterations": 1}}
EVERYTHING = {"refine": REFINED, "flips": True}


def patch_means():
    """One block; logits are the largest value of a channel, minus one half."""
    return FakeClassifier(offset=-0.5)


def noise(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    "source", [{"kind": "attention", "layers": 2}, {"kind": "patch_scores"}, {"kind": "fused", "layers": 2}]
)
def test_one_window_as_large_as_the_image_changes_nothing(model, source):
    images, valid = noise(2, 3, 32, 32), torch.ones(2, 32, 32, dtype=torch.bool)
    valid[0, :12] = False
    section = PseudoMasks(**EVERYTHING, source=source)
    whole = class_maps(model, images, section, valid=valid)
    for window in ("auto", 32):
        windowed = class_maps(model, images, section.model_copy(update={"window": window}), valid=valid)
        assert all(torch.equal(*pair) for pair in zip(whole, windowed, strict=True))


def test_windows_over_a_repeated_texture_give_repeated_maps(model):
    tile = noise(1, 3, 32, 32)
    section = PseudoMasks(source={"kind": "fused", "layers": "last"})
    alone, logits = class_maps(model, tile, section)
    beside = section.model_copy(update={"window": "auto", "window_overlap": 0.0})
    maps, image_level = class_maps(model, tile.tile(1, 1, 2, 3), beside)
    torch.testing.assert_close(maps, alone.tile(1, 1, 2, 3), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(image_level, logits, rtol=1e-4, atol=1e-5)

    # A period of half a window: every window of an overlap of one half sees the same, and so do overlapping pixels.
    half = noise(1, 3, 16, 16, seed=1)
    maps, _ = class_maps(model, half.tile(1, 1, 4, 6), section.model_copy(update={"window": "auto"}))
    inside = maps[..., 16:-16, 16:-16]
    torch.testing.assert_close(inside, inside[..., :16, :16].tile(1, 1, 2, 4), rtol=1e-4, atol=1e-5)
    assert inside.std(dim=(2, 3)).max() > 1e-3, "flat maps would repeat whatever the windows did"


def test_maps_have_no_seams_where_windows_overlap():
    # Attention is relative to the window: a bright pixel lowers the map elsewhere in its windows. What differs between
    # columns to the left of its patch comes from the windows alone.
    images = torch.ones(1, 2, 24, 40)
    images[..., 10, 26] = 6000
    steps = {}
    for overlap in (0.0, 0.5):
        maps, _ = class_maps(patch_means(), images, PseudoMasks(window=16, window_overlap=overlap))
        flat = maps[..., :22]
        steps[overlap] = float(flat.diff(dim=-1).abs().amax() / flat.amax())
    assert steps[0.0] > 0.8, "without blending the seam shows"
    # A Hann window of 16 pixels rises by at most pi / 16 from one pixel to the next.
    assert steps[0.5] < torch.pi / 16


def test_maps_of_windows_are_blended_by_hann_weights_and_probabilities():
    images = noise(1, 2, 8, 12)
    maps, logits = class_maps(patch_means(), images, PseudoMasks(window=8))
    assert WindowGrid(8, 12, 8, 0.5).columns == (0, 4)
    parts, found = [], []
    for column in (0, 4):
        pooled = F.avg_pool2d(images[..., column : column + 8], 4)
        attention = 4 * pooled / pooled.sum(dim=(2, 3), keepdim=True)  # in multiples of uniform attention
        parts.append(F.interpolate(attention, (8, 8), mode="bilinear"))
        found.append(pooled.amax(dim=(2, 3)) - 0.5)
    probability = torch.stack(found).sigmoid()
    left, right = (probability / probability.amax(dim=0))[..., None, None]
    hann = torch.sin(torch.pi * (torch.arange(8) + 0.5) / 8) ** 2
    between = hann[4:] * left * parts[0][..., 4:] + hann[:4] * right * parts[1][..., :4]  # the weights add up to 1
    expected = torch.cat((left * parts[0][..., :4], between, right * parts[1][..., 4:]), dim=-1)
    torch.testing.assert_close(maps, expected)
    torch.testing.assert_close(logits, torch.maximum(*found))


@pytest.mark.parametrize("size", [(70, 150), (33, 32), (20, 150), (5, 9)])
def test_any_size_and_aspect_gives_maps_of_that_size(model, size):
    source = {"kind": "attention", "layers": 2}
    section = PseudoMasks(**EVERYTHING, source=source, scales=(0.5, 1.0, 1.3), window="auto")
    maps, logits = class_maps(model, noise(2, 3, *size), section)
    assert maps.shape == (2, 3, *size) and logits.shape == (2, 3)
    assert maps.isfinite().all() and (maps >= 0).all() and maps.amax(dim=(2, 3)).min() > 0


def test_every_window_has_the_training_size_at_every_scale_and_batches_are_bounded():
    model = patch_means()
    section = PseudoMasks(window="auto", scales=(0.5, 1.0, 2.0), flips=True)
    chosen_maps(model, noise(2, 2, 11, 21), section, batch_size=3)
    shapes = [seen.shape for seen in model.seen]
    assert {shape[1:] for shape in shapes} == {(2, 8, 8)} and max(shape[0] for shape in shapes) == 3
    # 6 x 10, 11 x 21 and 22 x 42 pixels: 1 x 2, 2 x 5 and 5 x 10 windows, of two images, twice.
    assert sum(shape[0] for shape in shapes) == 2 * 2 * (2 + 10 + 50)


def test_padding_of_small_images_is_not_attended_to():
    model = patch_means()
    images = torch.ones(1, 2, 4, 8)
    maps, _ = class_maps(model, images, PseudoMasks(window="auto"))
    [seen] = model.seen
    valid = seen.valid
    assert seen.shape == (1, 2, 8, 8) and valid[0, :4].all() and not valid[0, 4:].any()
    # Two of four patches can be attended to, each gets one half: uniform attention is 1, whatever the padding.
    torch.testing.assert_close(maps[..., :2, :], torch.ones(1, 2, 2, 8))


def test_coverage_is_the_share_of_the_image_in_whose_windows_a_class_is_seen():
    # Two windows side by side; class 0 is as probable in both, class 1 twice as probable in the left one.
    images = torch.full((2, 2, 8, 16), 0.5)
    images[:, 1, :, :8] = 0.5 + torch.tensor(0.8).logit()
    images[:, 1, :, 8:] = 0.5 + torch.tensor(0.4).logit()
    valid = torch.ones(2, 8, 16, dtype=torch.bool)
    valid[1, 4:, 8:] = False
    section = PseudoMasks(window=8, window_overlap=0.0)
    found = chosen_maps(patch_means(), images, section, valid=valid)
    torch.testing.assert_close(found.coverage, torch.tensor([[1, (1 + 0.5) / 2], [1, (2 + 0.5) / 3]]))
    assert chosen_maps(patch_means(), images, PseudoMasks(), valid=valid).coverage is None


def test_windows_without_data_are_not_shown_and_partly_empty_ones_count_alike():
    model = patch_means()
    images, valid = torch.ones(2, 2, 8, 24), torch.ones(2, 8, 24, dtype=torch.bool)
    valid[0, :, 4:] = False
    valid[1] = False
    maps, logits = class_maps(model, images, PseudoMasks(window=8, window_overlap=0.0), valid=valid)
    # One window of the first image holds data; the second image holds none at all and is shown nevertheless.
    assert sum(seen.shape[0] for seen in model.seen) == 1 + 3
    torch.testing.assert_close(maps[0, :, :, :2], torch.ones(2, 8, 2))
    assert logits[0].tolist() == [0.5, 0.5]


def test_mirrored_windows_of_a_symmetric_grid_give_the_same_maps():
    images = noise(1, 2, 16, 24)
    plain = class_maps(patch_means(), images, PseudoMasks(window=8))
    torch.testing.assert_close(plain, class_maps(patch_means(), images, PseudoMasks(window=8, flips=True)))


def test_the_whole_image_is_refined_after_blending():
    images = noise(1, 2, 20, 36)
    blended, _ = class_maps(patch_means(), images, PseudoMasks(window=8))
    section = PseudoMasks(window=8, refine={"pixel_adaptive": {"iterations": 2}})
    refined, _ = class_maps(patch_means(), images, section)
    torch.testing.assert_close(refined, pixel_adaptive(blended, images, iterations=2))


def test_layouts():
    section = PseudoMasks(scales=(1.0, 0.5), flips=True)
    whole = [view.layout for view in open_views(noise(1, 1, 10, 23), None, section, patch=4, side=None)]
    assert [(layout.size, layout.window, layout.mirrored) for layout in whole] == [
        ((10, 23), (12, 24), False),
        ((10, 23), (12, 24), True),
        ((4, 12), (4, 12), False),
        ((4, 12), (4, 12), True),
    ]
    first, mirrored, *_ = open_views(noise(1, 1, 10, 23), None, section, patch=4, side=8)
    assert first.layout.places == tuple((row, column) for row in (0, 2) for column in (0, 4, 8, 12, 15))
    assert mirrored.layout == replace(first.layout, mirrored=True)
    assert torch.equal(mirrored.images, first.images.flip(-1))


def test_a_window_answers_for_pixels_as_far_as_it_counts_there():
    layout = Layout(1.0, False, (8, 12), WindowGrid(8, 12, 8, 0.5))
    valid = torch.zeros(1, 8, 12, dtype=torch.bool)
    valid[..., 4:6] = True  # the middle of the first window, the left border of the second
    areas = View(layout, torch.zeros(1, 1, 8, 12), valid).areas()
    pairs = zip(blending_weights(layout, torch.device("cpu")), (4, 0), strict=True)
    expected = [weight[:, column : column + 2].mean() for weight, column in pairs]
    torch.testing.assert_close(areas[:, 0], torch.stack(expected))
    assert areas[0, 0] > 0.8


def test_missing_pixels_are_missing_at_every_scale():
    valid = torch.ones(1, 16, 16, dtype=torch.bool)
    valid[..., :8] = False
    small, whole = open_views(noise(1, 2, 16, 16), valid, PseudoMasks(scales=(0.5, 1.0)), patch=4, side=None)
    assert small.valid[0, 0].tolist() == [False] * 4 + [True] * 4
    assert torch.equal(whole.valid, valid)
