"""One transformer block: timm's, with gated attention in place of its own."""

from typing import Any

from torch import Tensor, nn

from wsss_toolkit.model.attention import GatedAttention
from wsss_toolkit.model.attention_maps import Reader
from wsss_toolkit.model.gate import HardConcreteGate
from wsss_toolkit.model.layout import TokenLayout


class Block(nn.Module):
    """Pre-norm attention and MLP with LayerScale and stochastic depth, under timm's parameter names.

    Args:
        block: A timm `Block`, whose parts are taken over.
        heads: Number of attention heads.
        log_alpha: Initial location of the heads' gates; None leaves them ungated.
    """

    def __init__(self, block: Any, heads: int, log_alpha: float | None) -> None:
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
        self, x: Tensor, layout: TokenLayout, outputs: int | None = None, read: Reader | None = None
    ) -> tuple[Tensor, Any]:
        """Return the tokens `b t d` after the block, and what the reader made of its attention.

        With `outputs` only the first tokens are computed, `b o d`; the others are still read.
        """
        attended, attending = self.attn(self.norm1(x), layout, outputs)
        found = None if read is None else read(attending)
        del attending  # the MLP is the block's peak of memory: queries and keys are gone by then
        x = x[:, : attended.shape[1]] + self.drop_path1(self.ls1(attended))
        x = x + self.drop_path2(self.ls2(self.mlp(self.norm2(x))))
        return x, found
