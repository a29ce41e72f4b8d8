"""What becomes of pixels that no class claimed."""

import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor

OPEN = -1
"""The value of pixels that have no class yet."""


def fill_majority(labels: Tensor) -> Tensor:
    """Give open pixels the most common value among their 8 neighbours, ring by ring, until none is left.

    All pixels of a ring look at the state before it, so the result does not depend on an order of visiting.
    Equally common values: the lowest wins.

    Args:
        labels: int64 ``b h w`` with class indices and `OPEN`.

    Returns:
        int64 ``b h w``. An image without any class stays open.
    """
    batch, height, width = labels.shape
    padded = labels.new_full((batch, height + 2, width + 2), OPEN)
    padded[:, 1:-1, 1:-1] = labels
    inside = torch.zeros_like(padded, dtype=torch.bool)
    inside[:, 1:-1, 1:-1] = True
    flat = padded.flatten()
    stride = width + 2
    offsets = torch.tensor(
        [-stride - 1, -stride, -stride + 1, -1, 1, stride - 1, stride, stride + 1], device=labels.device
    )
    edge = ~inside.flatten()
    above_all = int(labels.max()) + 1 if labels.numel() else 0
    # The first ring is looked for everywhere, each later one beside the ring before it.
    ring = ((flat == OPEN) & ~edge).nonzero().squeeze(1)
    ring = ring[(flat[ring[:, None] + offsets] != OPEN).any(dim=1)]
    while len(ring):
        neighbours = flat[ring[:, None] + offsets]  # p 8
        votes = (neighbours[:, :, None] == neighbours[:, None, :]).sum(dim=2)
        # One number that orders by votes first and by the lower class second; open neighbours have no vote.
        score = (votes * (above_all + 1) - neighbours).masked_fill(neighbours == OPEN, -1)
        flat[ring] = neighbours.gather(1, score.argmax(dim=1, keepdim=True)).squeeze(1)
        beside = (ring[:, None] + offsets).flatten()
        ring = torch.unique(beside[(flat[beside] == OPEN) & ~edge[beside]])
    return flat.view_as(padded)[:, 1:-1, 1:-1].clone()


def fill_nearest(labels: Tensor) -> Tensor:
    """Give open pixels the value of the nearest pixel that has one, by Euclidean distance.

    Equally near pixels: the one that scipy's exact distance transform finds first.

    Args:
        labels: int64 ``b h w`` with class indices and `OPEN`.

    Returns:
        int64 ``b h w``. An image without any class stays open.
    """
    filled = labels.clone()
    for image in filled:
        missing = (image == OPEN).cpu().numpy()
        if missing.any() and not missing.all():
            rows, columns = distance_transform_edt(missing, return_distances=False, return_indices=True)
            image.copy_(image[torch.from_numpy(rows).long(), torch.from_numpy(columns).long()])
    return filled
