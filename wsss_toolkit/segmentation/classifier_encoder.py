"""A segmentation network whose encoder is the run's own trained classifier, with a light decoder."""

import copy
import itertools
from collections.abc import Iterator, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wsss_toolkit.errors import UsageError
from wsss_toolkit.heads.classifier import Classifier
from wsss_toolkit.heads.patch_head import PatchHead
from wsss_toolkit.model.embedding import PositionEmbedding
from wsss_toolkit.model.features import patch_features
from wsss_toolkit.pseudo_masks.consensus.heads import ConvHead
from wsss_toolkit.recipe.schema import ClassifierEncoder

PATCH_HEAD = "patch"
"""The head whose scores the decoder can begin with."""


class ClassifierNetwork(nn.Module):
    """Reads the classifier's patch tokens for what is there, and the image itself for where its borders are.

    Tokens of the chosen blocks are normalised, projected to a common width and added up; the image goes through two
    convolutions of stride 2. Both meet at a quarter and then at half of the image's size. With `decoder: head` the
    normalised tokens go through a `ConvHead` alone.

    With `patch_scores` the decoder's logits are added to those that the classifier's own patch classifier gives (the
    background's are 0: a probability of one half), and they start at zero: the first step begins with the classifier's
    masks, and the decoder learns what is wrong with them.

    The classifier stays in evaluation mode, so gates and stochastic depth stand still. With `learning_rate` 0 it is
    frozen and computes no gradients. Otherwise its blocks up to the last that is read learn, but for those that were
    frozen in its own training; gates and class tokens never do.

    Args:
        classifier: The trained classifier; it is taken over.
        section: The recipe's `segmentation.classifier`.
        classes: Output classes, the background included.
        background: Index of the class that has no image-level label, so none in the classifier either; None if there
            is no such class.
        input_scale: How many times larger the classifier sees an image than it is: its patches are so much finer.

    Raises:
        UsageError: If a block is asked for that the classifier does not have, or patch scores without a patch
            classifier.
    """

    def __init__(
        self,
        classifier: Classifier,
        section: ClassifierEncoder,
        classes: int,
        background: int | None = None,
        input_scale: int = 1,
    ) -> None:
        super().__init__()
        backbone = classifier.backbone
        self.blocks = encoder_blocks(section.blocks, backbone.depth)
        self.patch_scores, self.background = section.patch_scores, background
        if self.patch_scores and not isinstance(classifier.head(PATCH_HEAD), PatchHead):
            raise UsageError(
                f"segmentation.classifier.patch_scores needs a classifier whose head {PATCH_HEAD!r} reads patches",
                fix=f"add heads.{PATCH_HEAD}: {{kind: linear}}, or leave patch_scores out",
            )
        self.computed = tuple(sorted({*self.blocks, backbone.depth - 1})) if self.patch_scores else self.blocks
        self.classifier = classifier.eval()
        self.patch_size, self.input_scale = backbone.patch_size, input_scale
        self.frozen = section.learning_rate == 0
        self.head: ConvHead | None = None
        if section.decoder == "head":
            self.norms = nn.ModuleList(nn.LayerNorm(backbone.dim) for _ in self.blocks)
            self.head = ConvHead(len(self.blocks) * backbone.dim, classes, section.width)
            last = self.head.outward
        else:
            last = self._add_borders(backbone.dim, len(backbone.channels), section.width, classes)
        if self.patch_scores:
            nn.init.zeros_(last.weight)
            nn.init.zeros_(cast(Tensor, last.bias))
        classifier.requires_grad_(False)
        for parameter in self.encoder_parameters():
            parameter.requires_grad_(True)

    def _add_borders(self, dim: int, channels: int, width: int, classes: int) -> nn.Conv2d:
        """Add the decoder that reads the image too, and return its last layer."""
        half = max(1, width // 2)
        self.projections = nn.ModuleList(nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, width)) for _ in self.blocks)
        self.merge = _convolution(width, width)
        self.stem_half = _convolution(channels, half, stride=2)
        self.stem_quarter = _convolution(half, width, stride=2)
        self.fuse_quarter = _convolution(2 * width, width)
        self.fuse_half = _convolution(width + half, width)
        self.classify = nn.Conv2d(width, classes, kernel_size=1)
        return self.classify

    def encoder_parameters(self) -> Iterator[nn.Parameter]:
        """Yield the classifier's parameters that learn; none if it is frozen."""
        if self.frozen:
            return
        model = self.classifier.backbone
        for index in range(model.frozen_below, max(self.computed) + 1):
            yield from (value for name, value in model.block(index).named_parameters() if not name.endswith("alpha"))
        if not model.frozen_below:
            embedding = (model.patch_embed, model.pos_embed, model.norm_pre)
            yield from itertools.chain.from_iterable(module.parameters() for module in embedding)
            yield model.registers
        if self.patch_scores:
            yield from itertools.chain(model.norm.parameters(), self._linear().parameters())

    def train(self, mode: bool = True) -> "ClassifierNetwork":
        """Switch training mode of the decoder."""
        super().train(mode)
        self.classifier.eval()
        return self

    def features(self, images: Tensor, *, valid: Tensor | None = None, present: Tensor | None = None) -> Tensor:
        """Return what the classifier says of each patch, ``b n d``: the chosen blocks' tokens and its scores.

        The arguments are those of `MultiTokenViT.forward`.
        """
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            seen, known = self._seen(images, valid)
            computed = patch_features(self.classifier.backbone, seen, self.computed, valid=known, present=present)
            tokens = dict(zip(self.computed, computed, strict=True))
            scores = [self._scores(computed[-1])] if self.patch_scores else []
            return torch.cat([tokens[block] for block in self.blocks] + scores, dim=-1)

    def forward(
        self,
        images: Tensor,
        *,
        valid: Tensor | None = None,
        present: Tensor | None = None,
        features: Tensor | None = None,
    ) -> Tensor:
        """Return logits ``b c h w``; `features` are what `features` returns of these images, if that is known."""
        if features is None:
            features = self.features(images, valid=valid, present=present)
        rows, columns = (side * self.input_scale // self.patch_size for side in images.shape[-2:])
        grid = (rows, columns)
        maps = features.mT.reshape(images.shape[0], -1, *grid)
        read = len(self.blocks) * self.classifier.backbone.dim
        tokens = features[..., :read].chunk(len(self.blocks), dim=-1)
        logits = self._borders(tokens, grid, images) if self.head is None else self._head(tokens, grid)
        scores = maps[:, read:]
        return _enlarge(logits, images) + _enlarge(scores, images) if self.patch_scores else _enlarge(logits, images)

    def _head(self, tokens: Sequence[Tensor], grid: tuple[int, int]) -> Tensor:
        """Return logits of patches, ``b c h w``."""
        assert self.head is not None
        normed = torch.cat([norm(one) for norm, one in zip(self.norms, tokens, strict=True)], dim=-1)
        scores: Tensor = self.head(normed, grid)
        return scores.reshape(*scores.shape[:2], *grid)

    def _borders(self, tokens: Sequence[Tensor], grid: tuple[int, int], images: Tensor) -> Tensor:
        """Return logits at half of the images' size."""
        projected = [layer(one) for layer, one in zip(self.projections, tokens, strict=True)]
        coarse = self.merge(torch.stack(projected).sum(dim=0).mT.reshape(images.shape[0], -1, *grid))
        half = self.stem_half(images)
        quarter = self.stem_quarter(half)
        quarter = self.fuse_quarter(torch.cat((_enlarge(coarse, quarter), quarter), 1))
        half = self.fuse_half(torch.cat((_enlarge(quarter, half), half), 1))
        logits: Tensor = self.classify(half)
        return logits

    def _seen(self, images: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Return images, and which of their pixels hold data, as large as the classifier sees them."""
        scale = self.input_scale
        if scale == 1:
            return images, valid
        large = F.interpolate(images, scale_factor=scale, mode="bilinear", align_corners=False)
        return large, None if valid is None else valid.repeat_interleave(scale, -2).repeat_interleave(scale, -1)

    def _linear(self) -> nn.Linear:
        return cast(PatchHead, self.classifier.head(PATCH_HEAD)).linear

    def _scores(self, patches: Tensor) -> Tensor:
        """Return the patch classifier's scores of the last block's patches, ``b n c`` in the order of mask values."""
        scores: Tensor = self._linear()(self.classifier.backbone.norm(patches))
        if self.background is None:
            return scores
        before, after = scores.tensor_split([self.background], dim=-1)
        return torch.cat((before, torch.zeros_like(scores[..., :1]), after), -1)

    def for_tile(self, side: int) -> "ClassifierNetwork":
        """Return a copy for square images of one size, whose positions need no resampling: for export."""
        fixed = copy.deepcopy(self)
        grid = (side * self.input_scale // self.patch_size,) * 2
        with torch.no_grad():
            positions = self.classifier.backbone.pos_embed(grid).clone()
            fixed.classifier.backbone.pos_embed = PositionEmbedding(positions, grid)
        return fixed


def encoder_blocks(blocks: int | tuple[int, ...], depth: int) -> tuple[int, ...]:
    """Return the blocks whose tokens are read, ascending, of a classifier with `depth` blocks.

    `blocks` are their indices, or their number: then they are evenly spaced, the last block among them.

    Raises:
        UsageError: If there are fewer blocks, or one is named that there is not.
    """
    if isinstance(blocks, int):
        if blocks > depth:
            raise UsageError(f"segmentation.classifier.blocks is {blocks}, but the classifier has {depth}")
        return tuple(round((number + 1) * depth / blocks) - 1 for number in range(blocks))
    chosen = tuple(sorted(set(blocks)))
    if not chosen or chosen[0] < 0 or chosen[-1] >= depth:
        raise UsageError(
            f"segmentation.classifier.blocks names {list(blocks)}, but the classifier has blocks 0 to {depth - 1}"
        )
    return chosen


def _convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def _enlarge(maps: Tensor, like: Tensor) -> Tensor:
    """Resize ``b c h w`` bilinearly to the height and width of another tensor."""
    return F.interpolate(maps, size=like.shape[-2:], mode="bilinear", align_corners=False)
