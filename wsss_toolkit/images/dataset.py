"""Torch data sets and loaders over a domain adapter."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NotRequired, Protocol, TypedDict, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, distributed
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from wsss_toolkit.domain import IGNORE_INDEX, AugmentingAdapter, ChannelTable, Sample, read_sample
from wsss_toolkit.domain.progress import counted
from wsss_toolkit.errors import DataError
from wsss_toolkit.images.padding import pad_to
from wsss_toolkit.images.scaling import Prepared, Preprocessing


class Item(TypedDict):
    """One image, or a batch of them with a leading axis `b`.

    `image` float32 `c h w` and `valid` bool `h w` (of cached tokens: `t d`, and bool `p`, the patches that hold data),
    `present` bool `s` (sensors), `labels` float32 `k` (image-level, 0 or 1),
    `mask` int64 `h w` (pseudo-mask; training of the segmentation network only),
    `index` int64 (position in the data set), `code` int64 (symmetry of the square, see `augment`),
    `features` float32 `p d` (what a frozen encoder says of each patch, where that is kept).
    """

    image: Tensor
    valid: Tensor
    present: Tensor
    labels: Tensor
    mask: Tensor
    index: Tensor
    code: Tensor
    features: NotRequired[Tensor]


Position = tuple[int, int]
"""The place of an image in its data set, and the epoch that it is read for."""


class EpochSampler(Sampler[Position]):
    """Visits a data set in an order that depends on the seed and the epoch alone, so that resuming changes nothing.

    Args:
        size: Images in the data set.
        seed: The recipe's seed; None keeps the data set's order.

    Where torch.distributed runs, each process visits its own share, padded to equal length.
    """

    def __init__(self, size: int, seed: int | None) -> None:
        self.size, self.seed, self.epoch = size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order; Lightning calls this before every epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Return the number of images that this process visits."""
        return -(-self.size // _rank_and_processes()[1])

    def __iter__(self) -> Iterator[Position]:
        """Yield positions."""
        order = np.arange(self.size)
        if self.seed is not None:
            np.random.default_rng((self.seed, self.epoch)).shuffle(order)
        rank, processes = _rank_and_processes()
        padded = np.resize(order, len(self) * processes)
        yield from ((int(index), self.epoch) for index in padded[rank::processes])


def _rank_and_processes() -> tuple[int, int]:
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


class ReadsImages(Protocol):
    """What an `ImageDataset` needs of an adapter."""

    def read(self, key: str, channels: ChannelTable) -> Sample:
        """Return an image; see `Adapter.read`."""


class ImageDataset(Dataset[Item]):
    """Scaled images of an adapter with their image-level labels or pseudo-masks.

    Args:
        adapter: Reads the images.
        keys: Which, in order.
        prepare: Scales and stacks the bands.
        labels: float32 `n k`, one row per key, or None.
        masks: One pseudo-mask file per key, or None.
        crop: Side of random square crops in pixels; None keeps images whole.
        resize: Side in pixels to which images are resized (bilinear); None keeps their size.
        codes: Symmetries to draw from; `(0,)` draws none.
        seed: Seed of crops and symmetries, which also depend on epoch and position.
        memory_mb: Scaled images and masks are kept in memory until they fill so much; 0 reads the files in every epoch.
        augment: Whether images get the adapter's own random changes, where it makes any; they are then never kept.
    """

    def __init__(  # noqa: PLR0913  # torch's data sets are told everything when they are made
        self,
        adapter: ReadsImages,
        keys: Sequence[str],
        prepare: Preprocessing,
        *,
        labels: NDArray[np.float32] | None = None,
        masks: Sequence[Path] | None = None,
        crop: int | None = None,
        resize: int | None = None,
        codes: tuple[int, ...] = (0,),
        seed: int = 0,
        memory_mb: int = 0,
        augment: bool = False,
    ) -> None:
        self.adapter, self.keys, self.prepare = adapter, tuple(keys), prepare
        self.labels, self.masks = labels, masks
        self.crop, self.resize, self.codes, self.seed = crop, resize, codes, seed
        self.augmenter = adapter if augment and isinstance(adapter, AugmentingAdapter) and adapter.augments else None
        self._room = memory_mb * 2**20
        self._kept: dict[int, Prepared] = {}
        self._kept_masks: dict[int, NDArray[np.uint8]] = {}

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.keys)

    def __getitem__(self, position: Position | int) -> Item:
        """Read, crop and resize one image.

        Raises:
            DataError: If the image cannot be read, or its pseudo-mask does not fit it.
        """
        index, epoch = position if isinstance(position, tuple) else (position, 0)
        random = np.random.default_rng((self.seed, epoch, index))
        mask = self._mask(index)
        if self.augmenter is None:
            image, valid, present = self._prepared(index)
        else:
            sample = read_sample(self.adapter, self.keys[index], self.prepare.channels)
            sample, mask = self.augmenter.augment(sample, mask, random)
            image, valid, present = self.prepare(sample)
        planes = [torch.from_numpy(image), torch.from_numpy(valid)[None].float()]
        planes += [] if mask is None else [torch.from_numpy(mask.astype(np.float32))[None]]
        if any(plane.shape[1:] != planes[0].shape[1:] for plane in planes):
            fix = "write the pseudo-masks again"
            raise DataError("pseudo-mask and image differ in size", where=self.keys[index], fix=fix)
        if self.crop is not None:
            planes = self._crop(planes, random)
        if self.resize is not None and tuple(planes[0].shape[-2:]) != (self.resize, self.resize):
            planes = [resize_plane(plane, self.resize, smooth=number == 0) for number, plane in enumerate(planes)]
        return Item(
            image=planes[0],
            valid=planes[1][0] > 0.5,
            present=torch.from_numpy(present),
            labels=torch.zeros(0) if self.labels is None else torch.from_numpy(self.labels[index]),
            mask=torch.zeros(0, dtype=torch.int64) if mask is None else planes[2][0].long(),
            index=torch.tensor(index),
            code=torch.tensor(int(random.choice(self.codes))),
        )

    def _prepared(self, index: int) -> Prepared:
        if index in self._kept:
            return self._kept[index]
        prepared = self.prepare(read_sample(self.adapter, self.keys[index], self.prepare.channels))
        if self._has_room(sum(part.nbytes for part in prepared)):
            self._kept[index] = prepared
        return prepared

    def _mask(self, index: int) -> NDArray[np.uint8] | None:
        if self.masks is None:
            return None
        if index in self._kept_masks:
            return self._kept_masks[index]
        mask = read_pseudo_mask(self.masks[index])
        if self._has_room(mask.nbytes):
            self._kept_masks[index] = mask
        return mask

    def _has_room(self, size: int) -> bool:
        """Take so many bytes of the memory, if it has them."""
        if size > self._room:
            return False
        self._room -= size
        return True

    def _crop(self, planes: list[Tensor], random: np.random.Generator) -> list[Tensor]:
        """Cut the same random square from image, valid pixels and mask; smaller images are extended."""
        assert self.crop is not None
        side = self.crop
        height, width = planes[0].shape[-2:]
        if min(height, width) < side:
            border = (0, max(0, side - width), 0, max(0, side - height))
            # The border holds no data: nothing is read from it and nothing is learned there.
            fills = (0.0, float(IGNORE_INDEX))
            rest = [F.pad(plane, border, value=fill) for plane, fill in zip(planes[1:], fills, strict=False)]
            planes = [pad_to(planes[0][None], side, side)[0], *rest]
            height, width = planes[0].shape[-2:]
        top, left = (int(random.integers(0, extent - side + 1)) for extent in (height, width))
        return [plane[:, top : top + side, left : left + side] for plane in planes]


