"""The fitted consensus: from an image to where there is foreground, and of which class."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from wsss_toolkit.errors import DataError
from wsss_toolkit.files import write_bytes
from wsss_toolkit.model.vit import MultiTokenViT
from wsss_toolkit.pseudo_masks.consensus.features import Standardise, TokenReader
from wsss_toolkit.pseudo_masks.consensus.heads import ConvHead, LinearHead, mean_logit
from wsss_toolkit.pseudo_masks.consensus.regions import Regions

CONSENSUS_FILE = "consensus.safetensors"
"""Heads and statistics, in the folder of their stage."""


class Found(NamedTuple):
    """What the consensus says of images.

    Attributes:
        foreground: Probabilities, `b gh gw`.
        scores: How much each patch speaks for each class, `b c gh gw`.
        logits: Image-level logits `b c`.
    """

    foreground: Tensor
    scores: Tensor
    logits: Tensor


class Consensus(nn.Module):
    """Everything that was fitted, with the backbone that it reads.

    Args:
        reader: Reads tokens.
        standardise: Makes features of them.
        heads: Say where there is foreground.
        regions: Says which classes an image, and a patch, shows.
    """

    def __init__(self, reader: TokenReader, standardise: Standardise, heads: nn.ModuleList, regions: Regions) -> None:
        """Put the parts together."""
        super().__init__()
        self.reader, self.standardise, self.heads, self.regions = reader, standardise, heads, regions

    @torch.no_grad()
    def forward(self, images: Tensor, valid: Tensor, present: Tensor, reference: Sequence[int] | None = None) -> Found:
        """Look at images; the arguments are those of `TokenReader.forward`."""
        tokens = self.reader(images, valid, present, reference)
        white = self.standardise(tokens.values)
        foreground = mean_logit(self.heads, white, tokens.grid).sigmoid()
        scores, logits = self.regions(self.standardise.half_white(white), foreground, tokens.inner)
        grid = tokens.grid
        return Found(foreground.view(-1, *grid), scores.mT.reshape(len(scores), -1, *grid), logits)


def save_consensus(consensus: Consensus, folder: Path, tags: Mapping[str, str]) -> None:
    """Write what was fitted; the backbone is not part of it."""
    tensors = {name: value for name, value in consensus.state_dict().items() if not name.startswith("reader.")}
    about = {
        "blocks": consensus.reader.blocks,
        "resolution": consensus.reader.resolution,
        "head": "conv" if isinstance(consensus.heads[0], ConvHead) else "linear",
    }
    tensors = {name: value.contiguous() for name, value in tensors.items()}
    write_bytes(folder / CONSENSUS_FILE, save(tensors, {**tags, "wsss_consensus": json.dumps(about)}))


def load_consensus(folder: Path, backbone: MultiTokenViT, *, kept: bool = False) -> Consensus:
    """Read what `save_consensus` wrote, in evaluation mode.

    Args:
        folder: The stage's.
        backbone: What it was fitted on.
        kept: Whether tokens are kept on disk; see `TokenCache`.

    Raises:
        DataError: If the file is missing, damaged, or does not fit the backbone.
    """
    file = folder / CONSENSUS_FILE
    try:
        with safe_open(file, "pt") as opened:
            about = json.loads((opened.metadata() or {})["wsss_consensus"])
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}
        channels, components = tensors["standardise.projection"].shape
        made = LinearHead if about["head"] == "linear" else ConvHead
        count = len({name.split(".")[1] for name in tensors if name.startswith("heads.")})
        consensus = Consensus(
            TokenReader(backbone, about["blocks"], about["resolution"], kept=kept),
            Standardise(channels, components),
            nn.ModuleList(made(components) for _ in range(count)),
            Regions(components, backbone.classes),
        )
        lacking, unknown = consensus.load_state_dict(tensors, strict=False)
        if unknown or any(not name.startswith("reader.") for name in lacking):
            raise ValueError(f"tensors {(unknown or lacking)[:3]} do not fit")
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, IndexError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(
            f"the consensus cannot be read: {reason}", where=str(file), fix="run the stage consensus again"
        ) from error
    return consensus.eval()
