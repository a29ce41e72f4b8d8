"""What the training step hands to the backbone: turned, mirrored and recoloured images, some without a sensor."""

import pytest
import torch
from small_model import parts, small_classifier

from wsss_toolkit.domain import ChannelTable, Sensor
from wsss_toolkit.images.augment import apply_symmetry
from wsss_toolkit.objective.kinds import Presence
from wsss_toolkit.objective.objective import Objective
from wsss_toolkit.recipe.parts import Needs
from wsss_toolkit.recipe.schema import Augment, Train
from wsss_toolkit.training.task import ClassifierTask, drop_sensors

FUSED = ChannelTable((Sensor("s1", ("VV", "VH")), Sensor("s2", ("B02", "B03", "B04"))))


@pytest.fixture
def spied():
    """Return a task, and a list that gets what its backbone is called with."""
    model = small_classifier(channels=FUSED, fusion="per_sensor", depth=1, image_size=16, patch_size=8)
    task = ClassifierTask(
        model,
        Objective(parts("terms", {"presence": {}}), model.shape, 0),
        Train(augment=Augment(color_jitter=0.3)),
        seed=1,
        exclusive=False,
        sensor_dropout=0.5,
        steps_per_epoch=2,
        grid=None,
    )
    task.log = lambda *arguments, **options: None
    calls, forward = [], model.backbone.forward

    def spy(images, **options):
        calls.append({"image": images, **options})
        return forward(images, **options)

    model.backbone.forward = spy
    return task, calls


def batch():
    numbers = torch.Generator().manual_seed(0)
    return {
        "image": torch.randn(16, 5, 16, 16, generator=numbers),
        "valid": torch.rand(16, 16, 16, generator=numbers) > 0.3,
        "present": torch.ones(16, 2, dtype=torch.bool),
        "labels": (torch.rand(16, 4, generator=numbers) > 0.5).float(),
        "code": torch.arange(16) % 8,
    }


def test_images_are_turned_as_the_codes_say_and_each_is_recoloured(spied):
    task, calls = spied
    given = batch()
    task.training_step(given, 0)
    turned = apply_symmetry(given["image"], given["code"])
    assert calls[0]["valid"].equal(apply_symmetry(given["valid"], given["code"]))
    (std, mean), (std_before, mean_before) = (torch.std_mean(x, (1, 2, 3)) for x in (calls[0]["image"], turned))
    contrast, shift = std / std_before, (mean - mean_before) / std_before
    recoloured = (turned - mean_before.view(-1, 1, 1, 1)) * contrast.view(-1, 1, 1, 1) + mean.view(-1, 1, 1, 1)
    torch.testing.assert_close(calls[0]["image"], recoloured, atol=1e-5, rtol=0)
    for amount in (contrast - 1, shift):
        assert amount.abs().max() <= 0.3 + 1e-5
        assert amount.unique().numel() == 16 and amount.min() < -0.05 and amount.max() > 0.05


@pytest.mark.parametrize("enter_at", [0, 1])
def test_terms_read_the_patches_of_blocks_below_class_tokens_too(enter_at):
    model = small_classifier(channels=FUSED, depth=2, image_size=16, patch_size=8, class_tokens={"enter_at": enter_at})
    steps = []

    class Asks(Presence):
        def needs(self):
            return Needs(blocks=(0, -1))

        def loss(self, step, module):
            steps.append(step)
            return super().loss(step, module)

    objective = Objective({"asks": Asks(kind="presence")}, model.shape, enter_at)
    options = {"seed": 1, "exclusive": False, "sensor_dropout": 0, "steps_per_epoch": 2, "grid": None}
    task = ClassifierTask(model.eval(), objective, Train(), **options)
    task.log = lambda *arguments, **options: None
    given = {**batch(), "code": torch.zeros(16, dtype=torch.long)}
    task.training_step(given, 0)
    output = model.backbone(given["image"], valid=given["valid"], keep=(0, 1))
    first = 4 * (enter_at == 0)
    torch.testing.assert_close(steps[0].patches[0], output.after[0][:, first : first + 4])
    torch.testing.assert_close(model.backbone.norm(steps[0].patches[1]), output.patches)
    assert steps[0].class_tokens[0].shape[1] == first and steps[0].class_tokens[1].shape[1] == 4


def test_some_images_lose_one_sensor(spied):
    task, calls = spied
    task.training_step(batch(), 0)
    lost = ~calls[0]["present"]
    assert lost.sum(1).max() == 1
    assert 2 <= lost.any(1).sum() <= 14
    assert lost[:, 0].any() and lost[:, 1].any()


def test_chance_is_the_steps_own(spied, monkeypatch):
    task, calls = spied
    task.train()
    first = task.training_step(batch(), 0)
    torch.rand(3)  # whatever was drawn before
    assert task.training_step(batch(), 0).equal(first)
    monkeypatch.setattr(ClassifierTask, "global_step", 1)
    assert not task.training_step(batch(), 0).equal(first)
    assert not calls[2]["image"].equal(calls[0]["image"])
    assert not calls[2]["present"].equal(calls[0]["present"])


@pytest.mark.filterwarnings("ignore:No positive samples", "ignore:Average precision score for one or more classes")
def test_validation_sees_images_as_they_are_and_scores_classes_that_occur(spied):
    task, calls = spied
    given, logged = batch(), {}
    given["labels"][:, 3] = 0
    task.log = lambda name, value, **options: logged.update({name: value})
    task.eval().validation_step(given, 0)
    for key in ("image", "valid", "present"):
        assert calls[0][key].equal(given[key])
    assert not calls[0]["read"] and not calls[0]["keep"]
    task.on_validation_epoch_end()
    logits = task.model(given["image"], valid=given["valid"], present=given["present"]).logits
    precisions = []
    for scores, labels in zip(logits.T[:3], given["labels"].T[:3], strict=True):
        ranked = labels[scores.argsort(descending=True)]
        precisions.append(((ranked.cumsum(0) / torch.arange(1, 17)) * ranked).sum() / ranked.sum())
    assert float(logged["val/map"]) == pytest.approx(float(torch.stack(precisions).mean()), abs=1e-5)


def test_sensor_dropout_takes_one_of_several_at_the_given_rate():
    present = torch.ones(20000, 2, dtype=torch.bool)
    present[:5000, 1] = False
    left = drop_sensors(present, 0.4, torch.Generator().manual_seed(0))
    assert torch.equal(left[:5000], present[:5000]), "the only sensor of an image stays"
    lost = ~left[5000:]
    assert float(lost.any(dim=1).float().mean()) == pytest.approx(0.4, abs=0.02)
    assert int(lost.sum(dim=1).max()) == 1
    assert float(lost[:, 0].float().mean()) == pytest.approx(0.2, abs=0.02)
