from types import SimpleNamespace

import pytest
import torch
from configurations import first_step
from small_model import parts
from torch import nn

from wsss_toolkit.heads.head import Shape
from wsss_toolkit.model.attention import Attending
from wsss_toolkit.model.layout import TokenLayout
from wsss_toolkit.objective.losses import classification_loss, diversity_loss
from wsss_toolkit.objective.objective import Objective
from wsss_toolkit.objective.term import Term
from wsss_toolkit.recipe.parts import Needs
from wsss_toolkit.training.task import ClassifierTask

STEPS = []


class Spy(Term):
    """Keeps the step, and has a weight of its own."""

    def needs(self):
        return Needs(blocks=(-1, 0))

    def module(self, shape):
        return nn.Linear(shape.dim, 1)

    def loss(self, step, module):
        STEPS.append(step)
        return module(step.patches[1]).mean()


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


def test_a_term_gets_the_tokens_of_its_blocks_and_the_time(monkeypatch):
    task, batch = first_step("all")
    task.objective = Objective({"spy": Spy(kind="spy", weight=3.0)}, task.model.shape, 1)
    assert list(task.objective.blocks) == [0, 1]
    monkeypatch.setattr(ClassifierTask, "global_step", 4)
    after = []
    for block in task.model.backbone.blocks:
        block.register_forward_hook(lambda module, given, output: after.append(output[0]))
    loss = task.training_step(batch, 0)
    step = STEPS.pop()
    assert step.epoch == pytest.approx(4 / 3)
    assert step.patches[0].equal(after[0][:, :16]), "class tokens enter at block 1"
    assert step.class_tokens[0].shape == (6, 0, 192)
    assert step.class_tokens[1].equal(after[1][:, :4])
    assert step.patches[1].equal(after[1][:, 4:20])
    assert step.visible.sum(1).tolist() == [14, *[16] * 5]
    assert loss.equal(3.0 * task.objective.own["spy"](after[1][:, 4:20]).mean())
    assert sum(value.numel() for value in task.objective.parameters()) == 193


def test_map_diversity_reads_the_last_block_although_another_term_reads_one_before():
    layout, keys = TokenLayout(2, (1, 2), 0), torch.eye(4).view(1, 1, 4, 4)
    apart = Attending(99 * torch.eye(4)[[2, 3, 2, 3]].view(1, 1, 4, 4), keys, torch.ones(1), layout)
    alike = Attending(torch.zeros(1, 1, 4, 4), keys, torch.ones(1), layout)
    term = parts("terms", {"map_diversity": {}})["map_diversity"]
    assert float(term.loss(SimpleNamespace(attention={0: alike, 1: apart}), None)) == pytest.approx(0.0, abs=1e-6)


def test_weights_that_a_recipe_leaves_out():
    terms = parts("terms", {"presence": {}, "open_gates": {}, "map_diversity": {}})
    assert {name: term.weight for name, term in terms.items()} == {
        "presence": 1.0,
        "open_gates": 0.01,
        "map_diversity": 0.1,
    }
    assert terms["presence"].head == "class"
