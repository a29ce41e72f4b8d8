"""One transformer block: timm's, with gated attention in place of its own."""

from typing import Any

from torch import Tensor, nn

from wsss_toolkit.model.attention import Attended, GatedAttention
from wsss_toolkit.model.gate import HardConcreteGate


class Block(nn.Module):
    """Pre-norm attention and MLP with LayerScale and stochastic depth, under timm's parameter names.

    Args:
        block: A timm `Block`, whose parts are taken over.
        heads: Number of attention heads.
        log_alpha: Initial location of the heads' gates; None leaves them ungated.
    """

    def __init__(self, block: Any, heads: int, log_alpha: float | None) -> None:
        """Take over the block's parts."""
        super().__init__()
        attention = block.attn
        self.norm1: nn.Module = block.norm1
        self.attn = GatedAttention(
            attention.qkv,
            attention.proj,
            heads,
            attention.q_norm,
            attention.k_norm,
            None if log_alpha is None else HardConcreteGate(heads, log_alpha),
        )
        self.ls1: nn.Module = block.ls1
        self.drop_path1: nn.Module = block.drop_path1
        self.norm2: nn.Module = block.norm2
        self.mlp: nn.Module = block.mlp
        self.ls2: nn.Module = block.ls2
        self.drop_path2: nn.Module = block.drop_path2

    def forward(
        self,
        x: Tensor,
        classes: int,
        patches: int,
        *,
        asymmetric: bool,
        visible: Tensor | None = None,
        maps: bool = False,
        affinity: bool = False,
        head_maps: bool = False,
        outputs: int | None = None,
    ) -> tuple[Tensor, Attended]:
        """Return the tokens `b n d` after the block, and what `GatedAttention` returned less its tokens.

        With `outputs` only the first tokens are computed, `b o d`; the others are still read.
        """
        attended: Attended = self.attn(
            self.norm1(x),
            classes,
            patches,
            asymmetric=asymmetric,
            visible=visible,
            maps=maps,
            affinity=affinity,
            head_maps=head_maps,
            outputs=outputs,
        )
        x = x[:, : attended.tokens.shape[1]] + self.drop_path1(self.ls1(attended.tokens))
        # They are in x now. Callers keep the rest of every layer that is mapped: with them it would be many times more.
        attended = attended._replace(tokens=x.new_empty(0))
        x = x + self.drop_path2(self.ls2(self.mlp(self.norm2(x))))
        return x, attended
