"""What labels a window: a run's segmentation network, or its classifier's class maps."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wsss_toolkit.compute import autocast
from wsss_toolkit.domain import IGNORE_INDEX, LEVELS
from wsss_toolkit.errors import UsageError, did_you_mean
from wsss_toolkit.heads.saved import MODEL_FILE
from wsss_toolkit.pseudo_masks.consensus.mapper import ConsensusMapper
from wsss_toolkit.pseudo_masks.consensus.model import CONSENSUS_FILE
from wsss_toolkit.pseudo_masks.refiners.refiner import refiners_of
from wsss_toolkit.runs.trained_run import TrainedRun
from wsss_toolkit.segmentation.train import NETWORK_FILE, load_network
from wsss_toolkit.segmentation.unet import predict

ModelStage = Literal["vit", "unet"]

Score = Callable[[Tensor, Tensor, Tensor, bool], Tensor]
"""Maps images `b k h w`, valid pixels `b h w` and present sensors `b s` to class scores `b c h w` in 0..1.

The flag says that the images are whole frames: these are seen at the size of the training images, whatever their own,
while windows of scenes keep the scale that the training images had.
"""

NETWORK_WINDOW = 512
"""Side of a convolutional network's windows, in pixels as it sees them."""

NETWORK_MARGIN = 64
"""What such windows have in common with the next, in the same pixels. With both, the quickstart's masks are nearer to
those of whole scenes than with windows of 256 pixels that overlap by half, for a third of the work."""

NETWORK_PIXELS = 2**19
"""Pixels that it is given at a time: two such windows."""

ATTENTION_WINDOW = 256
"""Side of the windows of a network whose encoder is the classifier, where the recipe gives it no size."""


@dataclass(frozen=True, slots=True)
class Predictor:
    """A model that gives every pixel of a window a score for each class."""

    stage: ModelStage
    architecture: str
    classes: int
    """Number of classes, the background included."""
    score: Score
    """Does it, on the device and without gradients."""
    device: torch.device
    parameters: int
    weights: Path


def choose_stage(run: TrainedRun, stage: ModelStage | None) -> ModelStage:
    """Return the model to use: the segmentation network where the run has one, unless another is asked for.

    Raises:
        UsageError: If the network is asked for and there is none, or a model that no run has.
    """
    if stage not in (None, *get_args(ModelStage)):
        raise UsageError(f"there is no stage {stage!r} to label with", fix=did_you_mean(stage, get_args(ModelStage)))
    if stage == "unet" and not run.has_network:
        raise UsageError(
            "the run has no segmentation network, only the classifier",
            where=str(run.path),
            fix="leave out --stage, or use --stage vit",
        )
    return stage or ("unet" if run.has_network else "vit")


@dataclass(frozen=True, slots=True)
class Windows:
    """How windows slide over a scene."""

    side: int
    """In pixels of the scene."""
    overlap: float
    """Share of a window that it has in common with the next."""
    batch_size: int
    """Windows at a time."""


def choose_windows(
    run: TrainedRun, stage: ModelStage, side: int | None, overlap: float | None, batch_size: int | None
) -> Windows:
    """Return how windows slide; what is None follows from the model.

    The classifier, and a network with it as the encoder, decides what a window shows from all of it, so its windows are
    as large as the training images, overlap by half, and eight are taken at a time. A convolutional network decides
    by pixel, from surroundings that fade with distance: a margin of 64 pixels as it sees them is enough, and the larger
    the window, the less of it is margin.
    """
    section = run.recipe.segmentation
    training = min(run.image_size)
    if stage == "unet" and section is not None and section.encoder != "classifier":
        scale = 1.0 if section.image_size is None else section.image_size / training
        side = side or max(16, round(NETWORK_WINDOW / scale))
        overlap = min(0.5, NETWORK_MARGIN / scale / side) if overlap is None else overlap
        return Windows(side, overlap, batch_size or max(1, round(NETWORK_PIXELS / (scale * side) ** 2)))
    if stage == "unet":
        own = training if section is not None and section.image_size is not None else ATTENTION_WINDOW
    else:
        own = run.recipe.model.image_size if run.recipe.model.fit == "crop" else training
    return Windows(side or own, 0.5 if overlap is None else overlap, batch_size or 8)


