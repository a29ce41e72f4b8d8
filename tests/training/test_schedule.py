from itertools import pairwise

import pytest
import torch
from torch import nn
from wsss_toolkit.training.classifier import drop_sensors
from wsss_toolkit.training.objective import classification_loss, diversity_loss

from wsss_toolkit.training.schedule import parameter_groups, warmup_cosine


def test_warmup_rises_and_cosine_falls_to_zero():
    factor = warmup_cosine(4, 20)
    values = [factor(step) for step in range(21)]
    assert values[:4] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert values[4] == 1.0
    assert all(a > b for a, b in pairwise(values[4:]))
    assert values[20] == pytest.approx(0.0)


def test_groups_decay_by_layer_and_gates_stand_apart():
    def parameter(*shape, grad=True):
        return nn.Parameter(torch.zeros(*shape), requires_grad=grad)

    named = {
        "class_tokens": parameter(3, 4),
        "patch_embed.weight": parameter(4, 4),
        "blocks.0.attn.qkv.weight": parameter(4, 4),
        "blocks.1.attn.qkv.weight": parameter(4, 4),
        "blocks.1.attn.qkv.bias": parameter(4),
        "blocks.1.attn.gate.log_alpha": parameter(2),
        "blocks.0.frozen": parameter(4, 4, grad=False),
        "head.weight": parameter(3, 4),
        "patch_classifier.bias": parameter(3),
    }
    groups = parameter_groups(
        named.items(), lr=1.0, weight_decay=0.1, layer_decay=0.5, depth=2, gate_lr=9.0, head_lr_factor=10.0
    )
    where = {}
    for group in groups:
        for member in group["params"]:
            name = next(n for n, p in named.items() if p is member)
            where[name] = (group["lr"], group["weight_decay"])
    assert where == {
        "class_tokens": (10.0, 0.0),
        "patch_embed.weight": (0.125, 0.1),
        "blocks.0.attn.qkv.weight": (0.25, 0.1),
        "blocks.1.attn.qkv.weight": (0.5, 0.1),
        "blocks.1.attn.qkv.bias": (0.5, 0.0),
        "blocks.1.attn.gate.log_alpha": (9.0, 0.0),
        "head.weight": (10.0, 0.1),
        "patch_classifier.bias": (10.0, 0.0),
    }


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


def test_sensor_dropout_takes_one_of_several_at_the_given_rate():
    present = torch.ones(20000, 2, dtype=torch.bool)
    present[:5000, 1] = False
    left = drop_sensors(present, 0.4, torch.Generator().manual_seed(0))
    assert torch.equal(left[:5000], present[:5000]), "the only sensor of an image stays"
    lost = ~left[5000:]
    assert float(lost.any(dim=1).float().mean()) == pytest.approx(0.4, abs=0.02)
    assert int(lost.sum(dim=1).max()) == 1
    assert float(lost[:, 0].float().mean()) == pytest.approx(0.2, abs=0.02)
