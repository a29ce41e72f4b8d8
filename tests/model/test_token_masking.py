import pytest
import torch

from wsss_toolkit.model.token_masking import mask_absent_tokens


def test_present_classes_keep_their_tokens_and_absent_ones_lose_them_at_the_rate():
    labels = (torch.rand(400, 50, generator=torch.Generator().manual_seed(1)) < 0.3).float()
    masked = mask_absent_tokens(torch.ones(400, 50, 3), labels, 0.5, torch.Generator().manual_seed(2))
    dropped = (masked == 0).all(-1)
    assert ((masked == 0).any(-1) == dropped).all()
    assert not dropped[labels > 0].any()
    assert dropped[labels == 0].float().mean().item() == pytest.approx(0.5, abs=0.015)


@pytest.mark.parametrize(("rate", "share"), [(0.0, 0.0), (1.0, 1.0)])
def test_extreme_rates(rate, share):
    masked = mask_absent_tokens(torch.ones(8, 5, 2), torch.zeros(8, 5), rate, None)
    assert (masked == 0).float().mean().item() == share


def test_same_generator_state_masks_the_same_tokens():
    tokens, labels = torch.ones(16, 9, 2), torch.zeros(16, 9)
    first = mask_absent_tokens(tokens, labels, 0.5, torch.Generator().manual_seed(7))
    again = mask_absent_tokens(tokens, labels, 0.5, torch.Generator().manual_seed(7))
    other = mask_absent_tokens(tokens, labels, 0.5, torch.Generator().manual_seed(8))
    assert first.equal(again)
    assert not first.equal(other)


def test_labels_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"labels are \(2, 3\)"):
        mask_absent_tokens(torch.ones(2, 4, 5), torch.zeros(2, 3), 0.5, None)
