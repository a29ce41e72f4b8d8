"""The gated Vision Transformer with one token per class.

Source: Hanna & Borth, "Know Your Attention Maps: Class-specific Token Masking for Weakly Supervised Semantic
Segmentation", ICCV 2025; `enter_at > 0` and asymmetric attention are ours (docs/design.md).
"""

from collections.abc import Sequence
from typing import Literal, cast

import torch
from torch import Tensor, nn

from wsss_toolkit.domain import ChannelTable
from wsss_toolkit.errors import UsageError
from wsss_toolkit.model.attention import Attended
from wsss_toolkit.model.backbone import Backbone, create_backbone, starting_tokens
from wsss_toolkit.model.block import Block
from wsss_toolkit.model.embedding import PatchEmbedding, PositionEmbedding
from wsss_toolkit.model.heads import build_head
from wsss_toolkit.model.output import Output, head_class_maps, stack_class_maps
from wsss_toolkit.model.token_masking import mask_absent_tokens
from wsss_toolkit.model.visibility import pool_visible, unless_all, visible_patches
from wsss_toolkit.recipe.schema import Model

Fusion = Literal["early", "per_sensor"]


def build_model(
    section: Model, channels: ChannelTable, fusion: Fusion, classes: int, *, frozen_below: int = 0
) -> "MultiTokenViT":
    """Build the model that a recipe describes, with random weights; deterministic given torch's seed.

    Args:
        section: The recipe's `model` section; its `weights` are not read (see `weights.load_weights`).
        channels: The selected bands: the model's input channels.
        fusion: One patch embedding for all bands, or one per sensor.
        classes: Number of class tokens.
        frozen_below: Blocks below this one are frozen and have no gates.

    Raises:
        UsageError: If the backbone is unknown or not supported, or numbers of blocks contradict each other.
    """
    backbone = create_backbone(
        section.backbone, image_size=section.image_size, patch_size=section.patch_size, depth=section.depth
    )
    return MultiTokenViT(backbone, section, channels, fusion, classes, frozen_below=frozen_below)


