import math
from pathlib import Path

import lightning as L
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from wsss_toolkit.compute import Device, choose_device, prediction_dtype
from wsss_toolkit.errors import WsssError
from wsss_toolkit.images.dataset import EpochSampler
from wsss_toolkit.training.fit import Monitor, fit

CPU = Device("cpu", 1, "32-true")
MONITOR = Monitor("val/score", "max")


class Line(L.LightningModule):
    """Fits a line with AdamW; `scores` are what validation reports, epoch by epoch."""

    def __init__(self, scores=(), poison_at=None, stop_at=None):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(2, 1)
        self.scores, self.poison_at, self.stop_at = tuple(scores), poison_at, stop_at
        self.orders: list[list[float]] = []
        self.weights: list[torch.Tensor] = []

    def training_step(self, batch, batch_idx):
        if batch_idx == 0:
            self.orders.append([])
        if self.stop_at == (self.current_epoch, batch_idx):
            raise RuntimeError("killed")
        self.orders[-1] += batch[0][:, 0].tolist()
        loss = (self.layer(batch[0]) - batch[1]).square().mean()
        return loss * math.nan if self.current_epoch == self.poison_at else loss

    def validation_step(self, batch, batch_idx):
        pass

    def on_validation_epoch_end(self):
        self.weights.append(self.layer.weight.detach().clone())
        self.log("val/score", self.scores[self.current_epoch])

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=0.1)


class Clipped(Line):
    """Notes to which norm gradients are clipped."""

    def configure_gradient_clipping(self, optimizer, gradient_clip_val=None, gradient_clip_algorithm=None):
        self.norms = [*getattr(self, "norms", []), gradient_clip_val]


class Positions(TensorDataset):
    """Ignores the epoch that an `EpochSampler` passes along."""

    def __getitem__(self, position):
        return super().__getitem__(position[0])


def batches(seed=3):
    inputs = torch.arange(12.0).reshape(6, 2) / 10
    targets = inputs.sum(dim=1, keepdim=True)
    return DataLoader(Positions(inputs, targets), 2, sampler=EpochSampler(6, seed))


def train(module, folder, *, epochs=5, monitor=None, use="best", val=None, clip_norm=1.0):
    return fit(
        module,
        batches(),
        val if val is not None else (batches(None) if monitor else None),
        folder=folder,
        epochs=epochs,
        clip_norm=clip_norm,
        device=CPU,
        monitor=monitor,
        use=use,
    )


def test_a_run_that_broke_off_ends_like_one_that_did_not(tmp_path):
    whole = Line()
    assert train(whole, tmp_path / "whole") == 5
    broken = Line(stop_at=(3, 1))
    with pytest.raises(RuntimeError, match="killed"):
        train(broken, tmp_path / "broken")
    resumed = Line()
    assert train(resumed, tmp_path / "broken") == 5
    assert resumed.orders == whole.orders[3:], "the broken epoch is done again, those before it are not"
    assert torch.equal(resumed.layer.weight, whole.layer.weight)
    assert torch.equal(resumed.layer.bias, whole.layer.bias)
    assert sorted(path.name for path in (tmp_path / "broken" / "csv").iterdir()) == ["from_0", "from_3"]


def test_a_finished_run_trains_no_more(tmp_path):
    first = Line()
    train(first, tmp_path)
    again = Line()
    assert train(again, tmp_path) == 5
    assert again.orders == []
    assert torch.equal(again.layer.weight, first.layer.weight)


@pytest.mark.parametrize(("mode", "best"), [("max", 1), ("min", 3)])
def test_the_best_epoch_is_the_monitors(tmp_path, mode, best):
    module = Line(scores=(0.2, 0.9, 0.5, 0.1, 0.4))
    assert train(module, tmp_path, monitor=Monitor("val/score", mode)) == 5
    assert torch.equal(module.layer.weight, module.weights[best])


def test_the_last_epoch_where_it_is_asked_for(tmp_path):
    module = Line(scores=(0.2, 0.9, 0.5, 0.1, 0.4))
    train(module, tmp_path, monitor=MONITOR, use="last")
    assert torch.equal(module.layer.weight, module.weights[4])


