import numpy as np
import pytest
import torch

from wsss_toolkit.pseudo_masks.fill import OPEN, fill_majority, fill_nearest

_ = OPEN


def test_majority_takes_the_most_common_neighbour():
    labels = torch.tensor([[[0, 0, 1], [1, _, 1], [2, 2, 1]]])
    assert fill_majority(labels)[0, 1, 1] == 1


def test_majority_breaks_ties_by_the_lower_class():
    labels = torch.tensor([[[2, 2, 2], [2, _, 1], [1, 1, 1]]])
    assert fill_majority(labels)[0, 1, 1] == 1


def test_majority_goes_ring_by_ring_from_the_state_before():
    # One pixel at a time from the left would carry 3 over to the 5.
    labels = torch.tensor([[[3, _, _, _, _, 5]]])
    assert fill_majority(labels).tolist() == [[[3, 3, 3, 5, 5, 5]]]


def test_majority_counts_diagonal_neighbours_and_not_the_border():
    labels = torch.tensor([[[_, 7], [7, 4]]])
    assert fill_majority(labels).tolist() == [[[7, 7], [7, 4]]]


def test_majority_keeps_images_apart_and_ends_without_any_label():
    labels = torch.full((3, 4, 5), _)
    labels[1, 0, 0] = 6
    filled = fill_majority(labels)
    assert (filled[0] == _).all() and (filled[1] == 6).all() and (filled[2] == _).all()


def naive_majority(labels: np.ndarray) -> np.ndarray:
    while (labels == _).any():
        before = labels.copy()
        for row, column in np.argwhere(before == _):
            window = before[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2]
            values = window[window != _]
            if values.size:
                labels[row, column] = np.bincount(values).argmax()
        if (labels == before).all():
            break
    return labels


def test_majority_equals_a_naive_loop_on_random_images():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 4, (3, 9, 13))
    labels[generator.random(labels.shape) < 0.8] = _
    expected = np.stack([naive_majority(image.copy()) for image in labels])
    source = torch.from_numpy(labels)
    np.testing.assert_array_equal(fill_majority(source).numpy(), expected)
    assert (source.numpy() == labels).all(), "the input was changed"


@pytest.mark.parametrize("values", [[7], [0, 3], range(1, 21, 2), range(30)])
def test_majority_counts_any_number_of_classes(values):
    generator = np.random.default_rng(1)
    labels = generator.choice(list(values), (21, 19))
    labels[generator.random(labels.shape) < 0.7] = _
    expected = naive_majority(labels.copy())
    np.testing.assert_array_equal(fill_majority(torch.from_numpy(labels)[None])[0].numpy(), expected)


def test_nearest_takes_the_euclidean_nearest_pixel():
    labels = torch.full((2, 5, 5), _)
    labels[0, 0, 0], labels[0, 4, 1] = 1, 2
    filled = fill_nearest(labels)
    assert filled[0, 1, 4] == 1  # sqrt(17) pixels away, 2 is sqrt(18)
    assert filled[0, 0, 4] == 1 and filled[0, 4, 4] == 2
    assert (filled[1] == _).all()