def resize_plane(plane: Tensor, side: int, *, smooth: bool) -> Tensor:
    """Resize `c h w` to `c side side`, bilinear with anti-aliasing, or by the nearest pixel for masks."""
    if smooth:
        return F.interpolate(plane[None], (side, side), mode="bilinear", align_corners=False, antialias=True)[0]
    return F.interpolate(plane[None], (side, side), mode="nearest-exact")[0]


def read_pseudo_mask(path: Path) -> NDArray[np.uint8]:
    """Read a mask `h w` that an adapter wrote; DataError if the file is missing, damaged or no 8-bit index image."""
    try:
        with Image.open(path) as picture:
            mask = np.asarray(picture)
    except OSError as error:
        fix = "run the stage pseudo_masks again"
        raise DataError(f"cannot read pseudo-mask ({error})", where=str(path), fix=fix) from error
    if mask.ndim != 2 or mask.dtype != np.uint8:
        raise DataError(f"expected an 8-bit index image, got {mask.dtype} {mask.shape}", where=str(path))
    return mask


def loader(
    dataset: Dataset[Item], batch_size: int, *, shuffle_seed: int | None = None, workers: int = 0
) -> DataLoader[Item]:
    """Build a loader whose order depends on the seed and the epoch alone; DataError if the data set is empty."""
    size = len(dataset)  # type: ignore[arg-type]  # torch's Dataset declares no length
    if not size:
        raise DataError("the split has no usable image", fix="check data and labels with `wsss check`")
    sampler = EpochSampler(size, shuffle_seed)
    return DataLoader(
        dataset,
        batch_size,
        sampler=sampler,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
        # A last batch of one image breaks batch normalisation; in shuffled training it is left out.
        drop_last=shuffle_seed is not None and len(sampler) > batch_size and len(sampler) % batch_size == 1,
    )


def same_size_batches(dataset: Dataset[Item], batch_size: int, workers: int = 0) -> Iterator[Item]:
    """Yield the images in order, batched with neighbours of the same size, so that none has to be padded or resized."""
    waiting: list[Item] = []
    for item in DataLoader(dataset, batch_size=None, num_workers=workers):
        if waiting and (len(waiting) == batch_size or item["image"].shape != waiting[0]["image"].shape):
            yield default_collate(waiting)
            waiting = []
        waiting.append(item)
    if waiting:
        yield default_collate(waiting)


def batches_with_keys(
    dataset: ImageDataset, batch_size: int, workers: int, title: str
) -> Iterator[tuple[Sequence[str], Item]]:
    """Yield the keys and the `same_size_batches` of a data set under a progress bar."""
    start = 0
    batches = same_size_batches(dataset, batch_size, workers)
    for batch in counted(batches, title, len(dataset), lambda batch: len(batch["index"])):
        stop = start + len(batch["index"])
        yield list(dataset.keys[start:stop]), batch
        start = stop


def part_of(batch: Item, some: slice) -> Item:
    """Return some of a batch's images."""
    return cast(Item, {name: values[some] for name, values in cast(dict[str, Tensor], batch).items()})
