"""Arrays in files that are mapped into memory."""

import os
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike
from torch import Tensor, from_numpy

from wsss_toolkit.errors import DataError
from wsss_toolkit.files import cannot_write


def new_array(path: Path, dtype: DTypeLike, shape: tuple[int, ...]) -> Tensor:
    """Make a `.npy` file of an array and map it.

    Its room on the disk is taken at once: a disk that is full when a page is written later ends the process (SIGBUS).

    Raises:
        WsssError: If there is no room for it.
    """
    try:
        array = np.lib.format.open_memmap(path, "w+", dtype, shape)
        if hasattr(os, "posix_fallocate"):
            with path.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise cannot_write(path, error.strerror or str(error)) from error
    return from_numpy(array)


def open_array(path: Path) -> Tensor:
    """Map what `new_array` made; a `DataError` says that it is damaged."""
    try:
        return from_numpy(np.load(path, mmap_mode="r+", allow_pickle=False))
    except (OSError, ValueError, TypeError, EOFError) as error:
        raise DataError(f"is damaged ({error})", where=str(path), fix="delete it and run again") from error
