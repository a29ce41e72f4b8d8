"""Runs Lightning's Trainer so that a killed run goes on from its last epoch."""

import io
import logging
import multiprocessing
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch.utils.data import DataLoader

from wsss_toolkit.compute import Device
from wsss_toolkit.domain.progress import count, is_watched
from wsss_toolkit.errors import DataError, WsssError, of_the_machine
from wsss_toolkit.files import write_bytes
from wsss_toolkit.images.dataset import Item
from wsss_toolkit.processes import end_with_parent

BEST, LAST = "best.ckpt", "last.ckpt"
"""Checkpoints of the best epoch and of the last."""


@dataclass(frozen=True, slots=True)
class Monitor:
    """The figure that tells the best epoch."""

    name: str
    """As the module logs it."""
    mode: Literal["min", "max"]
    """Whether more or less is better."""
    patience: int | None = None
    """Epochs without improvement after which training stops; None never stops early."""
    measure: Callback | None = None
    """Logs the figure where the module itself does not."""


def fit(  # noqa: PLR0913  # what Lightning's Trainer wants to be told
    module: L.LightningModule,
    train: DataLoader[Item],
    val: DataLoader[Item] | None,
    *,
    folder: Path,
    epochs: int,
    clip_norm: float,
    device: Device,
    monitor: Monitor | None,
    use: Literal["best", "last"],
) -> int:
    """Train, resuming from `folder` where an earlier call left off, and leave the chosen weights in the module.

    Args:
        module: What to train; its state is replaced by the best or last checkpoint's.
        train: Training batches.
        val: Validation batches, or None.
        folder: Holds checkpoints and logs.
        epochs: Passes over the training batches.
        clip_norm: Largest gradient norm; 0 clips nothing.
        device: Where to compute.
        monitor: Tells the best epoch; None keeps the last only.
        use: Which checkpoint's weights the module ends with; ``last`` where nothing is monitored.

    Returns:
        The number of epochs that were trained in all.

    Raises:
        WsssError: If the loss is not finite.
    """
    last = folder / LAST
    resumed = last.exists()
    shown: list[Callback] = [_TellEpochs()] if is_watched() else [TQDMProgressBar(leave=False), _EndLine()]
    callbacks = [*shown, _FiniteLoss(), _EndsWithParent()]
    # The last state is written at the end of every epoch, after validation, so that the best score is in it.
    if monitor is not None:
        if monitor.measure is not None:
            callbacks.append(monitor.measure)
        best = ModelCheckpoint(folder, "best", monitor=monitor.name, mode=monitor.mode, enable_version_counter=False)
        callbacks.append(best)
        if monitor.patience is not None:
            callbacks.append(EarlyStopping(monitor.name, mode=monitor.mode, patience=monitor.patience))
    callbacks.append(
        ModelCheckpoint(
            folder, "last", monitor=None, every_n_epochs=1, save_on_train_epoch_end=True, enable_version_counter=False
        )
    )
    version = f"from_{epoch_of(last) if resumed else 0}"
    with _quiet_lightning():
        trainer = L.Trainer(
            accelerator=device.accelerator,
            devices=device.processes,
            num_nodes=device.launch.nodes,
            strategy=_strategy(device),
            precision=device.precision,
            max_epochs=epochs,
            gradient_clip_val=clip_norm or None,
            callbacks=callbacks,
            plugins=[_CompleteOrAbsent()],
            logger=[CSVLogger(folder, "csv", version), TensorBoardLogger(folder, "tensorboard", version)],
            default_root_dir=folder,
            log_every_n_steps=max(1, min(50, len(train))),
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            enable_model_summary=False,
            enable_progress_bar=not is_watched(),
            deterministic="warn" if device.accelerator == "cuda" else True,
        )
        try:
            if not (resumed and _had_stopped(last, monitor)):
                trainer.fit(module, train, val, ckpt_path=last if resumed else None, weights_only=True)
        except SystemExit as error:  # what Lightning makes of Ctrl-C
            asked = error.__context__
            raise (asked if isinstance(asked, KeyboardInterrupt) else KeyboardInterrupt()) from None
        finally:
            if device.launch.rank == 0:
                _forget_host(folder / "tensorboard")
    chosen = folder / BEST if use == "best" and monitor is not None else last
    module.load_state_dict(_read_checkpoint(chosen)["state_dict"])
    epoch = epoch_of(last)
    # The first process of a launch moves the folder when its stage is done: the others must have read it by then.
    trainer.strategy.barrier()
    return epoch


def _strategy(device: Device) -> str:
    if device.launch.processes > 1:
        return "ddp"  # the launcher has started the processes
    return "auto" if device.processes == 1 else "ddp_spawn"


def _had_stopped(last: Path, monitor: Monitor | None) -> bool:
    """Return whether a training that is to go on had ended, for want of a better epoch, before it could say so."""
    if monitor is None or monitor.patience is None:
        return False
    callbacks = _read_checkpoint(last)["callbacks"]
    waited = [state["wait_count"] for name, state in callbacks.items() if name.startswith("EarlyStopping")]
    return any(count >= monitor.patience for count in waited)


