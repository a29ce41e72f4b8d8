import torch

from wsss_toolkit.pseudo_masks.image_logits import image_logits, softmax_log_odds, window_shares


def test_the_sigmoid_of_softmax_log_odds_is_the_softmax():
    logits = torch.randn(5, 4, dtype=torch.float64) * 3
    torch.testing.assert_close(softmax_log_odds(logits).sigmoid(), logits.softmax(dim=1))


def test_a_certain_class_stays_finite_and_first():
    found = softmax_log_odds(torch.tensor([[80.0, 0.0, -80.0]]))
    assert bool(torch.isfinite(found).all())
    assert found.argsort(descending=True).tolist() == [[0, 1, 2]]
    assert (found >= 0).tolist() == [[True, False, False]]


def test_a_class_is_in_the_image_when_it_is_in_some_window_and_views_are_averaged():
    windows = torch.tensor([[[3.0, -1.0]], [[-2.0, 0.5]]])
    whole = torch.tensor([[[1.0, -0.5]]])
    assert image_logits([windows, whole], exclusive=False).tolist() == [[2.0, 0.0]]
    unseen = torch.cat((windows, torch.full((1, 1, 2), -torch.inf)))
    assert image_logits([unseen, whole], exclusive=False).tolist() == [[2.0, 0.0]]


def test_with_one_class_per_image_the_softmax_is_taken_within_windows():
    # Each window is sure of another class: both are in the image. The softmax over the image's logits would drop one.
    windows = torch.tensor([[[9.0, 0.0, 0.0]], [[0.0, 7.0, 0.0]]])
    found = image_logits([windows], exclusive=True)
    assert (found >= 0).tolist() == [[True, True, False]]
    assert (softmax_log_odds(windows.amax(dim=0)) >= 0).tolist() == [[True, False, False]]
    one = windows[:1]
    torch.testing.assert_close(image_logits([one, one * 2], exclusive=True), softmax_log_odds(one[0] * 1.5))
    unseen = torch.full_like(one, -torch.inf)
    torch.testing.assert_close(image_logits([torch.cat((one, unseen))], exclusive=True), softmax_log_odds(one[0]))


def test_a_window_counts_by_the_probability_of_the_class_in_it():
    windows = torch.tensor([[[0.0, -40.0]], [[-2.0, -41.0]], [[-torch.inf, -torch.inf]]])
    shares = window_shares(windows, exclusive=False)
    low = torch.tensor(-2.0).sigmoid() / 0.5
    expected = torch.tensor([[[1.0, 1.0]], [[low, torch.tensor(-1.0).exp()]], [[0.0, 0.0]]])
    torch.testing.assert_close(shares, expected)
    assert (window_shares(windows[:1], exclusive=False) == 1).all(), "one window alone counts wholly"
    pair = torch.tensor([[[2.0, 0.0]], [[0.0, 2.0]]])
    softmax = pair.softmax(dim=-1)
    torch.testing.assert_close(window_shares(pair, exclusive=True), softmax / softmax.amax(dim=0))
