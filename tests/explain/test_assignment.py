import numpy as np
import pytest
import torch

from wsss_toolkit.domain import ClassTable
from wsss_toolkit.explain.assignment import score_assignment

THREE = ClassTable(("cat", "dog", "bird"), ((0, 0, 0),) * 3)
POLYP = ClassTable(("mucosa", "polyp"), ((0, 0, 0),) * 2, background=0)
NAN = float("nan")


def halves(left=0, right=1):
    """Ground truth of 4 x 8 pixels: one class on the left, another on the right."""
    truth = np.full((4, 8), left, np.uint8)
    truth[:, 4:] = right
    return truth


def perfect(truth, count=3):
    return torch.stack([torch.from_numpy((truth == value).astype(np.float32)) for value in range(count)])


def test_perfect_maps_give_one_and_their_whole_mass_to_their_class():
    pairs = [(perfect(truth) * 7, truth) for truth in (halves(), halves(1, 2))]
    found = score_assignment(pairs, THREE)
    assert found.images.tolist() == [1, 2, 1] and found.empty.tolist() == [0, 0, 0]
    np.testing.assert_array_equal(found.mass, np.eye(3))
    np.testing.assert_array_equal(found.area, [[0.5, 0.5, 0], [0.25, 0.5, 0.25], [0, 0.5, 0.5]])
    np.testing.assert_array_equal(found.lift, [[2, 0, NAN], [0, 2, 0], [NAN, 0, 2]])
    for rate in (found.among_present, found.among_all, found.on_own):
        assert rate.share.tolist() == [1, 1, 1] and rate.images.tolist() == [1, 2, 1]
    assert found.among_present.chance.tolist() == [0.5, 0.5, 0.5]
    np.testing.assert_allclose(found.among_all.chance, 1 / 3)


@pytest.mark.parametrize("level", [1.0, 0.1, 1e-4])
def test_uniform_maps_give_chance(level):
    random = np.random.default_rng(0)
    truths = [random.integers(0, 3, (9, 7)).astype(np.uint8) for _ in range(4)]
    levels = torch.tensor([1.0, 3.0, 0.7])[:, None, None] * level  # tokens that attend more do not win by that
    found = score_assignment([(levels.expand(3, 9, 7), truth) for truth in truths], THREE)
    np.testing.assert_allclose(found.lift, 1, atol=1e-6)
    np.testing.assert_allclose(found.mass, found.area)
    for rate in (found.among_present, found.among_all, found.on_own):
        np.testing.assert_allclose(rate.share, rate.chance)
    assert found.among_present.mean == pytest.approx(1 / 3) and found.on_own.mean == 0.5


def test_swapped_maps_give_zero():
    found = score_assignment([(perfect(halves())[[1, 0, 2]], halves())], THREE)
    np.testing.assert_array_equal(found.mass[:2], [[0, 1, 0], [1, 0, 0]])
    assert found.among_present.share[:2].tolist() == found.among_all.share[:2].tolist() == [0, 0]
    assert found.on_own.share[:2].tolist() == [0, 0]
    assert np.isnan(found.mass[2]).all() and np.isnan(found.on_own.share[2]), "no image shows the third class"


def test_numbers_by_hand():
    truth = np.array([[0, 0, 0, 1]], np.uint8)
    maps = torch.tensor([[[1.0, 1, 1, 1]], [[2.0, 0, 0, 2]], [[0.0, 0, 0, 9]]])
    found = score_assignment([(maps, truth)], THREE)
    np.testing.assert_allclose(found.mass[:2], [[0.75, 0.25, 0], [0.5, 0.5, 0]])
    np.testing.assert_allclose(found.lift[:2, :2], [[1, 1], [2 / 3, 2]])
    # On cat's pixels: cat 1, dog 2/3, bird 0. On dog's: cat 1, dog 2, bird 4, which no image shows.
    assert found.among_present.share[:2].tolist() == [1, 1]
    assert found.among_all.share[:2].tolist() == [1, 0]
    assert found.on_own.share[:2].tolist() == [0.5, 1]


def test_unknown_pixels_count_for_nothing():
    truth = halves()
    truth[0] = 255
    maps = perfect(halves())
    maps[:, 0] = 1000
    found = score_assignment([(maps, truth), (maps, np.full((4, 8), 255, np.uint8))], THREE)
    assert found.images.tolist() == [1, 1, 0]
    np.testing.assert_array_equal(found.mass[:2], [[1, 0, 0], [0, 1, 0]])


def test_an_image_of_one_class_says_nothing_of_tokens():
    found = score_assignment([(torch.rand(3, 4, 8), np.zeros((4, 8), np.uint8))], THREE)
    assert found.images.tolist() == [1, 0, 0]
    assert found.among_present.images.tolist() == [0, 0, 0] and found.among_present.mean is None
    assert found.on_own.mean is None and found.among_all.images.tolist() == [1, 0, 0]


def test_one_class_before_a_background_is_scored_by_where_its_map_is_high():
    truth = halves()
    inside, outside = torch.from_numpy(truth)[None].float(), 1 - torch.from_numpy(truth)[None].float()
    found = score_assignment([(inside, truth), (outside, truth), (inside + 0.5, truth)], POLYP)
    assert found.on_own.share[0] == pytest.approx(2 / 3) and found.on_own.images[0] == 3
    assert found.among_present.mean is None and found.among_all.mean is None
    np.testing.assert_allclose(found.mass, [[(0 + 1 + 0.25) / 3, (1 + 0 + 0.75) / 3]])


def test_a_map_of_zeros_is_counted_and_weighs_nothing():
    maps = perfect(halves())
    maps[0] = 0
    found = score_assignment([(maps, halves())], THREE)
    assert found.images.tolist() == [0, 1, 0] and found.empty.tolist() == [1, 0, 0]
    assert np.isnan(found.mass[0]).all() and found.among_present.share[0] == 1 / 2 and found.on_own.share[0] == 0.5
