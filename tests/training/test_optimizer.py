"""Which parameter learns at which rate, decays, and when."""

from itertools import pairwise

import pytest
import torch
from small_model import parts, small_classifier

from wsss_toolkit.objective.objective import Objective
from wsss_toolkit.recipe.schema import Train
from wsss_toolkit.training.optimizer import parameter_groups, warmup_cosine
from wsss_toolkit.training.task import ClassifierTask

TRAIN = Train(lr=1.0, weight_decay=0.1, layer_decay=0.5, head_lr_factor=10.0, epochs=5, warmup_epochs=2.0)
HEADS = {"class": "concat", "patch": "linear"}
SECTION = {"depth": 2, "class_tokens": {"enter_at": 1}, "gates": {"lr": 9.0}}


def where(model):
    """Return rate and decay of every trainable parameter by name; each is in exactly one group."""
    groups = parameter_groups(model, TRAIN, gate_lr=9.0)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found = [(names[id(member)], group["lr"], group["weight_decay"]) for group in groups for member in group["params"]]
    trainable = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert sorted(name for name, _, _ in found) == sorted(trainable)
    return {name: (rate, decay) for name, rate, decay in found}


@pytest.mark.parametrize(
    "backbone", ["vit_tiny_patch16_224", "vit_xsmall_patch16_clip_224", "vit_small_patch14_dinov2"]
)
def test_matrices_decay_and_nothing_else_does(backbone):
    model = small_classifier(backbone=backbone, heads=HEADS, **{**SECTION, "image_size": 56, "patch_size": 14})
    matrices = ("qkv.weight", "proj.weight", "fc1.weight", "fc2.weight", "linear.weight", "projections.0.weight")
    found = where(model)
    for name, (_, decay) in found.items():
        assert decay == (0.1 if name.endswith(matrices) else 0.0), name
    plain = {"backbone.pos_embed.weight", "backbone.class_tokens", "backbone.registers", "backbone.norm.weight"}
    assert plain <= found.keys()


def test_groups_keep_the_models_order():
    # Clipping adds squares up in the order of the groups: another order changes the last bits of every step.
    model = small_classifier(heads=HEADS, **SECTION)
    places = {id(parameter): place for place, parameter in enumerate(model.parameters())}
    groups = [[places[id(member)] for member in group["params"]] for group in parameter_groups(model, TRAIN, gate_lr=9)]
    assert all(group == sorted(group) for group in groups)
    assert [group[0] for group in groups] == sorted(group[0] for group in groups)


@pytest.mark.parametrize("frozen_below", [0, 1])
def test_rates_fall_by_layer_and_gates_tokens_and_heads_have_their_own(frozen_below):
    model = small_classifier(heads=HEADS, frozen_below=frozen_below, **SECTION)
    for name, (rate, _) in where(model).items():
        if name.endswith("log_alpha"):
            expected = 9.0
        elif name.startswith(("heads.", "backbone.class_tokens")):
            expected = 10.0
        elif name.startswith("backbone.blocks."):
            expected = 0.5 ** (2 - int(name.split(".")[2]))
        elif name.startswith("backbone.norm."):
            expected = 1.0
        else:
            assert name.startswith(("backbone.patch_embed.", "backbone.pos_embed.", "backbone.registers")), name
            expected = 0.5**3
        assert rate == expected, name


def test_the_first_steps_warm_up_and_gates_have_their_rate():
    model = small_classifier(heads=HEADS, **SECTION)
    objective = Objective(parts("terms", {"presence": {}}), model.shape, 1)
    objective.own["extra"] = torch.nn.Linear(2, 2)
    task = ClassifierTask(
        model, objective, TRAIN, seed=0, exclusive=False, sensor_dropout=0.0, steps_per_epoch=3, grid=None
    )
    configured = task.configure_optimizers()
    optimizer, schedule = configured["optimizer"], configured["lr_scheduler"]
    assert isinstance(optimizer, torch.optim.AdamW) and schedule["interval"] == "step"
    extra = optimizer.param_groups[-2:]
    assert [(group["initial_lr"], group["weight_decay"]) for group in extra] == [(10.0, 0.1), (10.0, 0.0)]
    peaks = [group["initial_lr"] for group in optimizer.param_groups]
    assert 9.0 in peaks
    factors = []
    for _ in range(15):  # 5 epochs of 3 steps, 2 of them warm-up
        rates = [group["lr"] / peak for group, peak in zip(optimizer.param_groups, peaks, strict=True)]
        assert rates == pytest.approx([rates[0]] * len(rates))
        factors.append(rates[0])
        optimizer.step()
        schedule["scheduler"].step()
    assert factors[:7] == pytest.approx([1 / 7, 2 / 7, 3 / 7, 4 / 7, 5 / 7, 6 / 7, 1.0])
    assert all(earlier > later for earlier, later in pairwise(factors[6:]))
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.0, abs=1e-9)


def test_warmup_rises_and_cosine_falls_to_zero():
    factor = warmup_cosine(4, 20)
    values = [factor(step) for step in range(21)]
    assert values[:4] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert values[4] == 1.0
    assert values[12] == pytest.approx(0.5)
    assert all(a > b for a, b in pairwise(values[4:]))
    assert values[20] == pytest.approx(0.0)
