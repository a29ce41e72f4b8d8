"""The blocks of rows that a scene is labelled in: where they end, and their files until the scene is complete."""

import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from wsss_toolkit.domain import Layers
from wsss_toolkit.errors import WsssError
from wsss_toolkit.files import complete_file
from wsss_toolkit.images.windows import WindowGrid

_BLOCK = re.compile(r"rows_\d{9}\.npz|\.rows_\d{9}\.\d+\.partial\.npz")
_UNREADABLE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


def row_blocks(height: int, rows: int) -> Iterator[tuple[int, int]]:
    """Yield first and end row of the blocks that a scene is written in; the last may be lower."""
    for start in range(0, height, rows):
        yield start, min(start + rows, height)


LARGEST_BLOCK = 2048
"""Rows of a block at most, roughly."""


def block_rows(grid: WindowGrid) -> int:
    """Return the height of a block: 16 strides, but no more than about 2048 rows.

    The windows above a block's first row are computed for both sides. So higher blocks cost less, and more of them keep
    more workers busy.
    """
    return grid.stride * min(16, max(1, round(LARGEST_BLOCK / grid.stride)))


def block_file(folder: Path, row: int) -> Path:
    """Return the file of the block that begins with a row."""
    return folder / f"rows_{row:09d}.npz"


def remove_blocks(folder: Path) -> None:
    """Delete what killed calls left of the blocks of any job in an output folder; files that are no blocks stay."""
    for left in folder.glob(".*.blocks"):
        if left.is_dir() and not left.is_symlink():
            for file in left.iterdir():
                if _BLOCK.fullmatch(file.name):
                    file.unlink(missing_ok=True)
            with suppress(OSError):  # something else is in it, which is not ours
                left.rmdir()


def save_block(path: Path, strips: Sequence[Layers], values: NDArray[np.float32], job: str) -> None:
    """Write consecutive strips as one block, complete or not at all; WsssError if it cannot be written.

    `values` is a sample of the scene's values in the block's rows, `c n`, see `SampledScene`; `job` is the digest of
    what the strips were made from, which `load_block` asks for.
    """
    arrays = {
        "job": np.array(job),
        "values": values,
        "row": np.array(strips[0].row),
        "mask": np.concatenate([strip.mask for strip in strips]),
        "confidence": np.concatenate([strip.confidence for strip in strips]),
    }
    scores = [strip.scores for strip in strips if strip.scores is not None]
    if scores:
        arrays["scores"] = np.concatenate(scores, axis=1)
    with complete_file(path) as partial:
        np.savez_compressed(partial, **arrays)  # type: ignore[arg-type]  # numpy's stub takes them for allow_pickle


def load_block(path: Path, job: str) -> Layers:
    """Read what `save_block` wrote for a job; WsssError if the file is missing, damaged or another job's."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            if str(stored["job"]) != job:
                raise ValueError("it was made by another model or with other settings")
            scores = stored["scores"] if "scores" in stored else None
            return Layers(int(stored["row"]), stored["mask"], stored["confidence"], scores)
    except _UNREADABLE as error:
        raise _damaged(path, error) from error


def load_values(path: Path) -> NDArray[np.float32]:
    """Read the values `c n` in a block; WsssError if the file is missing or damaged."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            values: NDArray[np.float32] = stored["values"]
            return values
    except _UNREADABLE as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> WsssError:
    return WsssError(f"a finished block cannot be read ({error})", where=str(path), fix="run again")


class BlockFiles(Sequence[Layers]):
    """Blocks of a scene from top to bottom, each read when it is asked for.

    Args:
        paths: Their files.
        job: The digest of the job that made them.
    """

    def __init__(self, paths: Sequence[Path], job: str) -> None:
        self._paths, self._job = tuple(paths), job

    def __len__(self) -> int:
        """Return the number of blocks."""
        return len(self._paths)

    @overload
    def __getitem__(self, index: int) -> Layers: ...

    @overload
    def __getitem__(self, index: slice) -> "BlockFiles": ...

    def __getitem__(self, index: int | slice) -> "Layers | BlockFiles":
        """Read one block, or select several without reading any."""
        if isinstance(index, slice):
            return BlockFiles(self._paths[index], self._job)
        return load_block(self._paths[index], self._job)