def load_predictor(
    run: TrainedRun, stage: ModelStage, device: torch.device, dtype: torch.dtype = torch.float32
) -> Predictor:
    """Load a run's model, of which the network computes in `dtype`; DataError if its file is missing or damaged."""
    model, score, architecture, weights = _network(run, device, dtype) if stage == "unet" else _classifier(run, device)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return Predictor(stage, architecture, len(run.classes.names), score, device, parameters, weights)


def frame_size(images: Tensor, run: TrainedRun) -> tuple[int, int]:
    """Return height and width in pixels of frames `b k h w` that are as high as the training images."""
    height, width = images.shape[-2:]
    return run.image_size[0], max(1, round(width * run.image_size[0] / height))


def framed(images: Tensor, valid: Tensor, run: TrainedRun) -> tuple[Tensor, Tensor]:
    """Bring frames `b k h w` and their valid pixels `b h w` to the height of the training images."""
    size = frame_size(images, run)
    small = F.interpolate(images, size, mode="bilinear", align_corners=False, antialias=True)
    return small, F.interpolate(valid[:, None].float(), size, mode="nearest-exact")[:, 0] > 0.5


def seen_size(images: Tensor, size: tuple[int, int], reference: tuple[int, int]) -> tuple[int, int]:
    """Return the size in pixels of images `b k h w` at the scale that makes `reference` as large as `size`."""
    height, width = images.shape[-2:]
    return max(1, round(height * size[0] / reference[0])), max(1, round(width * size[1] / reference[1]))


def _network(run: TrainedRun, device: torch.device, dtype: torch.dtype) -> tuple[nn.Module, Score, str, Path]:
    """Return the run's network, what it scores, its architecture in words, and its file."""
    section = run.recipe.segmentation
    assert section is not None  # `choose_stage` has looked
    refine = refiners_of(section.refine, on_grid=False)
    # With channels last in memory, convolutions take three quarters of the time on a CPU, and less on GPUs too.
    network = load_network(run.stage("segmentation")).to(device).to(memory_format=torch.channels_last).eval()

    def score(images: Tensor, valid: Tensor, present: Tensor, frames: bool) -> Tensor:
        if section.image_size is None:
            size = frame_size(images, run) if frames else None
        else:
            # A square for a training image; what is larger than one is seen at the same scale.
            square = (section.image_size, section.image_size)
            size = square if frames else seen_size(images, square, run.image_size)
        with torch.inference_mode(), autocast(device, dtype):
            logits = predict(
                network,
                images.to(device, memory_format=torch.channels_last),
                size,
                valid=valid.to(device),
                present=present.to(device),
                refine=refine,
            )
            return logits.float().softmax(dim=1)

    architecture = f"{section.architecture} with encoder {section.encoder}"
    return network, score, architecture, run.stage("segmentation") / NETWORK_FILE


def _classifier(run: TrainedRun, device: torch.device) -> tuple[nn.Module, Score, str, Path]:
    """Let each window vote, at every pixel, for the class that it assigns there, with its confidence."""
    # Scenes have no image-level labels, so the predicted classes are used.
    mapper = replace(run.mapper(device).without_labels(), batch_size=None)

    def score(images: Tensor, valid: Tensor, present: Tensor, frames: bool) -> Tensor:
        size = images.shape[-2:]
        images, valid = images.to(device), valid.to(device)
        if frames:
            images, valid = framed(images, valid, run)
        reference = None if frames else run.image_size
        mask, confidence, _ = mapper.masks(images, valid, present.to(device), reference=reference)
        votes = torch.zeros(len(mask), len(run.classes.names), *mask.shape[1:], device=device)
        counted = (mask != IGNORE_INDEX)[:, None]
        winner = mask.long().masked_fill(mask == IGNORE_INDEX, 0)[:, None]
        # A class that was assigned although its map is 0 there, for want of another, still has a small vote.
        votes.scatter_(1, winner, confidence.clamp_min(1 / LEVELS)[:, None] * counted)
        return F.interpolate(votes, size, mode="bilinear", align_corners=False) if votes.shape[-2:] != size else votes

    backbone = run.recipe.model.backbone
    if isinstance(mapper, ConsensusMapper):
        return mapper.consensus, score, f"{backbone} with a consensus head", run.stage("consensus") / CONSENSUS_FILE
    return mapper.model, score, f"{backbone} with class tokens", run.stage("train") / MODEL_FILE
