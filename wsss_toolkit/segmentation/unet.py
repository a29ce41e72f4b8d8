"""The segmentation network (from segmentation-models-pytorch or our own), and its prediction at any image size."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import segmentation_models_pytorch as smp
import torch
from segmentation_models_pytorch.encoders import get_encoder_names
from timm import list_models
from timm.models import is_model
from torch import Tensor, nn
from torch.nn import functional as F

from wsss_toolkit.errors import UsageError, WsssError, close_names
from wsss_toolkit.heads.classifier import Classifier
from wsss_toolkit.images.padding import pad_to_multiple
from wsss_toolkit.pseudo_masks.refiners.refiner import Refiner
from wsss_toolkit.recipe.schema import Segmentation
from wsss_toolkit.segmentation.classifier_encoder import ClassifierNetwork
from wsss_toolkit.segmentation.encoder_weights import load_encoder_weights

ARCHITECTURES = {"unet": smp.Unet, "unetplusplus": smp.UnetPlusPlus, "fpn": smp.FPN, "deeplabv3plus": smp.DeepLabV3Plus}

STRIDE = 32
"""Every architecture of segmentation-models-pytorch takes images whose sides are multiples of this."""


def build_network(
    section: Segmentation,
    channels: int,
    classes: int,
    classifier: Classifier | None = None,
    *,
    background: int | None = None,
) -> nn.Module:
    """Build the network that the recipe's `segmentation` describes, with its encoder's weights.

    Args:
        section: The recipe's `segmentation`.
        channels: Input channels; an encoder checkpoint of another number is adapted.
        classes: Output classes, the background included.
        classifier: The trained classifier, which becomes a part of the network: for `encoder: classifier`.
        background: Index of the class that the classifier does not know; None if it knows all. Read by the same.

    Returns:
        A module from images ``b channels h w`` (sides multiples of `stride`) to logits ``b classes h w``. Weights
        that are not loaded are drawn from torch's global generator.

    Raises:
        UsageError: If the encoder is unknown or does not fit the architecture, or a classifier is needed and missing,
            or lacks what the recipe asks of it.
        WsssError: If ImageNet weights cannot be fetched.
        DataError: If a weights file cannot be read or does not match the encoder.
    """
    if section.encoder == "classifier":
        if classifier is None:
            raise UsageError("segmentation.encoder: classifier needs the run's trained classifier, and there is none")
        return ClassifierNetwork(classifier, section.classifier, classes, background, section.input_scale)
    _check_encoder(section.encoder)
    network = _create(section, channels, classes)
    if section.weights not in ("none", "imagenet"):
        load_encoder_weights(cast(nn.Module, network.encoder), Path(section.weights))
    return network


def stride(network: nn.Module) -> int:
    """Return what the sides of the network's images must be multiples of, in pixels."""
    return network.patch_size if isinstance(network, ClassifierNetwork) else STRIDE


def predict(
    network: nn.Module,
    images: Tensor,
    size: tuple[int, int] | None = None,
    *,
    valid: Tensor | None = None,
    present: Tensor | None = None,
    features: Tensor | None = None,
    refine: Sequence[Refiner] = (),
) -> Tensor:
    """Run the network on images of any size.

    Args:
        network: From `build_network`.
        images: ``b k h w``.
        size: Height and width in pixels at which the network sees them; None leaves them as they are.
        valid: Pixels that hold data, bool ``b h w``; all if None. Read by a classifier as the encoder only.
        present: Which sensors each image has, bool ``b s``; all if None. Read by the same.
        features: What the same says of these images, where that is known; None computes it.
        refine: Refiners of the class probabilities, at the size at which the network sees the images; the logits are
            then the logarithms of what comes out.

    Returns:
        Logits ``b c h w`` of the images' size. Gradients and the network's mode are the caller's.
    """
    height, width = images.shape[-2:]
    if size is not None and size != (height, width):
        seen = F.interpolate(images, size, mode="bilinear", align_corners=False, antialias=True)
        if valid is not None:
            valid = F.interpolate(valid[:, None].float(), size, mode="nearest-exact")[:, 0] > 0.5
        logits = predict(network, seen, valid=valid, present=present, refine=refine)
        return F.interpolate(logits, (height, width), mode="bilinear", align_corners=False)
    seen, known = padded(network, images, valid)
    if isinstance(network, ClassifierNetwork):
        logits = cast(Tensor, network(seen, valid=known, present=present, features=features))
    else:
        logits = cast(Tensor, network(seen))
    logits = logits[..., :height, :width]
    if not refine:
        return logits
    scores = logits.float().softmax(dim=1)
    for refiner in refine:
        scores = refiner.refine(scores, images)
    return scores.clamp_min(torch.finfo(scores.dtype).tiny).log()


def padded(network: nn.Module, images: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Extend images ``b k h w`` to sizes that a network takes; padding holds no data in ``valid``, ``b h w``."""
    large = pad_to_multiple(images, stride(network))
    if valid is not None:
        down, right = (wanted - known for wanted, known in zip(large.shape[-2:], images.shape[-2:], strict=True))
        valid = F.pad(valid, (0, right, 0, down), value=False)
    return large, valid


def _create(section: Segmentation, channels: int, classes: int) -> nn.Module:
    """Let segmentation-models-pytorch create the network, with ImageNet weights where they are asked for."""
    fetched = section.weights == "imagenet"
    # Encoders from timm have no list of checkpoints there: True takes timm's default one.
    weights = (True if section.encoder.startswith("tu-") else "imagenet") if fetched else None
    try:
        network = ARCHITECTURES[section.architecture](
            encoder_name=section.encoder, encoder_weights=weights, in_channels=channels, classes=classes
        )
    except (OSError, RuntimeError, KeyError, ValueError, NotImplementedError) as error:
        if fetched:
            raise WsssError(
                f"ImageNet weights of encoder {section.encoder!r} cannot be fetched: {_first_line(error)}",
                fix="check the network, or set segmentation.weights to `none` or to a local file",
            ) from error
        raise UsageError(
            f"segmentation.encoder: {section.encoder!r} does not work with {section.architecture}: "
            f"{_first_line(error)}",
            fix="choose another encoder, e.g. resnet34",
        ) from error
    return cast(nn.Module, network)


def _check_encoder(name: str) -> None:
    """Raise UsageError if neither segmentation-models-pytorch nor, after `tu-`, timm knows an encoder."""
    known = get_encoder_names()
    if name in known or (name.startswith("tu-") and is_model(name.removeprefix("tu-"))):
        return
    close = close_names(name, [*known, *(f"tu-{model}" for model in list_models())], most=3)
    # A timm name without its prefix is the likeliest slip.
    close = [f"tu-{name}", *close][:3] if is_model(name) else close
    hint = (
        f"did you mean {' or '.join(close)}?" if close else "for example resnet34, or tu- and the name of a timm model"
    )
    raise UsageError(f"segmentation.encoder: no encoder is called {name!r}", fix=hint)


def _first_line(error: Exception) -> str:
    text = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
    return text.strip().splitlines()[0][:200] if text.strip() else type(error).__name__
