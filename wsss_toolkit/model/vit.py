"""The gated Vision Transformer with one token per class.

Source: Hanna & Borth, "Know Your Attention Maps: Class-specific Token Masking for Weakly Supervised Semantic
Segmentation", ICCV 2025; `enter_at > 0` and asymmetric attention are ours (docs/method.md).
"""

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from wsss_toolkit.domain import ChannelTable
from wsss_toolkit.errors import UsageError
from wsss_toolkit.model.attention_maps import Reader
from wsss_toolkit.model.backbone import Backbone, create_backbone, starting_tokens
from wsss_toolkit.model.block import Block
from wsss_toolkit.model.embedding import PatchEmbedding, PositionEmbedding
from wsss_toolkit.model.layout import TokenLayout, unless_all, visible_patches
from wsss_toolkit.model.output import Output
from wsss_toolkit.recipe.schema import Model

Fusion = Literal["early", "per_sensor"]

Read = Mapping[int, Reader]
"""Which blocks' attention is looked at, and by which function."""

NOTHING: Read = MappingProxyType({})


def build_backbone(
    section: Model, channels: ChannelTable, fusion: Fusion, classes: int, *, frozen_below: int = 0
) -> "MultiTokenViT":
    """Build the Vision Transformer that a recipe describes; deterministic given torch's seed.

    The arguments are those of `MultiTokenViT`; the section's `weights` are not read (see `weights.load_weights`).

    Raises:
        UsageError: If the backbone is unknown or not supported, or numbers of blocks contradict each other.
    """
    backbone = create_backbone(
        section.backbone, image_size=section.image_size, patch_size=section.patch_size, depth=section.depth
    )
    return MultiTokenViT(backbone, section, channels, fusion, classes, frozen_below=frozen_below)


