import math

import pytest
import torch
from torch import nn

from wsss_toolkit.model.gate import FixedGates, HardConcreteGate, expected_open_gates, open_gates


def gate_of(*log_alpha):
    gate = HardConcreteGate(len(log_alpha))
    gate.log_alpha.data = torch.tensor(log_alpha)
    return gate


@pytest.mark.parametrize(("log_alpha", "expected"), [(0.0, 0.5), (2.0, 0.9569564), (-3.0, 0.0), (5.0, 1.0)])
def test_evaluation_gate_is_the_stretched_sigmoid(log_alpha, expected):
    gate = gate_of(log_alpha).eval()
    by_hand = min(1.0, max(0.0, 1 / (1 + math.exp(-log_alpha)) * 1.2 - 0.1))
    assert gate().item() == pytest.approx(by_hand, abs=1e-6) == pytest.approx(expected, abs=1e-6)


def test_training_gate_is_the_formula_applied_to_uniform_noise():
    gate = gate_of(0.3, -0.7, 1.5).train()
    torch.manual_seed(5)
    sampled = gate()
    torch.manual_seed(5)
    uniform = torch.rand(3) * (1 - 2e-6) + 1e-6
    log_alpha = gate.log_alpha.detach()
    concrete = torch.sigmoid((uniform.log() - (1 - uniform).log() + log_alpha) / 0.33)
    torch.testing.assert_close(sampled, (concrete * 1.2 - 0.1).clamp(0, 1), atol=1e-6, rtol=1e-5)


def test_probability_open_is_the_share_of_samples_above_zero():
    locations = torch.tensor([-2.0, -0.5, 0.0, 1.0])
    gate = gate_of(*locations.repeat_interleave(100_000).tolist()).train()
    share = (gate() > 0).float().view(4, -1).mean(1)
    closed_form = torch.sigmoid(locations - 0.33 * math.log(0.1 / 1.1))
    torch.testing.assert_close(share, closed_form, atol=0.006, rtol=0)
    torch.testing.assert_close(gate.probability_open().view(4, -1)[:, 0], closed_form)


def test_l0_sums_all_gates_and_its_gradient_closes_them():
    model = nn.ModuleList([gate_of(0.0, 1.0), gate_of(-4.0)])
    penalty = expected_open_gates(model)
    expected = sum(1 / (1 + math.exp(-(a + 0.33 * math.log(11)))) for a in (0.0, 1.0, -4.0))
    assert penalty.item() == pytest.approx(expected, abs=1e-6)
    penalty.backward()
    assert all((gate.log_alpha.grad > 0).all() for gate in model)


def test_open_gates_counts_evaluation_gates_and_what_pruning_left():
    model = nn.ModuleList([gate_of(2.0, -3.0, 0.0), FixedGates(torch.tensor([0.5]), total=6)]).train()
    assert open_gates(model) == (3, 9)


def test_model_without_gates_has_no_penalty():
    assert expected_open_gates(nn.Linear(2, 2)).item() == 0
    assert open_gates(nn.Linear(2, 2)) == (0, 0)
