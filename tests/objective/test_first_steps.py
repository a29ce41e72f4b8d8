"""One training step against the loss written out by hand, and against what the code gave before terms had names."""

import json
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from configurations import CONFIGURATIONS, first_step, gradients
from torch.nn import functional as F

from wsss_toolkit.heads.patch_head import pool_visible
from wsss_toolkit.images.augment import apply_symmetry, color_jitter
from wsss_toolkit.model.attention_maps import class_map
from wsss_toolkit.model.gate import HardConcreteGate

STORED = json.loads((Path(__file__).parent / "gradients.json").read_text())


def hand_summed(name, task, batch):
    """Return the loss of docs/method.md, section 2, of a step with seed 7, without a term or a head being called."""
    model, backbone, terms = task.model, task.model.backbone, CONFIGURATIONS[name]["terms"]
    section, weights = backbone.section, {key: term.get("weight") for key, term in terms.items()}
    torch.manual_seed(7 * 1_000_003)
    numbers = torch.Generator().manual_seed(7 * 1_000_003 + 1)
    last = backbone.depth - 1
    asked = {"read": {last: class_map}, "whole": "patch" in terms}
    if task.grid is not None:
        output = backbone.forward_from(batch["image"], task.grid, visible=batch["valid"], **asked)
    else:
        images = color_jitter(apply_symmetry(batch["image"], batch["code"]), 0.2, numbers)
        valid = apply_symmetry(batch["valid"], batch["code"])
        output = backbone(images, valid=valid, **asked)
    labels = batch["labels"]
    tokens = output.class_tokens
    if section.token_masking:
        lost = (torch.rand(6, 4, generator=numbers) < section.token_masking) & (labels == 0)
        tokens = tokens.masked_fill(lost[..., None], 0.0)

    def fits(logits):
        if task.exclusive:
            return F.cross_entropy(logits, labels.argmax(1))
        return F.binary_cross_entropy_with_logits(logits, labels)

    head, kind = model.heads["class_head"], CONFIGURATIONS[name]["heads"]["class"]
    logits = {
        "per_token": lambda: (tokens * head.weight).sum(-1) + head.bias,
        "concat": lambda: F.linear(tokens.flatten(1), head.linear.weight, head.linear.bias),
        "mean": lambda: output.tokens_before_norm[:, :4].mean(-1),
    }[kind]()
    loss = 1.0 * fits(logits)
    if "patch" in terms:
        scores = model.heads["patch_head"].linear(output.patches)
        sharpness = 1.0 if name == "all" else 0.0
        pooled = pool_visible(scores, output.layout.visible, sharpness)
        loss = loss + (weights["patch"] or 1.0) * fits(pooled)
    gates = [module.log_alpha for module in model.modules() if isinstance(module, HardConcreteGate)]
    shift = 0.33 * torch.log(torch.tensor(0.1 / 1.1, dtype=torch.float64)).item()
    opened = torch.stack([torch.sigmoid(gate - shift).sum() for gate in gates]).sum() if gates else torch.zeros(())
    loss = loss + weights["open_gates"] * opened
    if "map_diversity" in terms:
        maps = F.normalize(output.read[last].maps.flatten(2), dim=-1)
        loss = loss + weights["map_diversity"] * torch.linalg.matrix_norm(maps @ maps.mT - torch.eye(4)).mean()
    return loss


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_training_step_is_the_hand_summed_loss_bit_for_bit(name):
    task, batch = first_step(name)
    loss = task.training_step(batch, 0)
    loss.backward()
    other, batch = first_step(name)
    by_hand = hand_summed(name, other, batch)
    by_hand.backward()
    assert loss.equal(by_hand)
    ours, theirs = gradients(task.model), gradients(other.model)
    assert ours.keys() == theirs.keys()
    assert all(ours[parameter].equal(theirs[parameter]) for parameter in ours)


@pytest.mark.skipif(version("timm") == "1.0.22", reason="the oldest timm draws other initial weights than those stored")
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_training_step_is_what_it_was_before_terms_had_names(name):
    task, batch = first_step(name)
    loss = task.training_step(batch, 0)
    loss.backward()
    assert loss.item() == pytest.approx(STORED[name]["loss"], rel=1e-5)
    ours = {parameter: fingerprint(parameter, grad) for parameter, grad in gradients(task.model).items()}
    stored = STORED[name]["gradients"]
    assert ours.keys() == stored.keys()
    for parameter, (total, norm, projection) in ours.items():
        expected_total, expected_norm, expected_projection = stored[parameter]
        # Sums of many values of either sign are only as exact as the values are large.
        within = 1e-5 * expected_norm * len(gradients(task.model)[parameter].flatten()) ** 0.5
        assert norm == pytest.approx(expected_norm, rel=1e-4, abs=1e-9), parameter
        assert total == pytest.approx(expected_total, abs=within + 1e-9), parameter
        assert projection == pytest.approx(expected_projection, abs=within + 1e-9), parameter


def fingerprint(name, grad):
    """Return a gradient's sum, its norm, and its product with a fixed vector of noise, in double precision."""
    values = grad.double().flatten()
    seed = len(name.replace("_head.", "."))  # the numbers were stored before heads had this ending
    noise = torch.randn(len(values), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return [float(values.sum()), float(values.norm()), float(values @ noise)]
