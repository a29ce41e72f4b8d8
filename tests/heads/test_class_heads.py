import pytest
import torch

from wsss_toolkit.errors import UsageError
from wsss_toolkit.heads.class_heads import ConcatHead, MeanHead, PerTokenHead
from wsss_toolkit.heads.head import Features, Shape
from wsss_toolkit.model.layout import TokenLayout
from wsss_toolkit.model.output import Output

SHAPE = Shape(classes=3, tokens=3, dim=4, depth=2)


def features(tokens, classes=None, masked=None, normed=None):
    """Return class tokens without any patch; `normed` are those after the norm, if they are others."""
    return Features(
        Output(tokens, tokens if normed is None else normed, TokenLayout(tokens.shape[1], (0, 0), 0)), classes, masked
    )


def test_the_mean_head_pools_each_token_over_its_channels():
    head = MeanHead(SHAPE)
    assert not list(head.parameters())
    tokens = torch.tensor([[[1.0, 2.0, 3.0, 6.0], [0.0, 0.0, 0.0, -4.0], [5.0, 5.0, 5.0, 5.0]]])
    normed = torch.full_like(tokens, 9.0)
    assert head(features(tokens, normed=normed)).logits.tolist() == [[3.0, -1.0, 5.0]]
    assert head(features(tokens[:, [2, 0]], (2, 0), normed=normed)).logits.tolist() == [[5.0, 3.0]]


def test_a_masked_token_has_logit_zero_or_its_bias():
    tokens, masked = torch.ones(1, 3, 4), torch.tensor([[False, True, False]])
    assert MeanHead(SHAPE)(features(tokens, masked=masked)).logits.tolist() == [[1.0, 0.0, 1.0]]
    head = PerTokenHead(SHAPE)
    torch.nn.init.constant_(head.bias, 7.0)
    torch.nn.init.ones_(head.weight)
    assert head(features(tokens, masked=masked)).logits.tolist() == [[11.0, 7.0, 11.0]]


def test_a_head_per_token_reads_normed_tokens_each_with_its_own_weights():
    head, tokens = PerTokenHead(SHAPE), torch.randn(2, 3, 4)
    torch.nn.init.normal_(head.bias)
    by_hand = torch.stack([tokens[:, c] @ head.weight[c] + head.bias[c] for c in range(3)], 1)
    before = torch.full_like(tokens, 9.0)
    torch.testing.assert_close(head(features(before, normed=tokens)).logits, by_hand)
    chosen = head(features(before[:, [2, 0]], (2, 0), normed=tokens[:, [2, 0]])).logits
    torch.testing.assert_close(chosen, by_hand[:, [2, 0]])


def test_the_concat_head_reads_every_token_and_refuses_a_selection():
    head, tokens = ConcatHead(SHAPE), torch.randn(2, 3, 4)
    assert head.linear.weight.shape == (3, 12)
    torch.testing.assert_close(head(features(tokens)).logits, head.linear(tokens.reshape(2, 12)))
    assert ConcatHead(Shape(classes=3, tokens=1, dim=4, depth=2)).linear.weight.shape == (3, 4)
    with pytest.raises(UsageError, match="cannot select classes; use per_token"):
        head(features(tokens, (0, 1, 2)))
