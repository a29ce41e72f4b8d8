"""Where tokens lie in the sequence, and which of them may be read."""

from dataclasses import dataclass, replace

from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True, slots=True)
class TokenLayout:
    """The order of tokens: class tokens, then patches row by row, then registers.

    >>> layout = TokenLayout(classes=3, grid=(2, 4), registers=1)
    >>> layout.patches, layout.length
    (8, 12)
    """

    classes: int
    """Number of class tokens in the sequence; 0 below the block that they enter."""
    grid: tuple[int, int]
    """Rows and columns of patches."""
    registers: int
    visible: Tensor | None = None
    """Patches that may be read, bool `b n`; None where all may."""
    asymmetric: bool = False
    """Patches and registers read each other, a class token reads them and itself; otherwise every token reads every
    token."""

    @property
    def patches(self) -> int:
        """Number of patches N."""
        return self.grid[0] * self.grid[1]

    @property
    def length(self) -> int:
        """Number of tokens."""
        return self.classes + self.patches + self.registers

    def with_classes(self, classes: int) -> "TokenLayout":
        """Return the layout with so many class tokens before the others."""
        return replace(self, classes=classes)

    def readable(self) -> Tensor | None:
        """Return which patches and registers may be read, bool `b n+r`: registers always; None where all may.

        In an image without any visible patch all are, because attention over nothing is not defined.

        >>> import torch
        >>> TokenLayout(3, (1, 2), registers=1, visible=torch.tensor([[True, False]])).readable()
        tensor([[ True, False,  True]])
        """
        if self.visible is None:
            return None
        seen = self.visible | ~self.visible.any(dim=1, keepdim=True)
        return F.pad(seen, (0, self.registers), value=True)

    def on_grid(self, patches: Tensor) -> Tensor:
        """Lay values of patches `... n` out as pictures `... gh gw`."""
        return patches.reshape(*patches.shape[:-1], *self.grid)


def visible_patches(valid: Tensor, patch_size: int) -> Tensor:
    """Return the patches, bool `b n` row by row, that have at least one pixel with data: `valid`, bool `b h w`.

    >>> import torch
    >>> visible_patches(torch.tensor([[[True, False, False, False], [False, False, False, False]]]), 2)
    tensor([[ True, False]])
    """
    return F.max_pool2d(valid[:, None].float(), patch_size).flatten(1) > 0


def unless_all(visible: Tensor | None) -> Tensor | None:
    """Return None where every patch of every image is visible: attention without a mask is faster."""
    return None if visible is None or bool(visible.all()) else visible
