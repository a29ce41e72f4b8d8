"""Any plain timm `VisionTransformer` as the backbone, and a clear no to everything else."""

from dataclasses import dataclass
from typing import Any

import timm
import torch
from timm.layers.attention import Attention
from timm.layers.patch_embed import PatchEmbed
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from wsss_toolkit.errors import UsageError, did_you_mean

SUPPORTED = "a plain timm VisionTransformer: vit_*, deit_*, deit3_*, CLIP, SigLIP, MAE, DINO or DINOv2"
REGISTER_STD = 0.02
"""Standard deviation of registers, and of class tokens, that no checkpoint starts."""


@dataclass(frozen=True)
class Backbone:
    """The parts of a timm model that a multi-token ViT is made of."""

    blocks: nn.ModuleList
    norm_pre: nn.Module
    """Norm before the first block (CLIP), or identity."""
    norm: nn.Module
    """Final norm of each token."""
    positions: Tensor
    """Positions of patches `1 n d`."""
    class_token: Tensor | None
    """[CLS] with its position `1 1 d`, or None."""
    registers: Tensor
    """Registers with their positions `1 r d`, r possibly 0."""
    dim: int
    """Width of a token."""
    heads: int
    patch_size: int
    """Side of a patch in pixels."""
    projection_bias: bool


def create_backbone(name: str, *, image_size: int, patch_size: int | None, depth: int | None) -> Backbone:
    """Build a timm Vision Transformer with random weights, for square images of `image_size` pixels.

    Raises:
        UsageError: If timm does not know the name, the model is not a plain `VisionTransformer`, or the image
            size is not a whole number of patches.
    """
    check_name(name)
    given = {"img_size": image_size, "patch_size": patch_size, "depth": depth}
    sizes: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    try:
        model: Any = timm.create_model(name, pretrained=False, num_classes=0, **sizes)
    except (RuntimeError, TypeError, AssertionError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UsageError(f"backbone {name!r} cannot be built: {reason}", fix=f"use {SUPPORTED}") from error
    check_plain(name, model)
    side = int(model.patch_embed.patch_size[0])
    if image_size < side or image_size % side:
        raise UsageError(
            f"image_size {image_size} is not a whole number of patches of {side} pixels",
            fix=f"use a multiple of {side}, such as {max(1, round(image_size / side)) * side}",
        )
    class_token, registers, positions = split_tokens(
        model.cls_token, model.reg_token, model.pos_embed, patches=(image_size // side) ** 2
    )
    return Backbone(
        blocks=nn.ModuleList(model.blocks),
        norm_pre=model.norm_pre,
        # Models that pool over patches keep their final norm behind the pooling (timm: fc_norm).
        norm=model.fc_norm if isinstance(model.norm, nn.Identity) else model.norm,
        positions=positions,
        class_token=class_token,
        registers=registers,
        dim=int(model.embed_dim),
        heads=int(model.blocks[0].attn.num_heads),
        patch_size=side,
        projection_bias=model.patch_embed.proj.bias is not None,
    )


def check_name(name: str) -> None:
    """Raise UsageError, with close matches, where timm has no model of this name."""
    if timm.is_model(name):
        return
    known = timm.list_models("vit_*") + timm.list_models("deit*")
    hint = did_you_mean(name.partition(".")[0], known, f"use {SUPPORTED}", most=3)
    raise UsageError(f"timm has no model called {name!r}", fix=hint)


def check_plain(name: str, model: Any) -> None:
    """Raise UsageError, which names the part, where our forward pass would not reproduce the model's."""
    if type(model) is not VisionTransformer:
        odd = f"is a {type(model).__name__}"
    elif type(model.patch_embed) is not PatchEmbed or not isinstance(model.patch_embed.norm, nn.Identity):
        odd = f"has the patch embedding {type(model.patch_embed).__name__}"
    elif model.pos_embed is None:
        odd = "has no learned position embedding"
    elif any(type(block) is not Block for block in model.blocks):
        odd = f"has blocks of type {type(model.blocks[0]).__name__}"
    elif any(type(block.attn) is not Attention for block in model.blocks):
        odd = f"has attention of type {type(model.blocks[0].attn).__name__}"
    elif any(
        not isinstance(getattr(block.attn, "norm", nn.Identity()), nn.Identity)
        or getattr(block.attn, "gate", None) is not None
        for block in model.blocks
    ):
        odd = "norms or gates the attention's output"
    else:
        return
    raise UsageError(f"backbone {name!r} {odd}, which is not supported", fix=f"use {SUPPORTED}")


def split_tokens(
    class_token: Tensor | None, registers: Tensor | None, positions: Tensor, *, patches: int
) -> tuple[Tensor | None, Tensor, Tensor]:
    """Split a ViT's position embedding and add to each prefix token its own position.

    Args:
        class_token: [CLS] `1 1 d` or None.
        registers: Registers `1 r d` or None.
        positions: Position embedding `1 p+n d`, with p = 0, 1 or 1 + r positions of prefix tokens.
        patches: Number of patches n.

    Returns:
        [CLS] `1 1 d` or None, registers `1 r d`, and patch positions `1 n d`, all detached.
    """
    prefix = positions.shape[1] - patches
    prefix_positions, patch_positions = torch.split(positions.detach(), [prefix, patches], 1)
    tokens = [token.detach() for token in (class_token, registers) if token is not None]
    joined = torch.cat(tokens, 1) if tokens else positions.new_zeros(1, 0, positions.shape[-1])
    joined[:, :prefix] += prefix_positions
    count = 0 if class_token is None else 1
    return joined[:, :1] if count else None, joined[:, count:], patch_positions.clone()


def starting_tokens(
    class_token: Tensor | None, registers: Tensor, *, classes: int, count: int, enter_at: int, noise_std: float
) -> tuple[Tensor, Tensor]:
    """Return initial class tokens `1 C d` and registers `1 R d` from a backbone's own prefix tokens.

    Class tokens start from [CLS], and the registers from the backbone's. Where class tokens enter above block 0, [CLS]
    also goes through the blocks below as the first register.

    Args:
        class_token: [CLS] with its position `1 1 d`, or None.
        registers: The backbone's registers with their positions `1 r d`.
        classes: Number of class tokens C.
        count: Number of registers R wanted; those that the backbone lacks are noise.
        enter_at: The block that class tokens enter before.
        noise_std: Standard deviation of the noise that makes class tokens differ.
    """
    if enter_at > 0 and class_token is not None:
        registers = torch.cat((class_token, registers), 1)
    dim = registers.shape[-1]
    own = registers[:, :count]
    noise = torch.randn(1, count - own.shape[1], dim, device=own.device) * REGISTER_STD
    if class_token is None:
        class_token = registers.new_zeros(1, 1, dim)
        noise_std = max(noise_std, REGISTER_STD)  # nothing to start from: zeros would all stay alike
    tokens = class_token + torch.randn(1, classes, dim, device=own.device) * noise_std
    return tokens, torch.cat((own, noise), 1)