def test_the_best_epoch_before_an_interruption_is_remembered(tmp_path):
    scores = (0.2, 0.9, 0.5, 0.1, 0.4)
    with pytest.raises(RuntimeError, match="killed"):
        train(Line(scores, stop_at=(3, 0)), tmp_path, monitor=MONITOR)
    whole, resumed = Line(scores), Line(scores)
    train(whole, tmp_path / "whole", monitor=MONITOR)
    train(resumed, tmp_path, monitor=MONITOR)
    assert torch.equal(resumed.layer.weight, whole.layer.weight)
    assert torch.equal(resumed.layer.weight, whole.weights[1])


def test_patience_ends_training_early(tmp_path):
    module = Line(scores=(0.2, 0.9, 0.5, 0.1, 0.4))
    assert train(module, tmp_path, monitor=Monitor("val/score", "max", patience=2)) == 4
    assert torch.equal(module.layer.weight, module.weights[1])
    # Killed after that, before its stage was done, it does not go on.
    again = Line(scores=(0.2, 0.9, 0.5, 0.1, 0.4))
    assert train(again, tmp_path, monitor=Monitor("val/score", "max", patience=2)) == 4
    assert again.orders == []
    assert torch.equal(again.layer.weight, module.layer.weight)


def test_a_loss_that_is_not_finite_ends_training(tmp_path):
    with pytest.raises(WsssError, match="the loss is nan in epoch 2; lower the learning rate"):
        train(Line(poison_at=2), tmp_path)


@pytest.mark.parametrize(("clip_norm", "expected"), [(0.5, 0.5), (0.0, None)])
def test_gradients_are_clipped_as_asked(tmp_path, clip_norm, expected):
    module = Clipped()
    train(module, tmp_path, epochs=1, clip_norm=clip_norm)
    assert module.norms == [expected] * 3


def test_checkpoints_hold_nothing_but_values(tmp_path):
    train(Line(scores=(0.1,)), tmp_path, epochs=1, monitor=MONITOR)
    for name in ("best.ckpt", "last.ckpt"):
        assert "state_dict" in torch.load(tmp_path / name, weights_only=True)
    assert (tmp_path / "csv" / "from_0" / "metrics.csv").is_file()
    assert list(Path(tmp_path / "tensorboard").rglob("events*"))


def test_device_on_a_machine_without_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto", "auto", "auto") == Device("cpu", 1, "32-true")
    assert choose_device("cpu", 2, "bf16") == Device("cpu", 2, "bf16-mixed")
    with pytest.raises(WsssError, match="--device cuda, but PyTorch sees no CUDA device; use --device cpu"):
        choose_device("cuda", "auto", "auto")


@pytest.mark.parametrize(
    ("able", "dtype"),
    [({}, torch.float32), ({"avx512_f": True}, torch.float32), ({"amx_bf16": True}, torch.bfloat16),
     ({"amx_bf16": False, "avx512_bf16": True}, torch.bfloat16)],
)  # fmt: skip
def test_predictions_are_in_bf16_where_the_processor_is_fast_at_it(able, dtype, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able, raising=False)
    cpu = torch.device("cpu")
    assert prediction_dtype("auto", cpu) == dtype
    assert prediction_dtype("32", cpu) == torch.float32 and prediction_dtype("bf16", cpu) == torch.bfloat16
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    assert prediction_dtype("auto", torch.device("cuda")) == torch.bfloat16


@pytest.mark.parametrize(("bf16", "precision"), [(True, "bf16-mixed"), (False, "16-mixed")])
def test_device_on_a_machine_with_two_gpus(monkeypatch, bf16, precision):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: bf16)
    assert choose_device("auto", "auto", "auto") == Device("cuda", 2, precision)
    assert choose_device("cpu", "auto", "auto") == Device("cpu", 1, "32-true")
    with pytest.raises(WsssError, match=r"machine\.devices is 3, but there are 2 GPUs"):
        choose_device("cuda", 3, "32")
