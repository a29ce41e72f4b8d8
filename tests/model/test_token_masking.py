import pytest
import torch

from wsss_toolkit.model.token_masking import absent_tokens


def generator(seed):
    return torch.Generator().manual_seed(seed)


def test_present_classes_keep_their_tokens_and_absent_ones_lose_them_at_the_rate():
    labels = (torch.rand(400, 50, generator=generator(1)) < 0.3).float()
    masked = absent_tokens(labels, 0.5, generator(2))
    assert masked.dtype == torch.bool
    assert not masked[labels > 0].any()
    assert masked[labels == 0].float().mean().item() == pytest.approx(0.5, abs=0.015)


def test_extreme_rates():
    state = (numbers := generator(1)).get_state()
    assert absent_tokens(torch.zeros(8, 5), 0.0, numbers) is None
    assert state.equal(numbers.get_state()), "nothing is drawn"
    assert absent_tokens(torch.zeros(8, 5), 1.0, None).all()


def test_same_generator_state_masks_the_same_tokens():
    labels = torch.zeros(16, 9)
    first, again, other = (absent_tokens(labels, 0.5, generator(seed)) for seed in (7, 7, 8))
    assert first.equal(again)
    assert not first.equal(other)
