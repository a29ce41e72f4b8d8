"""The features of all training images in memory, those of one size together."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from wsss_toolkit.images.dataset import ImageDataset, Item, batches_with_keys
from wsss_toolkit.pseudo_masks.consensus.features import Standardise, TokenReader, Tokens
from wsss_toolkit.pseudo_masks.mapper import Mapper

BATCH = 8
"""Images whose tokens are computed at once."""


class Group(NamedTuple):
    """Images whose grids of patches have one size.

    Attributes:
        places: Their places in the data set, int64 `m`.
        white: Their white features, float16 `m n k`.
        inner: Patches that hold data and lie within the margin, bool `m n`.
        grid: Rows and columns of patches.
    """

    places: Tensor
    white: Tensor
    inner: Tensor
    grid: tuple[int, int]


Batch = list[tuple[int, Tensor]]
"""Images by group: the number of a group, and places in it."""


def batches(groups: Sequence[Group], size: int, random: np.random.Generator) -> list[Batch]:
    """Return all images in random order, in batches of at most `size`.

    Sizes are mixed: images of one size are often of one source, and batches of one source at a time lead astray.
    """
    numbers = np.repeat(np.arange(len(groups)), [len(group.places) for group in groups])
    places = np.concatenate([np.arange(len(group.places)) for group in groups])
    found = []
    for some in np.split(order := random.permutation(len(places)), range(size, len(order), size)):
        some = np.sort(some)
        chosen = np.unique(numbers[some])
        found.append([(int(number), torch.from_numpy(places[some[numbers[some] == number]])) for number in chosen])
    return found


Compute = Callable[[Tensor, Tensor, tuple[int, int]], Tensor]
"""Makes something of white features `b n k` in float32, of which patches are inner, bool `b n`, and of their grid."""


def over(groups: Sequence[Group], compute: Compute, size: int = 32) -> Iterator[Tensor]:
    """Yield what `compute` makes of each group, `size` images at a time."""
    for group in groups:
        parts = zip(torch.split(group.white, size), torch.split(group.inner, size), strict=True)
        with torch.no_grad():
            yield torch.cat([compute(white.float(), inner, group.grid) for white, inner in parts])


def collect(
    reader: TokenReader,
    standardise: Standardise,
    images: ImageDataset,
    workers: int,
    device: torch.device,
    seeding: Mapper | None,
) -> tuple[list[Group], list[Tensor] | None]:
    """Compute the features of a data set's images; those that hold no data are left out.

    Args:
        reader: Reads their tokens.
        standardise: Makes features of them.
        images: Whole images, with image-level labels where `seeding` needs them.
        workers: Data-loading processes.
        device: Where to compute.
        seeding: Makes class maps, whose largest at each patch is evidence for foreground.

    Returns:
        The features, and the evidence `m n` of each group; None without `seeding`.
    """
    parts: dict[tuple[int, int], list[list[Tensor]]] = {}
    for tokens, batch in read_tokens(reader, images, workers, device, "tokens"):
        kept = tokens.inner.any(1)
        found = [batch["index"].to(device), standardise(tokens.values).half(), tokens.inner]
        if seeding is not None:
            image, valid, present, labels = (batch[name].to(device) for name in ("image", "valid", "present", "labels"))
            maps = seeding.maps(image, valid, present, labels=labels)
            evidence = (maps.maps * maps.active[..., None, None]).amax(1, keepdim=True)
            found.append(F.adaptive_avg_pool2d(evidence, tokens.grid).flatten(1))
        parts.setdefault(tokens.grid, []).append([part[kept].cpu() for part in found])
    joined = {grid: [torch.cat(part) for part in zip(*found, strict=True)] for grid, found in parts.items()}
    groups = [Group(found[0], found[1], found[2], grid) for grid, found in joined.items() if len(found[0])]
    return groups, None if seeding is None else [found[3] for found in joined.values() if len(found[0])]


def read_tokens(
    reader: TokenReader, images: ImageDataset, workers: int, device: torch.device, title: str
) -> Iterator[tuple[Tokens, Item]]:
    """Yield the tokens of a data set's images, and the batches that they are of."""
    for _, batch in batches_with_keys(images, BATCH, workers, title):
        yield reader(batch["image"].to(device), batch["valid"].to(device), batch["present"].to(device)), batch
