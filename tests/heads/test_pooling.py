import math

import pytest
import torch

from wsss_toolkit.heads.patch_head import pool_visible

SCORES = torch.tensor([[[1.0, -2.0], [3.0, 0.0], [5.0, 2.0], [99.0, 99.0]]])
THREE = torch.tensor([[True, True, True, False]])


def test_without_sharpness_the_mean_of_visible_patches():
    assert pool_visible(SCORES, THREE).tolist() == [[3.0, 0.0]]
    assert pool_visible(SCORES[:, :3], None).tolist() == [[3.0, 0.0]]


def test_sharpness_is_the_logarithm_of_a_mean_of_exponentials():
    by_hand = math.log((math.exp(2 * 1) + math.exp(2 * 3) + math.exp(2 * 5)) / 3) / 2
    pooled = pool_visible(SCORES, THREE, 2.0)
    assert float(pooled[0, 0]) == pytest.approx(by_hand, rel=1e-6)
    torch.testing.assert_close(pool_visible(SCORES[:, :3], None, 2.0), pooled)


def test_sharpness_leads_from_the_mean_to_the_maximum():
    means = [float(pool_visible(SCORES, THREE, r)[0, 0]) for r in (0.001, 1.0, 4.0, 400.0)]
    assert means == sorted(means)
    assert means[0] == pytest.approx(3.0, abs=0.01)
    assert means[-1] == pytest.approx(5.0, abs=0.01)


@pytest.mark.parametrize("sharpness", [0.0, 1.0])
def test_an_image_without_a_visible_patch_has_scores_of_zero_and_finite_gradients(sharpness):
    scores = SCORES.expand(2, -1, -1).clone().requires_grad_()
    pooled = pool_visible(scores, torch.stack([THREE[0], ~THREE[0] & THREE[0]]), sharpness)
    assert pooled[1].tolist() == [0.0, 0.0]
    pooled.sum().backward()
    assert torch.isfinite(scores.grad).all()
    assert float(scores.grad[0, 3].abs().sum()) == 0.0


def test_half_precision_does_not_overflow():
    pooled = pool_visible(torch.full((1, 4, 1), 30.0, dtype=torch.float16), None, 2.0)
    assert pooled.dtype == torch.float16
    assert float(pooled) == pytest.approx(30.0)
