"""Reading a backbone's checkpoint from timm, TorchGeo or a local file, without ever running what is in it."""

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import load_file
from torch import Tensor

from wsss_toolkit.errors import DataError, UsageError, WsssError

TORCH_SUFFIXES = (".pth", ".pt", ".bin", ".ckpt", ".tar")
WRAPPERS = ("state_dict", "model_state_dict", "model", "teacher", "student", "encoder", "module")
"""Keys under which training scripts put a model's tensors."""
ANCHOR = "blocks.0.norm1.weight"
"""A key that every Vision Transformer checkpoint has; what stands before it is the prefix."""
RENAMED = {"register_tokens": "reg_token", "fc_norm.weight": "norm.weight", "fc_norm.bias": "norm.bias"}
"""Other names of tensors that timm and we call differently, used where the usual name is not taken."""


@dataclass(frozen=True)
class Checkpoint:
    """Tensors of a Vision Transformer under timm's names."""

    source: str
    """Where they come from, for messages."""
    tensors: dict[str, Tensor]
    others: tuple[str, ...] = ()
    """Keys of the file that are no part of the Vision Transformer."""
    bands: tuple[str, ...] | None = None
    """Names of the input channels, where the source states them."""
    landsat: bool = False
    """Whether the bands are Landsat's, whose numbers mean other wavelengths than Sentinel-2's."""


def read_checkpoint(spec: str, backbone: str) -> Checkpoint:
    """Read the weights that a recipe names.

    Args:
        spec: `timm`, `torchgeo:ENUM.MEMBER` or the path of a .safetensors or PyTorch file.
        backbone: The timm model whose default checkpoint `timm` stands for.

    Raises:
        UsageError: If `spec` is none of these.
        DataError: If a file is missing, damaged, or holds anything but tensors.
        WsssError: If a checkpoint cannot be downloaded.
    """
    if spec == "timm":
        return _read_timm(backbone)
    if spec.startswith("torchgeo:"):
        return _read_torchgeo(spec)
    path = Path(spec).expanduser()
    if path.suffix not in (".safetensors", *TORCH_SUFFIXES):
        raise UsageError(
            f"unknown weights {spec!r}",
            fix="use none, timm, torchgeo:ENUM.MEMBER, or the path of a .safetensors or .pth file",
        )
    if not path.is_file():
        raise DataError("no such weights file", where=spec, fix="correct model.weights, or use none or timm")
    return select_transformer(read_file(path), spec)


def read_file(path: Path) -> dict[str, Tensor]:
    """Read tensors from a file; pickled objects other than tensors are refused unread.

    Raises:
        DataError: If the file is damaged, or holds anything but tensors.
    """
    try:
        if path.suffix == ".safetensors":
            content: object = load_file(path)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch's advice on pickles is not for those who were sent one
                content = torch.load(path, map_location="cpu", weights_only=True)
    # A damaged or hostile file may fail anywhere in the readers; whatever it raises means the same to the user.
    except Exception as error:
        reason = str(error).strip().partition("\n")[0].partition(". ")[0][:160] or type(error).__name__
        raise DataError(
            "the weights file was refused: it is damaged, or holds more than tensors"
            f" ({type(error).__name__}: {reason})",
            where=str(path),
            fix="download it again, or convert it to .safetensors where you trust it",
        ) from error
    tensors = unwrap(content)
    if not tensors:
        raise DataError("the weights file holds no tensors by name", where=str(path))
    return tensors


def unwrap(content: object) -> dict[str, Tensor]:
    """Return the named tensors in a checkpoint, looking through the usual wrappers."""
    if not isinstance(content, dict):
        return {}
    tensors = {str(key): value.detach() for key, value in content.items() if isinstance(value, Tensor)}
    if _has_transformer(tensors):
        return tensors
    # Training scripts save single tensors, such as the best accuracy, beside the model's.
    wrapped = [inner for key in WRAPPERS if (inner := unwrap(content.get(key)))]
    return next((inner for inner in wrapped if _has_transformer(inner)), tensors or next(iter(wrapped), {}))


