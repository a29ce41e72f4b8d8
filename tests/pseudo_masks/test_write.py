import torch

from wsss_toolkit.pseudo_masks.write import softmax_log_odds


def test_the_sigmoid_of_softmax_log_odds_is_the_softmax():
    logits = torch.randn(5, 4, dtype=torch.float64) * 3
    torch.testing.assert_close(softmax_log_odds(logits).sigmoid(), logits.softmax(dim=1))


def test_a_certain_class_stays_finite_and_first():
    found = softmax_log_odds(torch.tensor([[80.0, 0.0, -80.0]]))
    assert bool(torch.isfinite(found).all())
    assert found.argsort(descending=True).tolist() == [[0, 1, 2]]
    assert (found >= 0).tolist() == [[True, False, False]]
