"""Tokens on disk, known by what they were computed from: later stages and runs need not compute them again."""

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from wsss_toolkit.errors import WsssError
from wsss_toolkit.files import remove_leftovers, user_cache, write_bytes
from wsss_toolkit.model.vit import MultiTokenViT

COMPUTED_BY = 1
"""To be raised when tokens of the same image and weights are computed otherwise: older files are not found then."""


class TokenCache:
    """Half-precision tokens, one file per image, in ``wsss-toolkit/tokens`` of the user's cache folder.

    A file's name is the SHA-256 of the weights, the blocks, and the image as the backbone sees it. No tokens are
    ever deleted here, and any file may be at any time.

    Args:
        backbone: Makes the tokens.
        blocks: Whose tokens are kept.
    """

    def __init__(self, backbone: MultiTokenViT, blocks: Sequence[int]) -> None:
        """Read the weights."""
        self._tidied: set[Path] = set()
        # Where the weights came from says nothing that they do not say themselves.
        section = backbone.section.model_dump(mode="json", exclude={"weights"})
        self._model = hashlib.sha256(json.dumps([COMPUTED_BY, list(blocks), section], sort_keys=True).encode())
        for name, value in backbone.state_dict().items():
            # Patches do not read class tokens then, which start at random.
            if backbone.section.attention == "asymmetric" and name == "class_tokens":
                continue
            self._model.update(f"{name} {list(value.shape)}".encode())
            self._model.update(value.detach().cpu().contiguous().numpy())

    def files(self, images: Tensor, valid: Tensor, present: Tensor, size: Sequence[int]) -> list[Path] | None:
        """Return the file of each image; None where there is no folder to keep any.

        Args:
            images: Scaled, `b c h w`.
            valid: Pixels that hold data, bool `b h w`.
            present: Sensors that each image has, bool `b s`.
            size: Height and width at which they are shown to the backbone.
        """
        folder = user_cache("tokens")
        if folder is None:
            return None
        found = []
        for parts in zip(images, valid, present, strict=True):
            known = self._model.copy()
            known.update(f"{list(size)}".encode())
            for part in parts:
                known.update(f"{list(part.shape)}".encode())
                known.update(part.cpu().contiguous().numpy())
            name = known.hexdigest()
            found.append(folder / name[:2] / f"{name}.safetensors")
        return found

    def read(self, files: Sequence[Path]) -> Tensor | None:
        """Return the tokens of some images, float16 `b n d`; None where one is missing or damaged."""
        found = []
        for file in files:
            try:
                with safe_open(file, "pt") as opened:
                    found.append(opened.get_tensor("tokens"))
            except (OSError, SafetensorError):
                return None
        return torch.stack(found) if len({values.shape for values in found}) == 1 else None

    def write(self, files: Sequence[Path], tokens: Tensor) -> None:
        """Keep the tokens of some images, `b n d`, where there is room for them."""
        with suppress(OSError, WsssError):  # a full or read-only folder costs time, not the run
            for file, values in zip(files, tokens.cpu(), strict=True):
                file.parent.mkdir(parents=True, exist_ok=True)
                if file.parent not in self._tidied:
                    remove_leftovers(file.parent, shared=True)
                    self._tidied.add(file.parent)
                write_bytes(file, save({"tokens": values.contiguous()}))