def epoch_of(checkpoint: Path) -> int:
    """Return after how many epochs a checkpoint was written."""
    return int(_read_checkpoint(checkpoint)["epoch"]) + 1


def _read_checkpoint(path: Path) -> dict[str, Any]:
    """Return what Lightning has saved; a `DataError` says that a file of it is missing or damaged."""
    reason = "it lacks the state of a training"
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        if isinstance(content, dict) and {"state_dict", "epoch", "callbacks", "optimizer_states"} <= content.keys():
            return content
    except Exception as error:  # a damaged archive fails anywhere in the reader
        if of_the_machine(error) is not None:
            raise
        reason = str(error).strip().partition("\n")[0][:160] or type(error).__name__
    fix = f"delete the folder {path.parent} and run again: the training begins anew"
    raise DataError(f"is damaged or missing ({reason})", where=str(path), fix=fix)


def _forget_host(logs: Path) -> None:
    """Rename event files, which TensorBoard names after the machine: logs are shared."""
    for file in logs.rglob("events.out.tfevents.*"):
        named = re.fullmatch(r"(events\.out\.tfevents\.\d+)\..*\.(\d+\.\d+)", file.name)
        if named is not None:
            file.replace(file.with_name(f"{named[1]}.wsss.{named[2]}"))


class _CompleteOrAbsent(TorchCheckpointIO):
    """Writes a checkpoint beside its place and moves it there in one step, and without this machine's folders.

    Lightning writes it to the system's temporary folder; from there to another file system it is copied, and a kill or
    a full disk meanwhile would leave half a checkpoint, from which no run can go on.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        # Callbacks note where checkpoints lie; a run is moved and shared.
        checkpoint = {**checkpoint, "callbacks": _moved(checkpoint.get("callbacks"), str(Path(path).parent), ".")}
        buffer = io.BytesIO()  # torch.save to a full disk raises a RuntimeError that hides the cause
        torch.save(checkpoint, buffer)
        # Not getbuffer(): CPython 3.12.1 crashes in the garbage collector on a view that a failed write leaves behind.
        write_bytes(Path(path), buffer.getvalue())

    def load_checkpoint(self, path: str | Path, *args: Any, **options: Any) -> dict[str, Any]:
        checkpoint: dict[str, Any] = super().load_checkpoint(path, *args, **options)
        folder = str(Path(path).resolve().parent)
        return {**checkpoint, "callbacks": _moved(checkpoint.get("callbacks"), ".", folder)}


def _moved(value: Any, old: str, new: str) -> Any:
    """Return the states of callbacks with paths in another folder."""
    if isinstance(value, dict):
        return {_moved(key, old, new): _moved(part, old, new) for key, part in value.items()}
    if isinstance(value, str) and (value == old or value.startswith(f"{old}/")):
        return new + value[len(old) :]
    return value


class _TellEpochs(Callback):
    """Tells the program that watches how many epochs are trained."""

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        count("epochs", trainer.current_epoch + 1, trainer.max_epochs)


class _EndLine(Callback):
    """Ends the line of a progress bar that an error cuts short, so that the message stands on its own."""

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        if trainer.is_global_zero:
            print(file=sys.stderr)


class _EndsWithParent(Callback):
    """Ends the processes that a training is spread over with the process that started them."""

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        if trainer.world_size > 1 and multiprocessing.parent_process() is not None:
            end_with_parent()


class _FiniteLoss(Callback):
    def on_train_batch_end(self, trainer: L.Trainer, *args: object) -> None:
        loss = args[1]["loss"] if isinstance(args[1], dict) else None
        if loss is not None and not bool(torch.isfinite(loss)):
            what = f"the loss is {float(loss)} in epoch {trainer.current_epoch}"
            raise WsssError(what, fix="lower the learning rate, or check the scaling of the channels")


# Advice that speaks to the authors of training scripts, not to users of a recipe.
_ADVICE = (  # the last but one: classes that the validation split lacks, which are left out of the mean
    r".*does not have many workers.*",
    r"You defined a `validation_step` but have no `val_dataloader`.*",  # data without a validation split
    r".*Checkpoint directory .* exists and is not empty.*",
    r".*Experiment logs directory .* exists and is not empty.*",
    r"Average precision score for one or more classes was `nan`.*",
    r"No positive samples found in target.*",  # the same classes
    r"Found \d+ module\(s\) in eval mode at the start of training.*",  # frozen blocks, which `model.train` leaves so
    r".*`isinstance\(treespec, LeafSpec\)` is deprecated.*",
)


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    loggers = {logging.getLogger(name): 0 for name in ("lightning.pytorch", "lightning.fabric")}
    for logger in loggers:
        loggers[logger] = logger.level
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for message in _ADVICE:
                warnings.filterwarnings("ignore", message)
            yield
    finally:
        for logger, level in loggers.items():
            logger.setLevel(level)
