import pytest
import torch
from small_model import parts

from wsss_toolkit.heads.head import Shape
from wsss_toolkit.objective.losses import classification_loss, diversity_loss
from wsss_toolkit.objective.objective import Objective


def test_exclusive_labels_use_cross_entropy_and_others_binary():
    logits = torch.tensor([[2.0, -1.0, 0.5]])
    labels = torch.tensor([[1.0, 0.0, 0.0]])
    exclusive = classification_loss(logits, labels, exclusive=True)
    assert float(exclusive) == pytest.approx(-float(logits.log_softmax(1)[0, 0]))
    binary = classification_loss(logits, labels, exclusive=False)
    by_hand = (
        -(logits[0, 0].sigmoid().log() + (1 - logits[0, 1].sigmoid()).log() + (1 - logits[0, 2].sigmoid()).log()) / 3
    )
    assert float(binary) == pytest.approx(float(by_hand))


def test_diversity_is_zero_for_disjoint_maps_and_known_for_equal_ones():
    disjoint = torch.eye(4).reshape(1, 4, 2, 2)
    assert float(diversity_loss(disjoint)) == pytest.approx(0.0, abs=1e-6)
    equal = torch.ones(1, 3, 2, 2)
    assert float(diversity_loss(equal)) == pytest.approx(6**0.5, rel=1e-5)


def test_an_objective_says_which_blocks_its_terms_read():
    shape = Shape(classes=4, tokens=4, dim=8, depth=3)
    plain = Objective(parts("terms", {"presence": {}, "open_gates": {}}), shape, 1)
    assert (list(plain.attention), list(plain.blocks), list(plain.parameters())) == ([], [], [])
    assert list(Objective(parts("terms", {"map_diversity": {}}), shape, 1).attention) == [2]