class MultiTokenViT(nn.Module):
    """A Vision Transformer whose tokens are C class tokens, N patches and R registers, with gated heads.

    With `class_tokens.shared` there is one class token; its attention is then every class's map.

    Parameters of block i are called ``blocks.{i}.*``; those of the gates end in ``log_alpha``.

    Args:
        backbone: The parts of a timm model; they are taken over, not copied.
        section: The recipe's `model` section.
        channels: The model's input channels.
        fusion: One patch embedding for all bands, or one per sensor.
        classes: Number of class tokens C.
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
        """Assemble the parts and freeze the lower ones."""
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
        self.head = build_head(section.head, self.tokens, classes, self.dim)
        self.patch_classifier = nn.Linear(self.dim, classes) if section.patch_classifier.weight > 0 else None
        if self.patch_classifier is not None:
            nn.init.trunc_normal_(self.patch_classifier.weight, std=0.02)
            nn.init.zeros_(self.patch_classifier.bias)
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

    @property
    def selects_classes(self) -> bool:
        """Whether some class tokens can be computed without the others, with the same results."""
        return self.section.attention == "asymmetric" and self.section.head != "concat"

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
        labels: Tensor | None = None,
        generator: torch.Generator | None = None,
        layers: Sequence[int] = (),
        classes: Sequence[int] | None = None,
        patch_maps: bool = False,
        affinity: bool = False,
        head_maps: bool = False,
    ) -> Output:
        """Classify images and, on request, map classes.

        Args:
            images: float `b c h w`: scaled channels, missing pixels 0; h and w are multiples of the patch
                size.
            present: bool `b s`: which sensors each image has; all if None. Read with `fusion: per_sensor`
                only.
            valid: bool `b h w`: pixels that hold data; a patch without any is read by no token. All if None.
            labels: Image-level labels `b C`; in training mode they turn token masking on.
            generator: Source of the random numbers of token masking, on the images' device.
            layers: Blocks whose class maps are returned; negative indices count from the last.
            classes: Class tokens to compute, in this order; needs asymmetric attention and another head
                than concat, where results are those of the full set.
            patch_maps: Return the patch classifier's scores.
            affinity: Return the last layer's patch-to-patch attention; its memory grows with the square of
                the number of patches.
            head_maps: Return, for `layers`, also the class maps of each head and the gates.

        Raises:
            UsageError: If images, layers or classes do not fit the model, or there is no patch classifier to
                map.
            DataError: If an image has none of its sensors.
        """
        visible = None if valid is None else visible_patches(valid, self.patch_size)
        return self.forward_from(
            self.encode_frozen(images, present, visible),
            self.patch_embed.grid(images),
            visible=visible,
            labels=labels,
            generator=generator,
            layers=layers,
            classes=classes,
            patch_maps=patch_maps,
            affinity=affinity,
            head_maps=head_maps,
        )

    def encode_frozen(self, images: Tensor, present: Tensor | None = None, visible: Tensor | None = None) -> Tensor:
        """Return the tokens after the frozen blocks, `b n+r d`: patches, then registers.

        Without frozen blocks these are the embedded tokens. They depend on nothing that training changes if
        `frozen_below > 0`, so they can be computed once per image and kept.
        """
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.frozen_below == 0):
            grid = self.patch_embed.grid(images)
            tokens = self.embed(images, present)
            for index in range(self.frozen_below):
                tokens, _ = self._block(index, tokens, 0, grid, unless_all(visible))
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
        the state of [CLS] there, added to them, would make them all alike (docs/benchmarks.md).

        Args:
            batch: Number of images b.
            classes: The class tokens to return; all if None.
        """
        chosen = self.class_tokens if classes is None else self.class_tokens[:, list(classes)]
        entering: Tensor = self.norm_pre(chosen) if self.enter_at == 0 else chosen
        return entering.expand(batch, -1, -1)

    def forward_from(
        self,
        tokens: Tensor,
        grid: tuple[int, int],
        *,
        visible: Tensor | None = None,
        labels: Tensor | None = None,
        generator: torch.Generator | None = None,
        layers: Sequence[int] = (),
        classes: Sequence[int] | None = None,
        patch_maps: bool = False,
        affinity: bool = False,
        head_maps: bool = False,
    ) -> Output:
        """Go on from `encode_frozen`'s tokens, which may come from a cache.

        `tokens` are the patches and registers `b n+r d` after the frozen blocks, of any float type; `grid`
        the patches' rows and columns; `visible` the patches that tokens may read, bool `b n`. The other arguments, and
        the errors, are those of `forward`.
        """
        visible = unless_all(visible)
        wanted = self._layer_indices(layers)
        self._check_selection(classes)
        if patch_maps and self.patch_classifier is None:
            raise UsageError(
                "the model has no patch classifier to map with",
                fix="train with model.patch_classifier.weight above 0",
            )
        count = self.tokens if classes is None else len(classes)
        tokens = tokens.to(self.class_tokens.dtype)
        maps: dict[int, Attended] = {}
        patch_affinity = None
        for index in range(self.frozen_below, self.depth):
            if index == self.enter_at:
                tokens = torch.cat((self.enter(len(tokens), classes).to(tokens.dtype), tokens), 1)
            entered = count if index >= self.enter_at else 0
            last = affinity and index == self.depth - 1
            shown = index in wanted
            # Without a patch classifier nothing reads what the last block makes of patches and registers.
            outputs = count if index == self.depth - 1 and self.patch_classifier is None else None
            tokens, attended = self._block(
                index,
                tokens,
                entered,
                grid,
                visible,
                maps=shown,
                affinity=last,
                head_maps=shown and head_maps,
                outputs=outputs,
            )
            if shown:
                maps[index] = attended
            patch_affinity = attended.affinity
        normed = self.norm(tokens)
        patches = normed[:, count : count + grid[0] * grid[1]]
        # The norm takes the mean over channels away, which is all that the mean head reads.
        class_outputs = (tokens if self.section.head == "mean" else normed)[:, :count]
        if self.training and labels is not None and self.section.token_masking > 0:
            selected = labels if classes is None else labels[:, list(classes)]
            class_outputs = mask_absent_tokens(class_outputs, selected, self.section.token_masking, generator)
        scores = self._patch_scores(patches, classes)
        class_maps, layer_weights = stack_class_maps([maps[index] for index in wanted], grid)
        by_head, gates = head_class_maps([maps[index] for index in wanted], grid)
        if class_maps is not None and self.section.class_tokens.shared:
            class_maps = class_maps.expand(-1, -1, self.classes, -1, -1)
            if by_head is not None:
                by_head = tuple(rows.expand(-1, -1, self.classes, -1, -1) for rows in by_head)
        return Output(
            logits=self.head(class_outputs, classes),
            class_maps=class_maps,
            layer_weights=layer_weights,
            patch_logits=None if scores is None else self._pooled(scores, visible),
            patch_maps=scores.mT.reshape(len(scores), -1, *grid) if patch_maps and scores is not None else None,
            affinity=patch_affinity,
            head_maps=by_head,
            gates=gates,
        )

    def _block(
        self,
        index: int,
        tokens: Tensor,
        classes: int,
        grid: tuple[int, int],
        visible: Tensor | None,
        *,
        maps: bool = False,
        affinity: bool = False,
        head_maps: bool = False,
        outputs: int | None = None,
    ) -> tuple[Tensor, Attended]:
        asymmetric = self.section.attention == "asymmetric"
        patches = grid[0] * grid[1]
        block = self.block(index)
        result: tuple[Tensor, Attended] = block(
            tokens,
            classes,
            patches,
            asymmetric=asymmetric,
            visible=visible,
            maps=maps,
            affinity=affinity,
            head_maps=head_maps,
            outputs=outputs,
        )
        return result

    def _patch_scores(self, patches: Tensor, classes: Sequence[int] | None) -> Tensor | None:
        if self.patch_classifier is None:
            return None
        scores: Tensor = self.patch_classifier(patches)
        return scores if classes is None else scores[..., list(classes)]

    def _pooled(self, scores: Tensor, visible: Tensor | None) -> Tensor:
        return pool_visible(scores, visible, self.section.patch_classifier.sharpness)

    def _frozen_modules(self) -> list[nn.Module]:
        if not self.frozen_below:
            return []
        return [self.patch_embed, self.pos_embed, self.norm_pre, *self.blocks[: self.frozen_below]]

    def _layer_indices(self, layers: Sequence[int]) -> list[int]:
        indices = [layer + self.depth if layer < 0 else layer for layer in layers]
        for layer, index in zip(layers, indices, strict=True):
            if index not in self.class_layers:
                raise UsageError(
                    f"layer {layer} has no class tokens",
                    fix=f"use layers {self.enter_at} to {self.depth - 1}",
                )
        return indices

    def _check_selection(self, classes: Sequence[int] | None) -> None:
        if classes is None:
            return
        if not self.selects_classes:
            raise UsageError(
                "classes can be selected only where they do not depend on each other",
                fix="use `attention: asymmetric` and `head: per_token` or `head: mean`",
            )
        if not classes or any(not 0 <= index < self.classes for index in classes):
            raise UsageError(f"classes {list(classes)} are not among 0 to {self.classes - 1}")
