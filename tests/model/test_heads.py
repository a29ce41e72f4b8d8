import pytest
import torch
from wsss_toolkit.model.heads import MeanHead, build_head


def test_the_mean_head_pools_each_token_over_its_channels():
    head = build_head("mean", 3, 3, 4)
    assert isinstance(head, MeanHead) and not list(head.parameters())
    tokens = torch.tensor([[[1.0, 2.0, 3.0, 6.0], [0.0, 0.0, 0.0, -4.0], [5.0, 5.0, 5.0, 5.0]]])
    torch.testing.assert_close(head(tokens), torch.tensor([[3.0, -1.0, 5.0]]))
    torch.testing.assert_close(head(tokens[:, [2, 0]], (2, 0)), torch.tensor([[5.0, 3.0]]))


def test_a_masked_token_has_logit_zero():
    tokens = torch.ones(2, 2, 4)
    tokens[0, 1] = 0
    assert build_head("mean", 2, 2, 4)(tokens)[0].tolist() == [1.0, 0.0]


@pytest.mark.parametrize("kind", ["per_token", "concat", "mean"])
def test_every_head_gives_one_logit_per_class(kind):
    assert build_head(kind, 3, 3, 4)(torch.randn(2, 3, 4)).shape == (2, 3)
