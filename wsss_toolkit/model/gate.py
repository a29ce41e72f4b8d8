"""Hard Concrete gates: one scalar per attention head that training can drive to exactly zero.

Source: Louizos, Welling & Kingma, "Learning Sparse Neural Networks through L0 Regularization", ICLR 2018.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

BETA = 0.33
GAMMA = -0.1
ZETA = 1.1
EPSILON = 1e-6


class HardConcreteGate(nn.Module):
    """One gate ``g`` in 0..1 per head: random while training, fixed in evaluation.

    With ``u ~ U(eps, 1 - eps)``::

        training    s = sigmoid((log u - log(1 - u) + log_alpha) / beta)
        evaluation  s = sigmoid(log_alpha)
        both        g = clamp(s (zeta - gamma) + gamma, 0, 1)

    The random numbers come from PyTorch's global generator of the gate's device.

    Args:
        heads: Number of gates.
        log_alpha: Initial location; 2 is almost open, 0 undecided, -3 closed in evaluation.
    """

    def __init__(self, heads: int, log_alpha: float = 2.0) -> None:
        super().__init__()
        self.log_alpha = nn.Parameter(torch.full((heads,), log_alpha))

    def forward(self) -> Tensor:
        """Return the gates `h`: a sample in training mode, the evaluation gates otherwise."""
        if not self.training:
            return self.evaluation()
        uniform = torch.rand_like(self.log_alpha) * (1 - 2 * EPSILON) + EPSILON
        return _stretch(torch.sigmoid((torch.logit(uniform) + self.log_alpha) / BETA))

    def evaluation(self) -> Tensor:
        """Return the gates `h` as they are in evaluation."""
        return _stretch(torch.sigmoid(self.log_alpha))

    def probability_open(self) -> Tensor:
        """Return P(g != 0) of each gate `h`: ``sigmoid(log_alpha - beta log(-gamma / zeta))``."""
        return torch.sigmoid(self.log_alpha - BETA * math.log(-GAMMA / ZETA))


class FixedGates(nn.Module):
    """The multipliers of the heads that pruning left over.

    Args:
        values: Gates `k` of the remaining heads.
        total: Number of heads before pruning.
        heads: Which heads these were before pruning; None where a model was saved without saying so.
    """

    values: Tensor

    def __init__(self, values: Tensor, total: int, heads: Sequence[int] | None = None) -> None:
        super().__init__()
        self.register_buffer("values", values)
        self.total = total
        self.heads = None if heads is None else tuple(heads)

    def forward(self) -> Tensor:
        """Return the gates `k`."""
        return self.values


def expected_open_gates(model: nn.Module) -> Tensor:
    """Return the L0 penalty ``sum_i P(g_i != 0)`` of all gates of a model: a scalar, differentiable.

    A model without trainable gates gives 0.
    """
    terms = [module.probability_open().sum() for module in model.modules() if isinstance(module, HardConcreteGate)]
    if terms:
        return torch.stack(terms).sum()
    return torch.zeros((), device=next(model.parameters()).device)


@torch.no_grad()
def open_gates(model: nn.Module) -> tuple[int, int]:
    """Return how many gates are above 0 in evaluation, and how many there are or were before pruning."""
    opened = total = 0
    for module in model.modules():
        if isinstance(module, HardConcreteGate):
            opened += int((module.evaluation() > 0).sum())
            total += module.log_alpha.numel()
        elif isinstance(module, FixedGates):
            opened += module.values.numel()
            total += module.total
    return opened, total


def _stretch(concrete: Tensor) -> Tensor:
    return (concrete * (ZETA - GAMMA) + GAMMA).clamp(0, 1)
