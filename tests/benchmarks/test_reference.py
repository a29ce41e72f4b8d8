"""The naive reference of benchmarks/ and the toolkit give the same results: what makes their times comparable."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from wsss_toolkit.domain import ClassTable
from wsss_toolkit.pseudo_masks.assign import assign
from wsss_toolkit.pseudo_masks.fill import OPEN, fill_majority
from wsss_toolkit.recipe.schema import PseudoMasks

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SMALL = {"backbone": "vit_tiny_patch16_224", "image_size": 48, "depth": 2}


@pytest.fixture(scope="module")
def scripts():
    """Import the scripts as they import each other: from their own folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        import reference
        import speed

        yield reference, speed
    for name in ("reference", "speed", "measure", "memory"):
        sys.modules.pop(name, None)


@pytest.fixture
def model(scripts):
    return scripts[1].gated_model(**SMALL).eval()


@pytest.mark.parametrize("size", [(48, 48), (64, 32)])
@torch.no_grad()
def test_logits_and_class_maps_are_those_of_the_definition(scripts, model, size):
    images = torch.randn(2, 3, *size)
    theirs = scripts[0].classify(model, images)
    assert theirs.class_maps.shape == (2, 2, 8, size[0] // 16, size[1] // 16)
    for ours in (model, scripts[1].cut(model)):
        logits, maps = scripts[1].logits_and_maps(ours, images, (0, 1))
        torch.testing.assert_close(logits, theirs.logits, atol=1e-5, rtol=0)
        torch.testing.assert_close(maps, theirs.class_maps, atol=1e-6, rtol=0)


@pytest.mark.parametrize("head", ["concat", "per_token"])
def test_a_training_step_has_the_loss_and_the_gradients_of_the_definition(scripts, head):
    speed = scripts[1]
    model = speed.gated_model(head=head, **SMALL).train()
    images, labels = torch.randn(3, 3, 48, 48), (torch.rand(3, 8) < 0.3).float()
    loss = speed.toolkit_step(model, model.backbone, images, labels)
    ours = speed.gradients(model)
    torch.testing.assert_close(loss, speed.reference_step(model, images, labels), atol=1e-6, rtol=0)
    theirs = speed.gradients(model)
    assert ours.keys() == theirs.keys()
    assert max(float(value.abs().max()) for value in theirs.values()) > 1e-3
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, atol=1e-5, rtol=1e-4, msg=name)


def test_masks_and_confidence_are_those_of_the_definition(scripts):
    reference, speed = scripts
    table = ClassTable(tuple("abcdefgh"), ((0, 0, 0),) * 8)
    section = PseudoMasks(assign="paint", fill="majority")
    maps = speed.class_map_like(64, torch.Generator().manual_seed(3))
    logits = torch.tensor([[0.3, -1.0, 2.0, -0.5, 0.1, -3.0, -1.0, 1.0]])
    mask, confidence = assign(maps, logits, logits >= 0, section, table)
    expected = reference.paint(maps[0].numpy(), logits[0].tolist(), (logits[0] >= 0).tolist())
    assert len(np.unique(expected[0])) > 1
    np.testing.assert_array_equal(mask[0].numpy(), expected[0])
    np.testing.assert_allclose(confidence[0].numpy(), expected[1], atol=1e-5)


def test_fills_are_those_of_the_definition(scripts):
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 6, (24, 17))
    labels[generator.random(labels.shape) < 0.9] = OPEN
    expected = scripts[0].fill_majority(labels)
    assert (expected != OPEN).all()
    np.testing.assert_array_equal(fill_majority(torch.from_numpy(labels)[None])[0].numpy(), expected)


def test_a_difference_ends_the_comparison(scripts, capsys):
    click = pytest.importorskip("click")
    with pytest.raises(click.ClickException, match="toolkit and reference differ"):
        scripts[1].same("logits", torch.tensor([1.0, 1.0]), torch.tensor([1.0, 2.0]), 1e-4)
    scripts[1].same("logits", torch.tensor([1.0]), torch.tensor([1.0]), 1e-4)
    assert "logits: differ by 0e+00" in capsys.readouterr().out


@torch.inference_mode()
def test_class_maps_of_many_layers_keep_no_tokens(scripts):
    import measure

    model = scripts[1].gated_model(backbone="vit_tiny_patch16_224", image_size=224).eval()
    images = torch.randn(1, 3, 224, 224)
    few, many = (
        measure.peak_of_tensors(lambda k=layers: scripts[1].logits_and_maps(model, images, k), torch.device("cpu"))
        for layers in ((11,), range(12))
    )
    one_layer = 205 * 192 * 4
    assert many < few + one_layer
    assert few < 14 * one_layer


def test_rounds_are_interleaved_and_the_peak_holds_what_was_in_use(scripts):
    import measure

    order = []
    times = measure.interleaved({name: lambda n=name: order.append(n) for name in "abc"}, 2, torch.device("cpu"))
    assert "".join(order) == "abcabcbca"
    assert [len(times[name].wall) for name in "abc"] == [2, 2, 2]
    tensors = measure.peak_of_tensors(lambda: (torch.ones(8, 2**20).sum(), torch.ones(2, 2**20)), torch.device("cpu"))
    assert 32 * 2**20 <= tensors < 33 * 2**20
    resident = measure.added_resident_size(lambda: torch.ones(16, 2**20).sum())
    assert resident is None or 60 * 2**20 < resident < 100 * 2**20
