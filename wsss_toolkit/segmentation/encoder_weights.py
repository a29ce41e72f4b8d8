"""Encoder weights from a local file, adapted to the recipe's channels, with an account of every key."""

import logging
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from wsss_toolkit.errors import DataError
from wsss_toolkit.model.checkpoint import read_file

PREFIXES = ("module.", "state_dict.", "backbone.", "encoder.", "model.")
"""What training code puts before the keys of an encoder; also what an encoder puts before its backbone's."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EncoderAccount:
    """What became of each key of a checkpoint."""

    source: Path
    loaded: tuple[str, ...]
    """Encoder keys copied as they are."""
    adapted: dict[str, str]
    """Encoder keys that were changed, with how."""
    left_out: tuple[str, ...]
    """Checkpoint keys that the encoder has no place for, such as a classifier."""

    def __str__(self) -> str:
        """Return the account in a few lines."""
        lines = [f"encoder weights from {self.source}: {len(self.loaded)} tensors loaded"]
        lines += [f"  adapted {key}: {how}" for key, how in self.adapted.items()]
        if self.left_out:
            lines.append(f"  left out {len(self.left_out)}: {_some(self.left_out)}")
        return "\n".join(lines)


def load_encoder_weights(encoder: nn.Module, path: Path) -> EncoderAccount:
    """Copy a checkpoint into an encoder, in place; the first convolution may have another number of channels.

    Such a convolution gets the mean of the checkpoint's input channels for each of its own, times the ratio of their
    numbers, so that its response to images of equal channels stays the same. The checkpoint is a .safetensors file, or
    one of `torch.save` that holds tensors only. The account that is returned is logged too.

    Raises:
        DataError: If the file cannot be read, lacks tensors of the encoder, or holds them in other shapes; the error
            names the keys.
    """
    path = path.expanduser()
    if not path.is_file():
        raise DataError("no such weights file", where=str(path), fix="correct segmentation.weights")
    state = read_file(path)
    # Feature extractors of timm rename `stages.0` to `stages_0`, so keys are compared without the difference.
    checkpoint = {_bare(key): key for key in state}
    target = encoder.state_dict()
    new: dict[str, Tensor] = {}
    loaded, adapted, missing, misfits = [], {}, [], []
    for key, tensor in target.items():
        found = checkpoint.get(_bare(key))
        if found is None:
            # Old checkpoints have no counters; batch normalisation does without.
            if not key.endswith("num_batches_tracked"):
                missing.append(key)
            continue
        given = state[found]
        if given.shape == tensor.shape:
            new[key] = given
            loaded.append(key)
        elif _differs_in_channels_only(given, tensor):
            channels, now = given.shape[1], tensor.shape[1]
            new[key] = given.float().mean(dim=1, keepdim=True).expand(tensor.shape) * (channels / now)
            adapted[key] = f"{channels} input channels -> {now}, their mean times {channels}/{now}"
        else:
            misfits.append(f"{key} {tuple(given.shape)} instead of {tuple(tensor.shape)}")
    # Only the first convolution reads the image; any other in another width is another architecture.
    if len(adapted) > 1:
        misfits += [f"{key} ({how})" for key, how in adapted.items()]
    if missing or misfits:
        reasons = [f"lacks {len(missing)} of {len(target)} tensors: {_some(missing)}"] if missing else []
        reasons += [f"holds {len(misfits)} in other shapes: {_some(misfits)}"] if misfits else []
        raise DataError(
            f"the checkpoint does not fit the encoder: it {' and '.join(reasons)}",
            where=str(path),
            fix="set segmentation.encoder to the one that the file was trained with",
        )
    encoder.load_state_dict(new, strict=False)
    used = {_bare(key) for key in target}
    left_out = tuple(key for bare, key in checkpoint.items() if bare not in used)
    account = EncoderAccount(path, tuple(loaded), adapted, left_out)
    logger.info("%s", account)
    return account


def _bare(key: str) -> str:
    """Return a key without prefixes, and with one kind of separator."""
    while prefix := next((prefix for prefix in PREFIXES if key.startswith(prefix)), ""):
        key = key.removeprefix(prefix)
    return key.replace(".", "_")


def _differs_in_channels_only(given: Tensor, wanted: Tensor) -> bool:
    shapes = (given.shape, wanted.shape)
    return given.ndim == wanted.ndim == 4 and shapes[0][0] == shapes[1][0] and shapes[0][2:] == shapes[1][2:]


def _some(keys: list[str] | tuple[str, ...]) -> str:
    return ", ".join(keys[:4]) + (f" and {len(keys) - 4} more" if len(keys) > 4 else "")