def _has_transformer(tensors: Mapping[str, Tensor]) -> bool:
    return any(key == ANCHOR or key.endswith("." + ANCHOR) for key in tensors)


def select_transformer(tensors: dict[str, Tensor], source: str) -> Checkpoint:
    """Find the Vision Transformer among a checkpoint's tensors, whatever prefix it was saved under.

    Of several (a teacher and a student), the one without a prefix, then a teacher or momentum copy, then the shortest
    prefix is taken.

    Raises:
        DataError: If there is none; the error quotes keys that were found.
    """
    prefixes = [key.removesuffix(ANCHOR) for key in tensors if key == ANCHOR or key.endswith("." + ANCHOR)]
    if not prefixes:
        found = ", ".join(sorted(tensors)[:4])
        raise DataError(
            f"the weights hold no Vision Transformer: no key ends in {ANCHOR!r}; found {found}, ...",
            where=source,
            fix="use a checkpoint with timm's names",
        )
    prefix = min(prefixes, key=lambda p: (p != "", not re.search("teacher|momentum|ema", p), len(p), p))
    own = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
    for old, new in RENAMED.items():
        if old in own and new not in own:
            own[new] = own.pop(old)
    others = tuple(key for key in tensors if not key.startswith(prefix))
    return Checkpoint(source, own, others)


def trained_scaling(spec: str, backbone: str) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Return the mean and the standard deviation, as shares of 255, with which timm's weights were trained.

    None for weights of which nothing is known. Nothing is downloaded.
    """
    known = timm.get_pretrained_cfg(backbone) if spec == "timm" else None
    return None if known is None else (tuple(map(float, known.mean)), tuple(map(float, known.std)))


def _read_timm(backbone: str) -> Checkpoint:
    try:
        model = timm.create_model(backbone, pretrained=True, num_classes=0)
    # timm goes through several libraries to a download; what fails there has no common type.
    except Exception as error:
        reason = str(error).strip().partition("\n")[0][:200] or type(error).__name__
        raise WsssError(
            f"timm's weights of {backbone!r} cannot be had: {reason}",
            fix="check the network, or give model.weights the path of a file",
        ) from error
    return select_transformer(dict(model.state_dict()), f"timm:{backbone}")


def _read_torchgeo(spec: str) -> Checkpoint:
    match = re.fullmatch(r"torchgeo:(\w+)\.(\w+)", spec)
    if match is None:
        raise UsageError(
            f"weights {spec!r} name no member", fix="use e.g. torchgeo:ViTSmall16_Weights.SENTINEL2_ALL_DINO"
        )
    name, member = match.groups()
    try:
        import torchgeo.models
        from torchvision.models import WeightsEnum  # type: ignore[import-untyped]
    except ImportError as error:
        raise WsssError(
            f"weights {spec!r} need the package {error.name!r}, which is not installed",
            fix="pip install 'wsss-toolkit[remote-sensing]'",
        ) from error
    found = getattr(torchgeo.models, name, None)
    if not (isinstance(found, type) and issubclass(found, WeightsEnum)):
        known = sorted(key for key in dir(torchgeo.models) if key.startswith("ViT") and key.endswith("_Weights"))
        raise UsageError(f"torchgeo has no weights {name!r}", fix=f"it has {', '.join(known)}")
    enum: Any = found
    if member not in enum.__members__:
        raise UsageError(f"{name} has no member {member!r}", fix=f"it has {', '.join(enum.__members__)}")
    weights = enum[member]
    try:
        content = weights.get_state_dict(progress=False, map_location="cpu", weights_only=True)
    # A download and a file from elsewhere: what fails has no common type.
    except Exception as error:
        reason = str(error).strip().partition("\n")[0][:200] or type(error).__name__
        raise WsssError(
            f"weights {spec!r} cannot be had: {reason}", fix="check the network, or give the path of a file"
        ) from error
    bands = tuple(str(band) for band in weights.meta.get("bands") or ()) or None
    return replace(select_transformer(unwrap(content), spec), bands=bands, landsat=member.startswith("LANDSAT"))
