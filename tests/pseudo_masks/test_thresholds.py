import numpy as np
import pytest
import torch

from wsss_toolkit.pseudo_masks.thresholds import thresholds
from wsss_toolkit.recipe.schema import Threshold

VALID = torch.ones(1, 1, 4, dtype=torch.bool)


def level(values: list[float], section: Threshold, valid: torch.Tensor = VALID) -> float:
    found, uneven = thresholds(torch.tensor(values).view(1, 1, 1, -1), valid, section)
    assert uneven.all()
    return found.item()


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        (Threshold(method="mean"), 4.0),
        (Threshold(method="quantile", value=0.5), 2.5),
        (Threshold(method="quantile", value=0.0), 1.0),
        (Threshold(method="quantile", value=1.0), 10.0),
        (Threshold(method="fixed", value=0.5), 5.5),
        (Threshold(method="fixed", value=1.0), 10.0),
    ],
)
def test_closed_forms(section, expected):
    assert level([1.0, 2.0, 3.0, 10.0], section) == pytest.approx(expected, abs=1e-6)


def test_missing_pixels_count_for_nothing():
    valid = torch.tensor([[[True, True, True, False]]])
    assert level([1.0, 2.0, 6.0, 100.0], Threshold(method="mean"), valid) == pytest.approx(3.0)
    assert level([1.0, 2.0, 6.0, -100.0], Threshold(method="quantile", value=0.5), valid) == 2.0
    assert level([0.0, 2.0, 6.0, -100.0], Threshold(method="fixed", value=0.5), valid) == pytest.approx(3.0)


def naive_otsu(values: np.ndarray) -> float:
    best, found = -1.0, 0.0
    for cut in np.unique(values)[1:]:
        low, high = values[values < cut], values[values >= cut]
        between = len(low) * len(high) * (high.mean() - low.mean()) ** 2
        if between > best:
            best, found = between, cut
    return found


def test_otsu_separates_two_groups_like_an_exhaustive_search():
    generator = np.random.default_rng(1)
    maps = np.stack(
        [
            np.concatenate([generator.normal(1, 0.3, share), generator.normal(4, 0.5, 400 - share)])
            for share in (100, 200, 350)
        ]
    ).astype(np.float32)
    found, _ = thresholds(
        torch.from_numpy(maps).view(1, 3, 20, 20),
        torch.ones(1, 20, 20, dtype=torch.bool),
        Threshold(method="otsu"),
    )
    for values, threshold in zip(maps, found[0].tolist(), strict=True):
        # The histogram has 256 bins: at most a bin's pixels may fall on the other side.
        assert ((values >= threshold) != (values >= naive_otsu(values))).sum() <= 2


def test_otsu_cuts_an_empty_stretch_in_the_middle():
    assert level([0.0, 0.0, 0.0, 1.0], Threshold(method="otsu")) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("method", ["mean", "otsu"])
def test_flat_maps_have_no_threshold(method):
    maps = torch.tensor([0.1, 0.0, 7.0]).view(1, 3, 1, 1).expand(1, 3, 6, 6)
    found, uneven = thresholds(maps, torch.ones(1, 6, 6, dtype=torch.bool), Threshold(method=method))
    assert not uneven.any() and found.isfinite().all()


def test_an_image_without_valid_pixels_has_no_threshold():
    _, uneven = thresholds(torch.rand(1, 2, 3, 3), torch.zeros(1, 3, 3, dtype=torch.bool), Threshold())
    assert not uneven.any()


def test_the_mean_is_taken_over_the_share_of_the_image_that_shows_the_class():
    maps = torch.tensor([0.5, 0.0, 3.0, 0.5]).view(1, 1, 1, 4)
    for section, expected in ((Threshold(), 2.0), (Threshold(method="fixed", value=0.5), 1.5)):
        for valid in (VALID, None):
            found, _ = thresholds(maps, valid, section, torch.tensor([[0.5]]))
            torch.testing.assert_close(found, torch.tensor([[expected]]))
    # Never above the largest value: something is claimed.
    found, _ = thresholds(maps, VALID, Threshold(), torch.tensor([[0.1]]))
    assert found.tolist() == [[3.0]]


def test_otsu_is_as_exact_as_a_256th():
    maps = torch.tensor([0.0] + 10 * [0.26] + 10 * [1.0]).view(1, 1, 1, 21)
    level, _ = thresholds(maps, None, Threshold(method="otsu"))
    # 0.26 lies in bin 66 and 1 in the last, and every edge between them is as good: 67 / 256 to 255 / 256.
    assert float(level) == pytest.approx((67 + 255) / 2 / 256, abs=1e-4)