class MultiTokenViT(nn.Module):
    """A Vision Transformer whose tokens are C class tokens, N patches and R registers, with gated attention heads.

    What tokens mean is said by the heads that read them (`heads/`). With `class_tokens.shared` there is one class
    token. Parameters of block i are called ``blocks.{i}.*``; those of the gates end in ``log_alpha``.

    Args:
        backbone: The parts of a timm model; they are taken over, not copied.
        section: The recipe's `model` section.
        channels: The model's input channels.
        fusion: One patch embedding for all bands, or one per sensor.
        classes: Number of classes C.
        frozen_below: Blocks below this one are frozen and have no gates.

    Raises:
        UsageError: If class tokens enter above the last block, or below the last frozen one.
    """

    def __init__(
        self,
        backbone: Backbone,
        section: Model,
        channels: ChannelTable,
        fusion: Fusion,
        classes: int,
        *,
        frozen_below: int = 0,
    ) -> None:
        super().__init__()
        self.section, self.channels, self.fusion, self.classes = section, channels, fusion, classes
        self.tokens = 1 if section.class_tokens.shared else classes
        self.dim, self.patch_size = backbone.dim, backbone.patch_size
        self.enter_at = section.class_tokens.enter_at
        if self.enter_at >= len(backbone.blocks):
            raise UsageError(
                f"class_tokens.enter_at is {self.enter_at}, but the last block is {len(backbone.blocks) - 1}"
            )
        if classes < 1:
            raise UsageError(f"the model needs at least one class, got {classes}")

        per_sensor = [len(sensor.bands) for sensor in channels.sensors]
        self.patch_embed = PatchEmbedding(
            per_sensor if fusion == "per_sensor" else [sum(per_sensor)],
            self.dim,
            self.patch_size,
            bias=backbone.projection_bias,
        )
        side = section.image_size // self.patch_size
        self.pos_embed = PositionEmbedding(backbone.positions, (side, side))
        class_tokens, registers = starting_tokens(
            backbone.class_token,
            backbone.registers,
            classes=self.tokens,
            count=section.registers,
            enter_at=self.enter_at,
            noise_std=section.class_tokens.noise_std,
        )
        self.class_tokens = nn.Parameter(class_tokens)
        self.registers = nn.Parameter(registers)
        self.norm_pre = backbone.norm_pre
        log_alpha = section.gates.log_alpha if section.gates.enabled else None
        self.blocks = nn.ModuleList(Block(block, backbone.heads, log_alpha) for block in backbone.blocks)
        self.norm = backbone.norm
        self.frozen_below = 0
        self.freeze(frozen_below)

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return len(self.blocks)

    @property
    def image_size(self) -> int:
        """Side of the square training images in pixels."""
        return self.section.image_size

    def block(self, index: int) -> Block:
        """Return one block."""
        return cast(Block, self.blocks[index])

    @property
    def class_layers(self) -> range:
        """Indices of the blocks that have class tokens, and so class maps."""
        return range(self.enter_at, self.depth)

    def freeze(self, below: int) -> None:
        """Keep blocks below `below`, and all that feeds them, as they are; their heads lose their gates.

        Raises:
            UsageError: If class tokens enter below `below`: cached outputs could not hold them.
        """
        if not 0 <= below <= self.enter_at:
            raise UsageError(
                f"freeze_below is {below}, but class tokens enter before block {self.enter_at}",
                fix=f"use at most {self.enter_at}",
            )
        if below < self.frozen_below:
            raise UsageError(f"blocks below {self.frozen_below} are frozen already, cannot freeze only {below}")
        self.frozen_below = below
        for module in self._frozen_modules():
            module.requires_grad_(False)
        for index in range(below):
            self.block(index).attn.gate = None
        if below:
            self.registers.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> "MultiTokenViT":
        """Switch training mode; the frozen part stays in evaluation mode (stochastic depth)."""
        super().train(mode)
        for module in self._frozen_modules():
            module.eval()
        return self

    def forward(
        self,
        images: Tensor,
        *,
        present: Tensor | None = None,
        valid: Tensor | None = None,
        classes: Sequence[int] | None = None,
        read: Read = NOTHING,
        keep: Collection[int] = (),
        whole: bool = True,
    ) -> Output:
        """Return the tokens of images, and what readers see in the attention of their blocks.

        Args:
            images: float `b c h w`: scaled channels, missing pixels 0; h and w are multiples of the patch size.
            present: bool `b s`: which sensors each image has; all if None. Read with `fusion: per_sensor` only.
            valid: bool `b h w`: pixels that hold data; a patch without any is read by no token. All if None.
            classes: Class tokens to compute, in this order; needs asymmetric attention, where results are those of the
                full set. All if None.
            read: A reader for each block whose attention is looked at (`attention_maps.py`).
            keep: Blocks after which the tokens are kept.
            whole: Compute all tokens in the last block; otherwise the class tokens alone, where nothing reads the
                others.

        Raises:
            UsageError: If images, blocks or classes do not fit the model.
            DataError: If an image has none of its sensors.
        """
        visible = None if valid is None else visible_patches(valid, self.patch_size)
        frozen = self.encode_frozen(images, present, visible)
        grid = self.patch_embed.grid(images)
        return self.forward_from(frozen, grid, visible=visible, classes=classes, read=read, keep=keep, whole=whole)

    def forward_from(
        self,
        tokens: Tensor,
        grid: tuple[int, int],
        *,
        visible: Tensor | None = None,
        classes: Sequence[int] | None = None,
        read: Read = NOTHING,
        keep: Collection[int] = (),
        whole: bool = True,
    ) -> Output:
        """Go on from `encode_frozen`'s tokens, which may come from a cache.

        `tokens` are the patches and registers `b n+r d` after the frozen blocks, of any float type; `grid` the patches'
        rows and columns; `visible` the patches that tokens may read, bool `b n`. The rest is as for `forward`.
        """
        self._check(classes, read, keep)
        x = tokens.to(self.class_tokens.dtype)
        layout = self.layout(grid, visible)
        found: dict[int, Any] = {}
        kept: dict[int, Tensor] = {}
        for index in range(self.frozen_below, self.depth):
            if index == self.enter_at:
                entering = self.enter(len(x), classes)
                x, layout = torch.cat((entering.to(x.dtype), x), 1), layout.with_classes(entering.shape[1])
            alone = index == self.depth - 1 and not whole
            x, made = self.block(index)(x, layout, layout.classes if alone else None, read.get(index))
            if index in read:
                found[index] = made
            if index in keep:
                kept[index] = x
        return Output(x, self.norm(x), layout, found, kept)

    def layout(self, grid: tuple[int, int], visible: Tensor | None) -> TokenLayout:
        """Return where tokens lie below the block that class tokens enter."""
        asymmetric = self.section.attention == "asymmetric"
        return TokenLayout(0, grid, self.registers.shape[1], unless_all(visible), asymmetric)

    def encode_frozen(self, images: Tensor, present: Tensor | None = None, visible: Tensor | None = None) -> Tensor:
        """Return the tokens after the frozen blocks, `b n+r d`: patches, then registers.

        Without frozen blocks these are the embedded tokens. They depend on nothing that training changes if
        `frozen_below > 0`, so they can be computed once per image and kept.
        """
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.frozen_below == 0):
            layout = self.layout(self.patch_embed.grid(images), visible)
            tokens = self.embed(images, present)
            for index in range(self.frozen_below):
                tokens, _ = self.block(index)(tokens, layout)
            return tokens

    def embed(self, images: Tensor, present: Tensor | None = None) -> Tensor:
        """Return the tokens that enter the first block, `b n+r d`: patches with their positions, then registers."""
        patches = self.patch_embed(images, present) + self.pos_embed(self.patch_embed.grid(images))
        registers = self.registers.expand(images.shape[0], -1, -1).to(patches.dtype)
        tokens: Tensor = self.norm_pre(torch.cat((patches, registers), 1))
        return tokens

    def enter(self, batch: int, classes: Sequence[int] | None = None) -> Tensor:
        """Return the class tokens as they enter the sequence, `b k d`: learned, and the same for every image.

        At block 0 they go through the norm before the first block as every token does. At a later block they do not:
        the state of [CLS] there, added to them, would make them all alike (docs/trials.md).

        Args:
            batch: Number of images b.
            classes: The class tokens to return; all if None.
        """
        chosen = self.class_tokens if classes is None else self.class_tokens[:, list(classes)]
        entering: Tensor = self.norm_pre(chosen) if self.enter_at == 0 else chosen
        return entering.expand(batch, -1, -1)

    def _frozen_modules(self) -> list[nn.Module]:
        if not self.frozen_below:
            return []
        return [self.patch_embed, self.pos_embed, self.norm_pre, *self.blocks[: self.frozen_below]]

    def _check(self, classes: Sequence[int] | None, read: Read, keep: Collection[int]) -> None:
        for index in (*read, *keep):
            if not self.frozen_below <= index < self.depth:
                raise UsageError(
                    f"block {index} is frozen or not there", fix=f"use {self.frozen_below} to {self.depth - 1}"
                )
        if classes is None:
            return
        if self.section.attention != "asymmetric":
            raise UsageError("class tokens that read each other cannot be selected", fix="use `attention: asymmetric`")
        if not classes or any(not 0 <= index < self.classes for index in classes):
            raise UsageError(f"classes {list(classes)} are not among 0 to {self.classes - 1}")

    def no_weight_decay(self) -> set[str]:
        """Return the names of parameters that must not decay, beside biases and norms: timm's declaration."""
        gates = {name for name, _ in self.named_parameters() if name.endswith("log_alpha")}
        return {"pos_embed.weight", "class_tokens", "registers", *gates}
